"""Errors that are printed as they are, without a traceback: the user's to mend, or a plugin's."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class UserError(Exception):
    """Says where, what is wrong and how to mend it. The command line prints it and ends with ``exit_code``."""

    exit_code = 2


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


def nearest(name: object, names: Iterable[object]) -> str:
    """``; did you mean "..."?``, or nothing if no name is near."""
    known = [str(other) for other in names]
    wanted = str(name).replace("_", "-").lower()
    folded = {other.replace("_", "-").lower(): other for other in reversed(known)}
    near = difflib.get_close_matches(wanted, list(folded), n=1)
    return f'; did you mean "{folded[near[0]]}"?' if near else ""
