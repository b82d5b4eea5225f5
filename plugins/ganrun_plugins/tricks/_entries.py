"""What tricks that compare samples of several latents use."""

from __future__ import annotations

from ganrun.plugin import Turn


def entries(turn: Turn) -> list[str]:
    """The entries of ``turn.made`` that a generator learns by here: the outputs, and fakes of a latent in its games.

    So that of the fakes of several generators, which their game shows as several streams, none is left out.
    """
    rounds = [round for round in turn.rounds if round.side == "generator"]
    shown = [s.entry for round in rounds for s in round.of("fake") if s.entry and s.latent is not None]
    return list(dict.fromkeys([*turn.outputs, *shown]))
