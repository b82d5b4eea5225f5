"""Whose code failed: from an error to the plugin, its distribution, the method, and the lines of its author's code.

An error is looked at when it has ended a command, so that nothing watches the calls themselves: the traceback knows
which code was running, and the plugin modules that are imported know whose it is.
"""

from __future__ import annotations

import inspect
import linecache
import re
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from types import CodeType, FrameType
from typing import Any

from ganrun.catalog.search_path import entry_points
from ganrun.errors import BrokenPlugin, UserError, WrongResult
from ganrun.words.hooks import Component

LINES = 3  # of the author's code, the last ones
MOST = 1000  # components of one module: more come from a generator that never ends
_ARGUMENTS = re.compile(r"(?P<name>[\w.]+)\(\) (missing|takes|got)")
Lines = list[tuple[FrameType, int]]


@dataclass(frozen=True)
class Owner:
    """A component of an imported plugin module. ``origin``: distribution and version, or the file."""

    component: Component
    module: str
    origin: str

    @property
    def package(self) -> str:
        """The top-level package of the author's code."""
        return self.module.partition(".")[0]

    def __str__(self) -> str:
        return f"{self.component.kind}.{self.component.name} ({self.origin})"


def broken(error: BaseException) -> BrokenPlugin | None:
    """The message for an error that comes from a plugin's code; None for any other error."""
    owners = list(imported())
    if isinstance(error, WrongResult):
        return _wrong_result(error, owners)
    lines = list(traceback.walk_tb(error.__traceback__))
    packages = {owner.package for owner in owners}
    if lines and _package(lines[-1][0]) not in packages and (found := _not_as_called(error, owners)):
        return found
    last = next((i for i in reversed(range(len(lines))) if _package(lines[i][0]) in packages), None)
    if last is None:
        return None
    package = _package(lines[last][0])
    mine = [owner for owner in owners if owner.package == package]
    start = next((i for i in reversed(range(last + 1)) if _owner(lines[i][0], mine)), None)
    owner = None if start is None else _owner(lines[start][0], mine)
    first = _entered(lines, last if start is None else start, package, mine, owner)
    own = [(frame, line) for frame, line in lines[first : last + 1] if _package(frame) == package]
    who = str(owner) if owner else f"a plugin of {mine[0].origin}"
    return BrokenPlugin(
        "\n".join(
            [
                f"{who} in {lines[first][0].f_code.co_name}: {described_error(error)}",
                *(f"  {_place(frame.f_code, line, source=True)}" for frame, line in own[-LINES:]),
                *_caller(lines[:first], owners),
                DEBUG,
            ]
        )
    )


@contextmanager
def plugins_noted() -> Iterator[None]:
    """An error that comes from a plugin's code gets a note that says whose it is; its type and traceback stay.

    One that would end the process becomes a BrokenPlugin.
    """
    try:
        yield
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        named = broken(error)
        if named is not None:
            if isinstance(error, SystemExit):
                raise named from error
            error.add_note(str(named).removesuffix(f"\n{DEBUG}"))
        raise


DEBUG = "  --debug prints the whole traceback"


def described_error(error: BaseException) -> str:
    """An error in one line: its kind and what it says."""
    if isinstance(error, SystemExit):
        called = getattr(error, "called", f"sys.exit({'' if error.code is None else repr(error.code)})")
        return f"it calls {called}; a plugin must not end the process: raise an error instead"
    text = " ".join(str(error).split())
    return f"{type(error).__name__}{': ' + text if text else ''}"


# --- whose a frame is -------------------------------------------------------------------------------------------


def imported() -> Iterator[Owner]:
    """The components of every plugin module that is imported, whoever imported it."""
    origins = {
        point.value: f"{point.dist.name} {point.dist.version}"
        for point in entry_points("ganrun")
        if point.dist is not None
    }
    for name, module in list(sys.modules.items()):
        function: Any = getattr(module, "__dict__", {}).get("ganrun_components")
        if not hasattr(function, "ganrun_impl") or name.partition(".")[0] == "ganrun":
            continue
        try:
            components = list(islice(function() or (), MOST))
        except Exception:  # what it did when the catalogue called it has been reported
            continue
        origin = origins.get(name) or str(getattr(module, "__file__", None) or name)
        yield from (Owner(c, name, origin) for c in components if isinstance(c, Component))


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


