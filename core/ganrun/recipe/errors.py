"""Problems of a recipe: where each is, what is wrong, how to mend it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ganrun.errors import UserError, clipped, nearest, shortened

PROBLEMS_SHOWN = 100  # problems that a message lists


@dataclass(frozen=True)
class Problem:
    """One mistake.

    ``file`` is a file, ``--set KEY=VALUE`` or empty; ``line`` and ``column`` count from 1, 0 if there are none.
    """

    file: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        where = [self.file] if self.file else []
        if self.line:
            where[-1:] = [f"{self.file}:{self.line}:{self.column}"]
        return clipped(": ".join([*where, *([self.path] if self.path else []), self.message]))


class RecipeError(UserError, ValueError):
    """A recipe that cannot be used.

    ``problems`` holds every mistake, sorted by line; ``str()`` is one line for each of the first.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        # Files first, by line; what has no line (--set, a variant's defaults) comes last.
        self.problems = sorted(
            set(problems), key=lambda p: (p.line == 0 and bool(p.file), p.file, p.line, p.column, p.path, p.message)
        )
        lines = [str(problem) for problem in self.problems[:PROBLEMS_SHOWN]]
        more = len(self.problems) - PROBLEMS_SHOWN
        super().__init__("\n".join(lines + ([f"and {more:,} more problems"] if more > 0 else [])))


def unknown_key(key: object, known: Iterable[object], whose: str) -> str:
    """The message for a key that is not among the known ones."""
    names = [str(name) for name in known]
    near = nearest(key, names)
    if near:
        return f"unknown key{near}"
    return f"unknown key; {whose} takes {', '.join(names)}" if names else f"unknown key; {whose} takes no parameters"


def show(value: Any) -> str:
    """A value as a message shows it: short, on one line, strings in quotes."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list" if value else "an empty list"
    try:
        text = json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value)
    except ValueError:  # an integer with more digits than Python turns into text
        return "a number with thousands of digits"
    return text if len(text) <= 60 else f"{text[:56]} ..."


def dotted(path: Iterable[object]) -> str:
    """A path as messages and ``--set`` write it: ``tricks.0.ema.decay``. Keys that are no names are shortened."""
    return ".".join(shortened(str(key)) for key in path)
