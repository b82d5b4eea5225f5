"""Tables for people, plain lines for programs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO, cast

RUN_HELP = "The folder of a run, a zip file of one, or hf://user/name."


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on a terminal, whose last column wraps; else aligned lines, never shortened, without a header."""
    if sys.stdout.isatty() and _fits(rows):
        _rich_table(columns, rows)
        return
    widths = [max((len(row[k]) for row in rows), default=0) for k in range(len(columns))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def _fits(rows: Sequence[Sequence[str]]) -> bool:
    """Whether a terminal has room for all columns but the last, and some of that; else a table would shorten names."""
    from rich.console import Console

    widths = [max((len(cell) for cell in column), default=0) + 3 for column in zip(*rows)]
    return sum(widths[:-1]) + 12 <= Console().width


def _rich_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns[:-1]:
        table.add_column(column, no_wrap=True)
    table.add_column(columns[-1], overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))  # Text: brackets in a summary are not markup
    Console().print(table)


class _Outliving:
    """A text stream that discards what is written once its reader is gone."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or discard if the pipe is closed."""
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self._leave()
            return len(text)

    def flush(self) -> None:
        """Flush, or discard if the pipe is closed."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._leave()

    def _leave(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def outliving_readers() -> Iterator[None]:
    """While this lasts, a closed pipe ends nothing.

    Ctrl-C in ``ganrun recipe X | tee log`` ends tee first, before the run is saved.
    """
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = cast(TextIO, _Outliving(before[0])), cast(TextIO, _Outliving(before[1]))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


class _Aside:
    """A text stream in the place of ``stdout`` that writes to stderr; ``stdout`` is the one that it stands in for."""

    def __init__(self, stdout: TextIO) -> None:
        self.stdout = stdout

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)


@contextmanager
def stdout_for_json() -> Iterator[None]:
    """While this lasts, stdout is for :func:`print_json` alone: what a plugin prints goes to stderr."""
    before = sys.stdout
    sys.stdout = cast(TextIO, _Aside(before))
    try:
        yield
    finally:
        sys.stdout = before


def print_json(data: Any) -> None:
    """Print data as JSON, on the true stdout."""
    print(json.dumps(data, indent=2), file=getattr(sys.stdout, "stdout", sys.stdout), flush=True)


def counted(count: int, noun: str) -> str:
    """``1 step``, ``2,000 steps``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def complain(message: str) -> None:
    """One line on stderr, after everything printed so far."""
    sys.stdout.flush()
    print(message, file=sys.stderr)