def _owner(frame: FrameType, owners: Iterable[Owner]) -> Owner | None:
    """The plugin that a frame is of: by the class of its first argument, or by the only plugin of its module."""
    code = frame.f_code
    if code.co_argcount:
        found = of_object(frame.f_locals.get(code.co_varnames[0]), owners)
        if found is not None:
            return found
    name = frame.f_globals.get("__name__")
    there = [owner for owner in owners if name in (owner.module, getattr(owner.component.factory, "__module__", ""))]
    return there[0] if len(there) == 1 else None


def owned(component: Component) -> str:
    """A component with its distribution and version, or its file, as messages name it."""
    owner = of_object(component.factory, imported())
    return str(owner) if owner else f"{component.kind}.{component.name}"


def of_object(thing: Any, owners: Iterable[Owner]) -> Owner | None:
    """The plugin whose factory a thing is, or is an instance of."""
    classes = (thing if inspect.isclass(thing) else type(thing)).__mro__
    return next((owner for cls in classes for owner in owners if owner.component.factory is cls), None)


def _entered(lines: Lines, start: int, package: str, owners: list[Owner], owner: Owner | None) -> int:
    """The place where the core, or another plugin, entered the code of this one."""
    first = start
    for i in reversed(range(start)):
        frame = lines[i][0]
        if _package(frame) == package and _owner(frame, owners) in (owner, None):
            first = i
        elif (
            _package(frame) in ("ganrun", "pluggy")
            or _package(frame) == package
            or any(_package(frame) == other.package for other in owners)
        ):
            break
    return first


def _caller(lines: Lines, owners: list[Owner]) -> list[str]:
    """One line that names the plugin which called the one that failed, if there is one."""
    for frame, line in reversed(lines):
        owner = _owner(frame, owners)
        if owner is not None and owner.package == _package(frame):  # a network is the self of torch's frames, too
            return [f"  called by {owner}, {_place(frame.f_code, line)}"]
    return []


def _place(code: CodeType, line: int, *, source: bool = False) -> str:
    linecache.checkcache(code.co_filename)
    text = linecache.getline(code.co_filename, line).strip() if source else ""
    return f"{code.co_filename}:{line} in {code.co_name}{': ' + text if text else ''}"


# --- errors that the core raises because of a plugin ------------------------------------------------------------


def _wrong_result(error: WrongResult, owners: list[Owner]) -> BrokenPlugin:
    owner = of_object(error.owner, owners)
    who = str(owner) if owner else type(error.owner).__name__
    text = f"{who} in {error.method}: expected {error.expected}; got {error.came}"
    return BrokenPlugin("\n".join([text, *_defined(getattr(type(error.owner), error.method, None)), DEBUG]))


def _not_as_called(error: BaseException, owners: list[Owner]) -> BrokenPlugin | None:
    """A component without what the core asks it for, or a method that does not take what the core hands it."""
    if isinstance(error, AttributeError) and error.obj is not None:
        owner = of_object(error.obj, owners)
        if owner is not None:
            text = f"{owner}: expected {error.name}, which the core asks it for; it has none"
            return BrokenPlugin("\n".join([text, *_defined(getattr(type(error.obj), "__init__", None)), DEBUG]))
    match = _ARGUMENTS.match(str(error)) if isinstance(error, TypeError) else None
    if match is None:
        return None
    called, _, method = match["name"].rpartition(".")
    for owner in reversed(owners):
        factory = owner.component.factory
        if called and called == getattr(factory, "__qualname__", None) and hasattr(factory, method):
            text = f"{owner} in {method}: {described_error(error)}"
            return BrokenPlugin("\n".join([text, *_defined(getattr(factory, method)), DEBUG]))
    return None


def _defined(method: Any) -> list[str]:
    """One line with the place of a method, none for what is not written in Python."""
    code = getattr(inspect.unwrap(method) if method is not None else None, "__code__", None)
    return [] if code is None else [f"  {_place(code, code.co_firstlineno)}"]
