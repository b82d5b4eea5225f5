"""Frozen parameters from step to step: which they are, and that nothing moves them."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from ganrun.experiment.freeze import Frozen


class Freezing:
    """The parameters that are not trained in the current step, by player."""

    def __init__(self, frozen: Mapping[str, Frozen]) -> None:
        self.frozen = frozen
        self.now: dict[str, frozenset[int]] = {}  # player -> ids of its frozen parameters

    def moves_to(self, step: int) -> bool:
        """Go to a step. Returns whether other parameters are frozen in it."""
        before = self.now
        self.now = {name: frozenset(map(id, some.parameters)) for name, some in self.frozen.items() if some.lasts(step)}
        return self.now != before

    def trained(self, player: str, parameters: list[nn.Parameter]) -> list[nn.Parameter]:
        """Those of a player's parameters that are not frozen."""
        frozen = self.now.get(player)
        return [parameter for parameter in parameters if id(parameter) not in frozen] if frozen else parameters

    def drop_gradients(self, player: str) -> None:
        """Take away gradients that something gave to frozen parameters, so that no optimiser moves them."""
        for parameter in self.frozen[player].parameters if player in self.now else ():
            parameter.grad = None
