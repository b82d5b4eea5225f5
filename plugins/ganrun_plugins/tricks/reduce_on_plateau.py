"""Lower rates on a plateau: the players' rates are multiplied by a factor whenever a logged number stops falling.

Paper: Berthelot, Schumm and Metz, "BEGAN: Boundary Equilibrium Generative Adversarial Networks" (2017), section 4.1:
the rate is halved when the measure of convergence M stalls, which the loss ``began`` logs as
``adversarial.convergence``. When it stalls the paper does not say; here, as torch's ReduceLROnPlateau does by epoch:

    m_i = mean of the number over the i-th ``window``;   best = min m_i
    after ``patience`` windows in a row with m_i >= best - margin |best|:   rate <- factor * rate

from the next step on, and the count of windows begins again. ``watch`` is the name of a term or of a note of a turn,
without its phase; where several phases log it, all their turns count. Its mean over micro-batches and processes counts,
so that all processes lower their rates in the same step.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Duration, Step, Turn, UserError, hookimpl


class ReduceOnPlateau:
    """Multiplies all rates by a factor when the mean of a logged number falls no more."""

    strength: ClassVar[str] = "factor"
    neutral: ClassVar[int] = 1

    def __init__(
        self,
        *,
        watch: Annotated[str, Field(min_length=1, description="the term or note that ought to fall")],
        window: Annotated[Duration, Field(description="what its means are taken over")] = Duration(1000),
        patience: Annotated[int, Field(ge=1, description="windows without a new best before rates fall")] = 5,
        margin: Annotated[float, Field(ge=0, lt=1, description="share by which a new best is lower")] = 0.01,
        factor: Annotated[float, Field(gt=0, le=1, description="of the rates, each time")] = 0.5,
    ) -> None:
        self.watch = watch
        self.window = Duration.parse(window)
        self.patience = patience
        self.margin = margin
        self.factor = factor
        self.cuts: list[int] = []  # the steps from which on rates are lower
        self.best: float | None = None
        self.waited = 0
        self.sums: Tensor | None = None  # (2,): sum and count of this window's values, on the device
        self._parts: dict[str, list[Tensor]] = {}  # phase -> the values of a turn's micro-batches

    @hookimpl
    def optimizer_options(self, player: str, step: int, options: dict[str, Any]) -> None:
        options["lr"] *= self.factor ** sum(cut <= step for cut in self.cuts)

    @hookimpl(trylast=True)  # after what adds or notes it
    def losses(self, turn: Turn) -> None:
        term = turn.terms.get(self.watch)
        value = turn.notes.get(self.watch) if term is None else term.value
        if value is not None:
            value = value.detach().to(torch.get_default_dtype())
            self._parts.setdefault(turn.phase.name, []).append(value)

    @hookimpl(trylast=True)
    def updated(self, turn: Turn) -> None:
        parts = self._parts.pop(turn.phase.name, [])
        if self.watch in turn.notes:  # what is noted after the update is of the whole turn
            parts = [turn.notes[self.watch]]
        if parts:
            value = turn.mean_over_processes(torch.stack(parts).mean())
            seen = torch.stack([value, torch.ones_like(value)])
            self.sums = seen if self.sums is None else self.sums.to(seen.device) + seen

    @hookimpl
    def step_taken(self, step: Step) -> None:
        if (step.step + 1) % self.window.whole_steps(step.clock):
            return
        if self.sums is None:
            raise UserError(
                f'trick reduce-on-plateau: nothing called "{self.watch}" was logged up to step {step.step}; '
                "set watch to a name in metrics.jsonl, without the phase in front of it"
            )
        total, count = self.sums.tolist()
        self.sums = None
        self._close(total / count, step.step + 1)

    def _close(self, mean: float, step: int) -> None:
        """End a window; ``step`` is the first of the next."""
        if self.best is None or mean < self.best - self.margin * abs(self.best):
            self.best, self.waited = mean, 0
            return
        self.waited += 1
        if self.waited == self.patience:
            self.cuts.append(step)
            self.waited = 0

    def state_dict(self) -> dict[str, Any]:
        """The steps of the cuts, the best mean, the windows waited for, and this window's sum and count."""
        return {
            "cuts": list(self.cuts),
            "waited": self.waited,
            **({} if self.best is None else {"best": self.best}),
            **({} if self.sums is None else {"sums": self.sums}),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what ``state_dict`` returned."""
        self.cuts, self.waited = [int(cut) for cut in state["cuts"]], int(state["waited"])
        self.best, self.sums = state.get("best"), state.get("sums")


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "reduce-on-plateau", ReduceOnPlateau)
