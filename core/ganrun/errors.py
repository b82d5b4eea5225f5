"""Errors that are printed as they are, without a traceback: the user's to mend, or a plugin's."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

_NAME_LENGTH = 100  # characters of a name that is looked for among others
LINE_LENGTH = 1000  # characters of a line of a message


class UserError(Exception):
    """Says where, what is wrong and how to mend it. The command line prints it and ends with ``exit_code``."""

    exit_code = 2

    def __str__(self) -> str:
        return clipped(super().__str__())


class PluginError(UserError, ValueError):
    """A plugin that is not there, or is broken: names the plugin, its distribution and version, and the cause."""


class BrokenPlugin(PluginError):
    """A plugin whose code fails, or gives the core what it cannot use: whose it is, where, and what was expected."""

    exit_code = 1


class WrongResult(TypeError):
    """A plugin's method gave what the core cannot use.

    owner: the component, or the network, whose ``method`` was called. expected, came: in words.
    """

    def __init__(self, owner: Any, method: str, expected: str, came: str) -> None:
        super().__init__(f"{type(owner).__name__}.{method}: expected {expected}; got {came}")
        self.owner = owner
        self.method = method
        self.expected = expected
        self.came = came


class DataError(UserError):
    """Data that cannot be read or used: the message names the file or parameter and says how to mend it."""


class DownloadError(DataError):
    """A file that could not be fetched or is not the one expected: the message explains how to place it by hand."""


class SettingError(UserError):
    """A setting of a recipe's ``train`` that does not work here: its ``key``, and why not."""

    def __init__(self, key: str, why: str) -> None:
        super().__init__(f"train.{key}: {why}")
        self.key = key


def clipped(message: str) -> str:
    """A message whose lines are at most ``LINE_LENGTH`` characters long.

    The middle is left out of longer ones: where stands at the beginning, and how to mend it at the end.
    """
    if len(message) <= LINE_LENGTH:
        return message
    return "\n".join(
        line if len(line) <= LINE_LENGTH else f"{line[: LINE_LENGTH // 2]} ... {line[-LINE_LENGTH // 3 :]}"
        for line in message.split("\n")
    )


def shortened(text: str, length: int = 60) -> str:
    """A text as a message shows it: on one line, cut where it is longer than ``length`` characters."""
    line = " ".join(text[: 8 * length].split())  # a text of megabytes is not split
    return line if len(line) <= length and len(text) <= 8 * length else f"{line[: length - 4]} ..."


def some(names: Iterable[object], shown: int = 4) -> str:
    """The first names of a list, shortened, and how many more there are."""
    known = list(names)
    more = f" and {len(known) - shown:,} more" if len(known) > shown else ""
    return ", ".join(shortened(str(name)) for name in known[:shown]) + more


def nearest(name: object, names: Iterable[object]) -> str:
    """``; did you mean "..."?``, or nothing if no name is near."""
    known = [str(other) for other in names]
    wanted = str(name)[:_NAME_LENGTH].replace("_", "-").lower()
    folded = {other.replace("_", "-").lower(): other for other in reversed(known)}
    near = difflib.get_close_matches(wanted, list(folded), n=1)
    return f'; did you mean "{folded[near[0]]}"?' if near else ""
