"""The readers of a run: each has an order of its own, and one integer to resume from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from ganrun.engine.boundaries import check_batch
from ganrun.engine.turn import Turn

if TYPE_CHECKING:
    from ganrun.data.reader import Reader
    from ganrun.experiment.experiment import Experiment


class Readers:
    """Every phase reads the data in an order of its own, or all phases of a step share one batch, as the variant says.

    So a trick that asks for real samples changes nothing that others see. Every attempt has orders of its own.
    """

    def __init__(self, experiment: Experiment, parts: int) -> None:
        self.experiment = experiment
        self.description = experiment.description
        self.parts = parts
        self._readers: dict[str, Reader] = {}
        self._positions: dict[str, int] = {}
        self._used: dict[str, int] = {}
        self._attempt = 0

    @property
    def attempt(self) -> int:
        """Part of the key of every order. Setting it keeps the positions and begins other orders there."""
        return self._attempt

    @attempt.setter
    def attempt(self, attempt: int) -> None:
        if attempt != self._attempt:
            self._positions = self.positions
            self.close()  # workers read ahead in the old order
            self._readers.clear()
            self._used.clear()
            self._attempt = attempt

    def read(self, turn: Turn) -> dict[str, Tensor]:
        """The real batch of a turn: this process's rows, name -> (rows, ...). Raises ValueError outside training."""
        if not turn.player:
            raise ValueError(
                "samples of this variant are made from real items; "
                f"pass real={{...}} with {', '.join(self.experiment.dataset.spaces)}"
            )
        name = "step" if self.description.shared_batch else turn.phase.name
        rows = turn.batch_size if self.description.conditional else turn.rows
        if name not in self._readers:
            self._readers[name] = self.experiment.reader(name, rows * self.parts, self.attempt)
            self._readers[name].position = self._positions.get(name, 0)
        batch = self._readers[name].get(rows, turn.draws.part, self.parts)
        check_batch(self.experiment.dataset, batch)
        self._used[name] = rows * self.parts
        if self.description.conditional and turn.copies > 1:
            batch = {key: tensor.repeat_interleave(turn.copies, 0) for key, tensor in batch.items()}
        return batch

    def turn_ended(self) -> None:
        """Move on past the batch of this turn, unless the next turn of the step shares it."""
        if not self.description.shared_batch:
            self.step_ended()

    def step_ended(self) -> None:
        """Move on past the batches that were read."""
        for name, count in self._used.items():
            self._readers[name].advance(count)
        self._used.clear()

    def close(self) -> None:
        """End the workers."""
        for reader in self._readers.values():
            reader.close()

    @property
    def positions(self) -> dict[str, int]:
        """Order -> samples used: all that has to be saved."""
        return {**self._positions, **{name: reader.position for name, reader in self._readers.items()}}

    @positions.setter
    def positions(self, positions: dict[str, int]) -> None:
        self._positions = dict(positions)
        for name, reader in self._readers.items():
            reader.position = self._positions.get(name, 0)
