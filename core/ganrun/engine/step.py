"""A whole step: what training components are given at its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ganrun.randomness import Draws
from ganrun.schedule import Clock, Scheduled, value_at
from ganrun.words.game import Player

if TYPE_CHECKING:
    from ganrun.engine.engine import Engine


class Step:
    """One step, all of whose turns were taken: the payload of the event ``step_taken``.

    step: its number, counted from 0 as in a turn. clock: what durations are measured against. networks: name -> module.
    players: name -> player. draws: keyed random numbers of this step. notes: name -> what was noted.
    """

    def __init__(self, engine: Engine, step: int) -> None:
        self._engine = engine
        self.step = step
        self.clock: Clock = engine.clock
        self.networks: Mapping[str, nn.Module] = engine.modules
        self.players: Mapping[str, Player] = engine.experiment.players
        processes = engine.processes
        key = (engine.settings.seed, engine.attempt, step, "step taken")
        self.draws = Draws(key, processes.rank, processes.world, engine.device)
        self.notes: dict[str, Tensor] = {}

    def parameters(self, player: str) -> list[nn.Parameter]:
        """The parameters of a player, each once, in a fixed order."""
        return self._engine.parameters[player]

    def now(self, value: Scheduled | float) -> float:
        """The value of a scheduled number in this step; a plain number is its own."""
        return value_at(value, self.step, self.clock)

    def note(self, name: str, value: Tensor) -> None:
        """Log a scalar as ``step/name``, beside the terms of the turns."""
        self.notes[name] = value.detach().to(torch.get_default_dtype())
