"""Latent optimisation (LOGAN): both players play on fakes of latents that went one step up the discriminator's slope.

Paper: Wu, Donahue, Balduzzi, Simonyan and Lillicrap, "LOGAN: Latent Optimisation for Generative Adversarial Networks"
(2019), section 3, the form by natural gradient. With g the gradient at z of the score of G(z):

    z' = clip(z + alpha g / (beta + |g|^2), -1, 1)

Differences from the paper: no gradient goes through the step itself, and all latents of a turn are moved, also those of
fakes that another game shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import torch
from pydantic import Field

from ganrun.plugin import Component, Reason, Round, Scheduled, Turn, hookimpl


class LatentOptimisation:
    """Moves the latents of a game's fakes, and makes the fakes again."""

    strength = "alpha"
    provides = frozenset({"latent-response"})
    needs = {
        "latent": Reason("there is no latent to move", "a variant that starts from a latent"),
        "game": Reason("there is no discriminator whose slope could be followed", "a variant with a game"),
    }

    def __init__(
        self,
        *,
        alpha: Annotated[Scheduled, Field(ge=0, description="length of the step")] = Scheduled(0.9),
        beta: Annotated[Scheduled, Field(ge=0, description="damping of the step where the slope is small")] = Scheduled(
            5.0
        ),
    ) -> None:
        self.alpha, self.beta = alpha, beta

    @hookimpl
    def generated(self, turn: Turn) -> None:
        for round in turn.rounds:
            if round.side != "watcher" and round.of("fake") and turn.now(self.alpha) > 0:
                for stream, moved in zip(round.of("fake"), round.remade(self.moved(turn, round)), strict=True):
                    stream.x, stream.given = moved.x, moved.given
                    stream.latent, stream.entry = moved.latent, ""  # no longer what turn.made holds

    def moved(self, turn: Turn, round: Round) -> dict[str, torch.Tensor]:
        """The latents (rows, ...) after the step, by name."""
        leaves = {name: z.detach().requires_grad_() for name, z in turn.latents.items() if z.is_floating_point()}
        streams = turn.with_latents(leaves).streams(round.game.name, "fake")
        outputs = [turn.discriminate(round, s.x, s.given, role="fake", tag="feature") for s in streams]
        score = torch.stack([turn.score(round, output).sum() for output in outputs]).sum()
        slopes = torch.autograd.grad(score, list(leaves.values()), materialize_grads=True)
        moved = {}
        for (name, z), slope in zip(leaves.items(), slopes, strict=True):
            size = slope.flatten(1).square().sum(1).reshape(-1, *[1] * (z.dim() - 1))  # (rows, 1, ...)
            step = turn.now(self.alpha) * slope / (turn.now(self.beta) + size)
            moved[name] = (z.detach() + step).clamp(-1, 1)
        return moved


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "latent-optimisation", LatentOptimisation)
