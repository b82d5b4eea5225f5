"""Lookahead-minmax: every k steps all players go back part of the way to where they were k steps ago.

Papers: Zhang, Lucas, Hinton and Ba, "Lookahead Optimizer: k steps forward, 1 step back" (2019); Chavdarova,
Pagliardini, Stich, Fleuret and Jaggi, "Taming GANs with Lookahead-Minmax" (2021), algorithm 1. With slow weights s and
fast weights w, the ones that are trained, of both players at the same step:

    s <- s + alpha (w - s),    w <- s
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Experiment, Step, Turn, hookimpl


class Lookahead:
    """Slow weights of every player. Optimisers keep their own state, as in the papers."""

    strength = "alpha"
    neutral = 1.0
    remedies = frozenset({"oscillation"})

    def __init__(
        self,
        *,
        alpha: Annotated[float, Field(ge=0, le=1, description="share of the way that is kept; 1: all of it")] = 0.5,
        k: Annotated[int, Field(ge=1, description="steps between two returns")] = 5,
    ) -> None:
        self.alpha = alpha
        self.k = k
        self.slow: dict[str, list[Tensor]] = {}

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        self.experiment = experiment

    @hookimpl
    def phase_start(self, turn: Turn) -> None:
        """The weights before the first step are the first slow ones: a run may begin with those of another."""
        if not self.slow:
            players = self.experiment.players.items()
            parameters = self.experiment.parameters
            self.slow = {name: [p.detach().clone() for p in parameters(player)] for name, player in players}

    @hookimpl
    def step_taken(self, step: Step) -> None:
        if (step.step + 1) % self.k:
            return
        with torch.no_grad():
            for player, kept in self.slow.items():
                for slow, fast in zip(kept, step.parameters(player), strict=True):
                    fast.copy_(slow.lerp_(fast, self.alpha))  # exactly the fast ones at alpha 1
        step.note("lookahead", torch.tensor(self.alpha))

    def state_dict(self) -> dict[str, Any]:
        return {"slow": self.slow}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        like = {name: self.experiment.parameters(player) for name, player in self.experiment.players.items()}
        self.slow = {
            name: [torch.empty_like(p, requires_grad=False).copy_(s) for p, s in zip(like[name], kept)]
            for name, kept in state["slow"].items()
        }


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "lookahead", Lookahead)
