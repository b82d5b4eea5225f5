"""The Fisher loss: a difference of means whose second moment a Lagrange multiplier holds at 1.

Paper: Mroueh and Sercu, "Fisher GAN" (2017), equation 6 and algorithm 1. With f the logit and Omega the mean of
E f(x)^2 over real samples and E f(G(z))^2 over fakes, the discriminator maximises

    E f(x) - E f(G(z)) + lambda (1 - Omega) - rho / 2 (Omega - 1)^2

and the generator maximises E f(G(z)). After each update of the discriminator, lambda <- lambda + rho (Omega - 1), from
lambda = 0: each game has its own, and Omega is that of the turn, over all micro-batches and processes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Round, Scheduled, Stream, Turn, hookimpl


def second_moment(round: Round) -> Tensor:
    """Omega, (): the mean over the two roles of the mean squared logit."""
    roles = [torch.cat([s.logits.flatten() for s in round.of(role)]) for role in ("real", "fake")]
    return torch.stack([logits.square().mean() for logits in roles]).mean()


class Fisher:
    """An integral probability metric over discriminators whose second moment is 1."""

    provides = frozenset({"batch-coupled", "logit:unbounded", "slope-bounded"})
    real_in_generator = False

    def __init__(
        self,
        *,
        rho: Annotated[Scheduled, Field(gt=0, description="weight of the square, and rate of lambda")] = Scheduled(
            1e-6
        ),
    ) -> None:
        self.rho = rho
        self.multiplier: dict[str, Tensor] = {}  # game -> lambda, ()
        self._moments: dict[str, list[Tensor]] = {}  # game -> Omega of each micro-batch of a turn

    def discriminator(self, round: Round) -> dict[Stream, Tensor]:
        """Stream -> minus its part of what is maximised, (B, ...): the constraint is shared out between the roles."""
        slack = 1 - second_moment(round)
        multiplier = self.multiplier.get(round.game.name, torch.zeros(())).to(slack.device)
        constraint = (multiplier * slack - round.now(self.rho) / 2 * slack.square()) / 2
        return {s: (-s.logits if s.role == "real" else s.logits) - constraint for s in round.streams}

    def generator(self, round: Round) -> dict[Stream, Tensor]:
        """Fake stream -> -f, (B, ...)."""
        return {s: -s.logits for s in round.of("fake")}

    @hookimpl
    def losses(self, turn: Turn) -> None:
        for round in turn.rounds:
            if round.side == "discriminator" and round.loss is self:
                moment = second_moment(round).detach()
                self._moments.setdefault(round.game.name, []).append(moment)
                turn.note(f"{round.game.name}.second-moment", moment)

    @hookimpl
    def updated(self, turn: Turn) -> None:
        for round in turn.rounds:
            game = round.game.name
            if game in self._moments and round.side == "discriminator":
                moment = turn.mean_over_processes(torch.stack(self._moments.pop(game)).mean())
                before = self.multiplier.get(game, torch.zeros(())).to(moment)
                self.multiplier[game] = before + turn.now(self.rho) * (moment - 1)

    def state_dict(self) -> dict[str, Any]:
        """Game -> lambda."""
        return {"multiplier": dict(self.multiplier)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what ``state_dict`` returned."""
        self.multiplier = dict(state["multiplier"])


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("loss", "fisher", Fisher)
