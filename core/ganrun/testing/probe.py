"""An uninstalled plugin of the checks: a trick that observes a run and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch.nn import Parameter

from ganrun.engine.turn import Turn
from ganrun.words.hooks import Component, hookimpl


class Probe:
    """Collects what goes wrong: terms that are not finite, gradients of players whose turn it is not."""

    strength = ""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.draws: dict[tuple[Any, ...], dict[str, int]] = {}

    @hookimpl(tryfirst=True)
    def phase_start(self, turn: Turn) -> None:
        kept = {id(parameter) for parameter in moving(turn)} if moved_together(turn) else set()
        for player in turn.players:
            for parameter in turn.parameters(player):
                if id(parameter) not in kept:  # of a move, all gradients are taken before the first is applied
                    parameter.grad = None

    @hookimpl(trylast=True)
    def gradients(self, turn: Turn) -> None:
        own = {id(parameter) for parameter in moving(turn)}
        for player in turn.players:
            if any(p.grad is not None and id(p) not in own for p in turn.parameters(player)):
                self.problems.append(
                    f"in the turn {turn.phase.name} of {turn.player}, parameters of {player} got a gradient"
                )
        for name, term in turn.terms.items():
            if not bool(term.value.isfinite().all()):
                self.problems.append(
                    f"step {turn.step}: the term {name} of {turn.phase.name} is {float(term.value.detach())}"
                )

    @hookimpl(trylast=True)
    def updated(self, turn: Turn) -> None:
        self.draws[turn.draws.key] = dict(turn.draws._counts)


def moved_together(turn: Turn) -> set[str]:
    """The players of the phases that are one move with this turn's; empty if it is a move of its own."""
    name = turn.phase.together
    return {phase.player for phase in turn._engine.experiment.phases if name and phase.together == name}


def moving(turn: Turn) -> list[Parameter]:
    """The parameters that may hold a gradient when this turn's player is updated."""
    players = moved_together(turn) | {turn.player}
    return [parameter for player in players for parameter in turn.parameters(player)]


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "probe", Probe)
