"""Historical averaging: a player's weights are pulled to their mean so far, against oscillation.

Paper: Salimans et al., "Improved Techniques for Training GANs" (2016), section 3.3: each player minimises, besides its
own cost,

    weight * |w - (w_0 + ... + w_t) / (t + 1)|^2

with w_t its weights after t updates. The sum goes over all parameters and is not divided by their number: at the
default weight of 1 the gradient is 2 (w - mean). The mean is a constant in it, kept up to date in place of the weights
themselves.

Weights that are computed from others (spectral normalisation) are left to themselves: the mean is that of the
parameters.

Differences from well-known code: torchgan has it take an optimiser step of its own; here it is a term of the player's
turns.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Experiment, Refusal, Scheduled, Turn, hookimpl


class HistoricalAveraging:
    """Adds the squared distance of a player's parameters from their running mean."""

    strength: ClassVar[str] = "weight"
    remedies: ClassVar[frozenset[str]] = frozenset({"oscillation"})

    def __init__(
        self,
        *,
        weight: Annotated[Scheduled, Field(ge=0, description="factor of the squared distance")] = Scheduled(1.0),
        players: Annotated[list[str] | None, Field(description="whose weights; null: every player's")] = None,
    ) -> None:
        self.weight = weight
        self.players = players
        self.counts: dict[str, int] = {}
        self.means: dict[str, list[Tensor]] = {}

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        for name in self.players or ():
            if name not in experiment.players:
                raise Refusal(
                    f"there is no player {name!r} whose weights could be averaged",
                    f"players: [{', '.join(experiment.players)}]",
                )

    @hookimpl
    def phase_start(self, turn: Turn) -> None:
        if self.players is not None and turn.player not in self.players:
            return
        own = turn.parameters()
        if turn.player not in self.counts:  # the first of its turns: the mean of one
            self.counts[turn.player] = 1
            self.means[turn.player] = [parameter.detach().clone() for parameter in own]
        means = self.means[turn.player]
        for place, (mean, parameter) in enumerate(zip(means, own)):
            if mean.device != parameter.device or mean.stride() != parameter.stride():  # after a resume
                means[place] = torch.empty_like(parameter, requires_grad=False).copy_(mean)

    @hookimpl
    def losses(self, turn: Turn) -> None:
        if turn.player in self.counts:
            pairs = zip(turn.parameters(), self.means[turn.player])
            distance = torch.stack([(parameter - mean).square().sum() for parameter, mean in pairs]).sum()
            turn.add(f"{turn.player}.historical-averaging", distance, turn.now(self.weight))

    @hookimpl
    def updated(self, turn: Turn) -> None:
        if turn.player in self.counts:
            self.counts[turn.player] += 1
            own = [parameter.detach() for parameter in turn.parameters()]
            torch._foreach_lerp_(self.means[turn.player], own, 1 / self.counts[turn.player])

    def state_dict(self) -> dict[str, Any]:
        """Player -> of how many weights the mean is, and the mean of each parameter."""
        return {
            name: {"count": count, "mean": {str(i): mean for i, mean in enumerate(self.means[name])}}
            for name, count in self.counts.items()
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what ``state_dict`` returned."""
        self.counts = {name: int(saved["count"]) for name, saved in state.items()}
        self.means = {
            name: [saved["mean"][str(i)].clone() for i in range(len(saved["mean"]))] for name, saved in state.items()
        }


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "historical-averaging", HistoricalAveraging)
