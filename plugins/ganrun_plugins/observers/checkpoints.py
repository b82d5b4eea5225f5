"""Checkpoints every so often and at the end, as the recipe's key ``checkpoint`` says.

``checkpoint: {every: 500, keep: 3, best: {evaluator: frechet-distance, mode: min}}``. The newest ``keep`` are kept, and
the best one, which ``checkpoints/best.json`` names: an evaluator's name stands for its first metric,
``evaluator.metric`` for that one. An interrupted run saves its last step.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ganrun.plugin import Component, Every, Run, hookimpl


class Checkpoints:
    """Decides when to save, and which checkpoints stay."""

    def __init__(self) -> None:
        self.best: dict[str, Any] | None = None
        self._improved = False
        self._saved: int | None = None
        self._every = Every(1)

    @hookimpl
    def run_start(self, run: Run) -> None:
        self._every = Every(run.recipe.checkpoint.every)
        self._every.start(run)
        self._saved = run.resumed_from
        self._hold_best(run)

    @hookimpl
    def rolled_back(self, run: Run) -> None:
        self._improved = False
        self._hold_best(run)

    def _hold_best(self, run: Run) -> None:
        """Forget a best checkpoint that is missing, and mark the one that is there."""
        if run.is_main and self.best is not None and self.best["step"] not in run.checkpoints.steps():
            self.best = None  # it was removed by hand, or by a run that went another way
        self._tidy(run)

    @hookimpl
    def evaluate(self, run: Run, scores: dict[str, float]) -> None:
        """Called in the main process alone: notes whether this step is the best so far."""
        wanted = run.recipe.checkpoint.best
        if wanted is None:
            return
        metric = next(
            (
                name
                for name in scores
                if name == wanted.evaluator or name.startswith((f"{wanted.evaluator}.", f"{wanted.evaluator}["))
            ),
            None,
        )
        if metric is None or not math.isfinite(scores[metric]):
            return
        value = scores[metric]
        before = None if self.best is None else self.best["value"]
        if before is None or (value < before if wanted.mode == "min" else value > before):
            self.best = {"step": run.step, "metric": metric, "value": value}
            self._improved = True

    @hookimpl
    def step_end(self, run: Run) -> None:
        # Saving is done by all processes at once, so the main one's decision has to reach all.
        evaluated = run.recipe.checkpoint.best is not None and run.is_evaluated
        improved = evaluated and run.processes.sums(float(self._improved))[0] > 0
        if self._every.due(run) or improved:
            run.save()

    @hookimpl
    def checkpoint(self, run: Run, path: Path | None) -> None:
        """After any checkpoint: name the best one before older ones go."""
        self._saved = run.step
        self._tidy(run)
        self._improved = False

    def _tidy(self, run: Run) -> None:
        """Name the best one and remove what is too old; at a resume, too: a kill may have come before it was done."""
        if run.is_main:
            run.checkpoints.mark_best(self.best)
            needed = (None if self.best is None else self.best["step"], run.going_back_to)
            run.checkpoints.prune(run.recipe.checkpoint.keep, {step for step in needed if step is not None})

    @hookimpl(tryfirst=True)
    def run_end(self, run: Run, reason: str) -> None:
        """Comes first, so that an observer that fails at the end does not cost the last steps."""
        if reason != "failed" and self._saved != run.step:
            run.save()

    def state_dict(self) -> dict[str, Any]:
        return {"best": None if self.best is None else dict(self.best)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best = state["best"]


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("observer", "checkpoints", Checkpoints)
