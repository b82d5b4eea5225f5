"""Lazy phases: how many turns a regularisation stands for, and how much slower its player's optimiser is for it.

A term that is paid every so many steps pulls over time as it would in each of its player's turns, whether the player
moves once a step, five times, or every third step. Karras et al., "Analyzing and Improving the Image Quality of
StyleGAN" (2020), appendix B, is the case of one turn a step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ganrun.words.game import Phase


class Lazy:
    """What a schedule's lazy phases stand for, in the steps from one of their turns to the next."""

    def __init__(self, phases: Sequence[Phase]) -> None:
        self.phases = phases
        self._found: dict[str, tuple[int, float]] = {}  # phase -> its last turn's step, and what it stands for

    def due(self, phase: Phase, step: int) -> bool:
        """Whether a phase happens in a step: a lazy one rests while its player does."""
        return phase.due(step) and (not phase.lazy or self.weight(phase, step) > 0)

    def weight(self, phase: Phase, step: int) -> float:
        """How many turns of its player one turn of a lazy phase stands for; ``step``: of that turn, or after it.

        With one turn a step it is ``every``. A phase whose player has no other phase stands for its steps.
        """
        start = step - step % phase.every
        found = self._found.get(phase.name)
        if found is None or found[0] != start:
            main = main_of(self.phases, phase.player)
            turns = sum(_turns(other, start, phase.every) for other in main) if main else phase.every
            found = self._found[phase.name] = start, turns / phase.repeats
        return found[1]

    def pace(self, player: str, step: int) -> float:
        """The share of a player's turns that are no regularisation around a step: c = main / (main + lazy)."""
        lazy = [phase for phase in self.phases if phase.lazy and phase.player == player]
        if not lazy or not main_of(self.phases, player):
            return 1.0
        # 1 / weight: lazy turns for each of the others
        weights = [self.weight(phase, step) for phase in lazy if phase.due(step - step % phase.every)]
        return 1.0 / (1.0 + sum(1 / weight for weight in weights if weight))


def main_of(phases: Sequence[Phase], player: str) -> list[Phase]:
    """The phases of a player in which it plays its games, or all that are no regularisation if it plays none."""
    own = [phase for phase in phases if phase.player == player and not phase.lazy]
    return [phase for phase in own if phase.games is None or len(phase.games)] or own


def _turns(phase: Phase, start: int, steps: int) -> int:
    """How often a phase happens in a number of steps."""
    if phase.every == 1 and phase.when is None:
        return phase.repeats * steps
    return phase.repeats * sum(phase.due(step) for step in range(start, start + steps))


def slowed(options: dict[str, Any], defaults: Mapping[str, Any], c: float) -> dict[str, Any]:
    """Options of an optimiser that takes 1 / c times as many steps: rates times c, decays to the power c."""
    if c == 1:
        return options
    found = {key: defaults[key] for key in ("betas", "alpha", "momentum") if key in defaults} | options
    found["lr"] = c * found["lr"]
    for key in {"alpha", "momentum"} & found.keys():
        found[key] = found[key] ** c
    if "betas" in found:
        found["betas"] = tuple(beta**c for beta in found["betas"])
    return found
