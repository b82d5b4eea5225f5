"""Tables for people, plain lines for programs."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on a terminal, whose last column wraps; else one aligned line a row, never cut and without a header."""
    if sys.stdout.isatty():
        _rich_table(columns, rows)
        return
    widths = [max((len(row[k]) for row in rows), default=0) for k in range(len(columns))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


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


def complain(message: str) -> None:
    """One line on stderr, after everything printed so far."""
    sys.stdout.flush()
    print(message, file=sys.stderr)
