"""Gradient clipping: a player's gradient is shortened to a given length if it is longer, and keeps its direction.

Paper: Pascanu, Mikolov and Bengio, "On the difficulty of training Recurrent Neural Networks" (2013), algorithm 1. With
|g| the norm of all gradients of the player together, averaged over processes and micro-batches:

    g <- g * min(1, max_norm / |g|)

Differences from well-known code: torch's ``clip_grad_norm_`` adds 1e-6 to |g|, so that it shortens a gradient of just
that length, too.

A length of 1e9 leaves every usual gradient as it is: the factor is exactly 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

import torch
from pydantic import Field

from ganrun.plugin import Component, Experiment, Refusal, Scheduled, Turn, hookimpl


class GradientClipping:
    """Bounds the norm of the gradient that a player's optimiser is given."""

    strength: ClassVar[str] = "max_norm"
    neutral: ClassVar[float] = 1e9
    remedies: ClassVar[frozenset[str]] = frozenset({"exploding"})

    def __init__(
        self,
        *,
        max_norm: Annotated[Scheduled, Field(gt=0, description="largest norm of a player's gradient")] = Scheduled(1.0),
        players: Annotated[list[str] | None, Field(description="whose gradients; null: every player's")] = None,
    ) -> None:
        self.max_norm = max_norm
        self.players = players

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        for name in self.players or ():
            if name not in experiment.players:
                raise Refusal(
                    f"there is no player {name!r} whose gradient could be clipped",
                    f"players: [{', '.join(experiment.players)}]",
                )

    @hookimpl
    def gradients(self, turn: Turn) -> None:
        if self.players is not None and turn.player not in self.players:
            return
        found = [p.grad for p in turn.parameters() if p.grad is not None]
        if found:
            norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(found)))
            torch._foreach_mul_(found, (turn.now(self.max_norm) / norm).clamp(max=1.0))  # by 1 if all are 0


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "gradient-clipping", GradientClipping)
