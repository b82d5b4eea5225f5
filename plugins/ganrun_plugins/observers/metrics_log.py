"""One line of JSON every so many steps in ``metrics.jsonl``: terms, learning rates and scores.

A line is flat: ``step``, ``time`` (seconds since 1970), ``phase/term`` for the terms of that step, ``rate/player`` for
learning rates, ``evaluator.metric`` for scores. A value that is not finite is null: JSON has no NaN.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar

from pydantic import Field

from ganrun.plugin import Component, Duration, Every, Run, hookimpl

FILE = "metrics.jsonl"


class MetricsLog:
    """Writes the terms of the main process."""

    files: ClassVar[Sequence[str]] = (FILE,)

    def __init__(
        self, *, every: Annotated[Duration, Field(description="time between two lines")] = Duration(50)
    ) -> None:
        self.every = Every(every)
        self._scores: dict[str, float] = {}
        self._written = -1

    @hookimpl
    def run_start(self, run: Run) -> None:
        self.every.start(run)
        self._written = run.step
        if run.is_main and run.folder is not None:
            (run.folder / FILE).touch()  # so that it can be followed from the first step on

    @hookimpl
    def rolled_back(self, run: Run) -> None:
        self._scores, self._written = {}, run.step

    @hookimpl
    def evaluate(self, run: Run, scores: dict[str, float]) -> None:
        self._scores.update(scores)

    @hookimpl
    def step_end(self, run: Run) -> None:
        if self.every.due(run) or self._scores:
            self._write(run)

    @hookimpl
    def run_end(self, run: Run, reason: str) -> None:
        if reason != "failed" and run.step > self._written:
            self._write(run)

    def _write(self, run: Run) -> None:
        if run.is_main:
            run.append(FILE, {"time": round(time.time(), 2), **run.metrics(), **run.rates(), **self._scores})
        self._scores, self._written = {}, run.step


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("observer", "metrics-log", MetricsLog)
