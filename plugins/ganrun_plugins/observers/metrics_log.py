"""One line of JSON every so many steps in ``metrics.jsonl``: terms, learning rates and scores.

A line is flat: ``step``, ``time`` (seconds since 1970), ``phase/term`` for the terms of that step, ``rate/player`` for
learning rates, ``evaluator.metric`` for scores. A value that is not finite is null: JSON has no NaN.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from typing import Annotated, Any, TextIO

from pydantic import Field

from ganrun.plugin import Component, Duration, Run, hookimpl, jsonl
from ganrun_plugins.observers._every import Every


class MetricsLog:
    """Writes the terms of the main process."""

    def __init__(
        self, *, every: Annotated[Duration, Field(description="time between two lines")] = Duration(50)
    ) -> None:
        self.every = Every(every)
        self._file: TextIO | None = None
        self._scores: dict[str, float] = {}
        self._written = -1

    @hookimpl
    def run_start(self, run: Run) -> None:
        self.every.start(run)
        self._open(run)

    @hookimpl
    def rolled_back(self, run: Run) -> None:
        if self._file is not None:
            self._file.close()
        self._scores = {}
        self._open(run)

    def _open(self, run: Run) -> None:
        """Cut the lines of steps that a resumed run, or one rolled back, will take again, and open the file."""
        if not run.is_main:
            return
        assert run.folder is not None
        path = run.folder / "metrics.jsonl"
        jsonl.cut(path, run.step)
        self._file = path.open("a", encoding="utf-8")
        self._written = run.step

    @hookimpl
    def evaluate(self, run: Run, scores: dict[str, float]) -> None:
        self._scores.update(scores)

    @hookimpl
    def step_end(self, run: Run) -> None:
        if self.every.due(run) or self._scores:
            self._write(run)

    @hookimpl
    def run_end(self, run: Run, reason: str) -> None:
        if self._file is None:
            return
        if reason != "failed" and run.step > self._written:
            self._write(run)
        self._file.close()
        self._file = None

    def _write(self, run: Run) -> None:
        if self._file is None:
            return
        line: dict[str, Any] = {"step": run.step, "time": round(time.time(), 2), **run.metrics()}
        line |= rates(run) | self._scores
        self._scores = {}
        self._written = run.step
        self._file.write(json.dumps({name: finite(value) for name, value in line.items()}, allow_nan=False) + "\n")
        self._file.flush()


def rates(run: Run) -> dict[str, float]:
    """``rate/player`` -> the learning rate of the step just done, as lazy phases have it."""
    return {f"rate/{player}": rate for player, rate in run.rates().items()}


def finite(value: float) -> float | None:
    """The value, None if JSON cannot say it."""
    return value if math.isfinite(value) else None


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("observer", "metrics-log", MetricsLog)
