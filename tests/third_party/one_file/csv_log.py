"""The terms of every few steps as a table, ``terms.csv``, which a spreadsheet opens."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar

from pydantic import Field

from ganrun.plugin import Component, Run, hookimpl

FILE = "terms.csv"


class CsvLog:
    """One row a step; the columns are the terms of the first row."""

    files: ClassVar[Sequence[str]] = (FILE,)

    def __init__(self, *, every: Annotated[int, Field(ge=1, description="steps between two rows")] = 10) -> None:
        self.every = every

    @hookimpl
    def run_start(self, run: Run) -> None:
        self._cut(run)

    @hookimpl
    def rolled_back(self, run: Run) -> None:
        self._cut(run)

    def _cut(self, run: Run) -> None:
        """Drop the rows of steps that will be taken again."""
        if run.is_main and run.folder is not None and (run.folder / FILE).exists():
            head, *rows = list(csv.reader((run.folder / FILE).open(newline="")))
            with (run.folder / FILE).open("w", newline="") as file:
                csv.writer(file).writerows([head, *(row for row in rows if int(row[0]) <= run.step)])

    @hookimpl
    def step_end(self, run: Run) -> None:
        if not run.is_main or run.folder is None or run.step % self.every:
            return
        values, path = run.metrics(), run.folder / FILE
        head = next(csv.reader(path.open(newline=""))) if path.exists() else ["step", *values]
        with path.open("a", newline="") as file:
            rows = [] if file.tell() else [head]
            csv.writer(file).writerows([*rows, [run.step, *(values.get(name, "") for name in head[1:])]])


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("observer", "csv-log", CsvLog)
