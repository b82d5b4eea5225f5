"""Where installed plugins are looked for: ``sys.path`` without the working directory that Python puts on it.

Python puts the working directory first for ``python -m`` and in an interactive session, and for an empty part of
PYTHONPATH. What is importable only because of where the user stands is not installed. A folder that PYTHONPATH names,
or a ``.pth`` file, stays, also when the user stands in it.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Sequence


def installed_path(path: Sequence[str]) -> list[str]:
    """The entries of a ``sys.path`` that do not depend on where the user stands."""
    here, places = os.getcwd(), list(path)
    parts = [] if sys.flags.ignore_environment else os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if here not in map(os.path.abspath, filter(None, parts)):
        spec = getattr(sys.modules.get("__main__"), "__spec__", None)
        if spec is not None and not sys.flags.safe_path and places[:1] == [here]:  # a script has no spec
            places = places[1:]
        if len(parts) > 1 and "" in parts and here in places:
            places.remove(here)
    return [place for place in places if place]  # "" is the working directory, whichever that is


def entry_points(group: str) -> list[importlib.metadata.EntryPoint]:
    """The entry points of a group that are installed; of two distributions of one name, those of the first."""
    places = installed_path(sys.path)
    if places == sys.path:
        return list(importlib.metadata.entry_points(group=group))
    found: dict[str | int, importlib.metadata.Distribution] = {}
    for distribution in importlib.metadata.distributions(path=places):
        found.setdefault(distribution.metadata["Name"] or id(distribution), distribution)
    return [point for one in found.values() for point in one.entry_points if point.group == group]
