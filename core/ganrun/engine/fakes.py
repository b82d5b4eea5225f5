"""The fakes of a step: made once, and used again by the next player where the variant says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from ganrun.engine.boundaries import check_made
from ganrun.engine.turn import Reading, Turn
from ganrun.words.game import Phase

if TYPE_CHECKING:
    from ganrun.engine.engine import Engine


@dataclass
class Kept:
    """What one turn made. ``served`` players have used it; ``trains`` are those whose parameters are in its graph."""

    latents: dict[str, Tensor]
    made: dict[str, Tensor]
    reading: Reading | None
    copies: int
    served: set[str]
    trains: set[str]
    seed: int


class Fakes:
    """Makes the fakes of each turn. They serve each player once; a second turn, or other copies, gets fresh ones."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.description = engine.experiment.description
        self._kept: dict[int, Kept] = {}

    def forget(self) -> None:
        """Called before and after each step."""
        self._kept.clear()

    def fill(self, turn: Turn, later: Sequence[Phase] = ()) -> None:
        """Fill latents and made of a turn. ``later`` phases of the step tell whether a graph has to be kept for one."""
        kept = self._kept.get(turn.micro)
        if kept is not None and turn.player not in kept.served and turn.copies == kept.copies:
            self._use(turn, kept)
        elif not turn.phase.lazy or "fake" in turn.wanted:
            self._make_new(turn, later)

    def _use(self, turn: Turn, kept: Kept) -> None:
        kept.served.add(turn.player)
        turn.latents, turn.seed_of_made = kept.latents, kept.seed
        turn._reading = kept.reading or turn._reading
        if turn.player in kept.trains:
            turn.made = kept.made
        elif self._is_scored(turn.player):
            self._make(turn, {turn.player})  # same latents, but these fakes need a graph of their own
        else:
            turn.made = _detached(kept.made)

    def _make_new(self, turn: Turn, later: Sequence[Phase]) -> None:
        self.engine.variant.sample(turn)
        self.engine.hooks.sample(turn=turn)
        trains = self._trains_next(turn, later) or {turn.player}
        self._make(turn, trains)
        if self.description.reuse_fakes:
            reading = turn._reading if self.description.shared_batch else None
            self._kept[turn.micro] = Kept(
                turn.latents, turn.made, reading, turn.copies, {turn.player}, trains, turn.seed_of_made
            )
            if turn.player not in trains:
                turn.made = _detached(turn.made)

    def _make(self, turn: Turn, players: set[str]) -> None:
        """Run the generators with a graph for the given players' parameters."""
        self.engine.train_only(players)
        turn.seed_of_made = self.engine.seed_forward(turn)
        self.engine.variant.make(turn)
        check_made(self.engine, turn)
        self.engine.train_only({turn.player})

    def _trains_next(self, turn: Turn, later: Sequence[Phase]) -> set[str]:
        """The player whose turn comes next in this step and trains on these fakes: their graph must be kept for it."""
        if not self.description.reuse_fakes or self.engine.settings.accumulate > 1:
            return set()
        following = next((phase.player for phase in later if not phase.lazy and phase.games != ()), turn.player)
        return {following} if following != turn.player and self._is_scored(following) else set()

    def _is_scored(self, player: str) -> bool:
        return any(game.side(player) == "generator" for game in self.description.games)


def _detached(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach() for name, tensor in tensors.items()}
