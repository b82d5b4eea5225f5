"""The fakes of a step: made once, and used again by the next player if the variant reuses them.

In most GANs the discriminator has the first turn and the generator the next, and both use the same fakes. They are made
in the discriminator's turn, but with the graph of the generator's parameters: the discriminator gets them detached,
and the generator, whose weights have not changed since, backpropagates through the graph that was kept. So the
generator runs once a step.
"""

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
    """What one turn made. served: players that have used it. in_graph: those whose parameters are in its graph."""

    latents: dict[str, Tensor]
    made: dict[str, Tensor]
    reading: Reading | None
    copies: int
    served: set[str]
    in_graph: set[str]
    seed: int


class Fakes:
    """Makes the fakes of each turn. They serve each player once; a second turn, or other copies, gets new ones."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.description = engine.experiment.description
        self._kept: dict[int, Kept] = {}  # by micro-batch

    def forget(self) -> None:
        """Called before and after each step."""
        self._kept.clear()

    def fill(self, turn: Turn, later: Sequence[Phase] = ()) -> None:
        """Fill the latents and fakes of a turn: with those of a turn before it in this step, or with new ones.

        later: the phases still to come in the step, to know for which player new fakes need a graph.
        """
        kept = self._kept.get(turn.micro)
        if kept is not None and turn.player not in kept.served and turn.copies == kept.copies:
            self._reuse(turn, kept)
        elif not turn.phase.lazy or "fake" in turn.wanted:
            self._make_new(turn, later)

    def _reuse(self, turn: Turn, kept: Kept) -> None:
        kept.served.add(turn.player)
        turn.latents, turn.seed_of_made = kept.latents, kept.seed
        turn._reading = kept.reading or turn._reading
        if turn.player in kept.in_graph:
            turn.made = kept.made
        elif self._learns_from_fakes(turn.player):
            self._make(turn, {turn.player})  # the same latents, but with the graph of this player
        else:
            turn.made = _detached(kept.made)

    def _make_new(self, turn: Turn, later: Sequence[Phase]) -> None:
        self.engine.variant.sample(turn)
        self.engine.hooks.sample(turn=turn)
        in_graph = self._next_learner(turn, later) or {turn.player}
        self._make(turn, in_graph)
        if self.description.reuse_fakes:
            reading = turn._reading if self.description.shared_batch else None
            self._kept[turn.micro] = Kept(
                turn.latents, turn.made, reading, turn.copies, {turn.player}, in_graph, turn.seed_of_made
            )
            if turn.player not in in_graph:
                turn.made = _detached(turn.made)

    def _make(self, turn: Turn, players: set[str]) -> None:
        """Run the generators with a graph for the given players' parameters."""
        # Autograd records a graph for whoever requires a gradient at the time of the forward: the players that the
        # fakes are made for, who need not be the turn's own. Everything behind is the turn's player's again.
        self.engine.train_only(players)
        turn.seed_of_made = self.engine.seed_forward(turn)
        self.engine.variant.make(turn)
        check_made(self.engine, turn)
        self.engine.train_only({turn.player})

    def _next_learner(self, turn: Turn, later: Sequence[Phase]) -> set[str]:
        """The player of the next turn in this step, if it is another one and learns from these fakes; else empty.

        Empty with several micro-batches: all their graphs would be kept at once, and they are there to save memory.
        """
        if not self.description.reuse_fakes or self.engine.settings.accumulate > 1:
            return set()
        following = next((phase.player for phase in later if not phase.lazy and phase.games != ()), turn.player)
        return {following} if following != turn.player and self._learns_from_fakes(following) else set()

    def _learns_from_fakes(self, player: str) -> bool:
        """Whether a player is on the generator's side of a game."""
        return any(game.side(player) == "generator" for game in self.description.games)


def _detached(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach() for name, tensor in tensors.items()}
