"""Paths as people write them, without the errors that pathlib raises for a user or a loop of links."""

from __future__ import annotations

import os
from pathlib import Path


def expanded(path: str | Path) -> Path:
    """A path with ``~`` and ``~user`` expanded as a shell does it: that of a user who is not there stays as written."""
    return Path(os.path.expanduser(path))


def resolved(path: str | Path) -> Path:
    """An absolute path without links or ``..``; of a loop of links, the path at which the loop was found.

    Raises:
        ValueError: for a path with a NUL character.
    """
    return Path(os.path.realpath(path))
