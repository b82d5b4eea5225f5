"""An uninstalled plugin of the checks: a trick that looks at a run and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ganrun.game import Turn
from ganrun.hookspecs import Component, hookimpl


class Probe:
    """Collects what goes wrong: terms that are not finite, gradients of players whose turn it is not."""

    strength = ""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.draws: dict[tuple[Any, ...], dict[str, int]] = {}

    @hookimpl(tryfirst=True)
    def phase_start(self, turn: Turn) -> None:
        for parameters in turn.engine.parameters.values():
            for parameter in parameters:
                parameter.grad = None

    @hookimpl(trylast=True)
    def gradients(self, turn: Turn) -> None:
        own = {id(parameter) for parameter in turn.engine.parameters[turn.player]}
        for player, parameters in turn.engine.parameters.items():
            if any(p.grad is not None and id(p) not in own for p in parameters):
                self.problems.append(f"in the turn {turn.phase.name} of {turn.player}, parameters of {player} got a gradient")
        for name, term in turn.terms.items():
            if not bool(term.value.isfinite().all()):
                self.problems.append(f"step {turn.step}: the term {name} of {turn.phase.name} is {float(term.value.detach())}")

    @hookimpl(trylast=True)
    def updated(self, turn: Turn) -> None:
        self.draws[turn.draws.key] = dict(turn.draws._counts)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "probe", Probe)
