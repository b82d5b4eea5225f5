"""Mistakes in a component's class that are seen without running it: its events, and the methods its kind asks for.

This file imports no torch.
"""

from __future__ import annotations

import difflib
import inspect
from functools import lru_cache
from typing import Any

from ganrun.contracts.events import Events
from ganrun.contracts.protocols import PROTOCOLS, Observer
from ganrun.words.hooks import Component


def methods_of(protocol: type) -> list[str]:
    """The methods that a protocol names itself, in their order."""
    machinery = vars(Observer)  # a protocol of no methods
    return [name for name, value in vars(protocol).items() if inspect.isfunction(value) and name not in machinery]


def mistakes_of(component: Component) -> list[str]:
    """One line for each mistake: a method that is missing, one that looks like a hook and is none, and the like."""
    if not inspect.isclass(component.factory):
        return []
    return [*hook_mistakes(component), *_missing(component.kind, component.factory)]


def _missing(kind: str, factory: type) -> list[str]:
    """The methods that a component of this kind lacks. What ``__getattr__`` offers is not known before it is asked."""
    if hasattr(factory, "__getattr__"):
        return []
    protocol = PROTOCOLS[kind][0]
    asked = methods_of(protocol)
    lacking = [name for name in asked if not any(name in vars(cls) for cls in factory.__mro__)]
    found = []
    if lacking:
        wanted = ", ".join(f"{name}{inspect.signature(getattr(protocol, name))}".replace("'", "") for name in lacking)
        found.append(f"{where_of(factory)}: {factory.__name__} lacks {wanted}, which the core calls")
    if hasattr(factory, "state_dict") and not hasattr(factory, "load_state_dict"):
        found.append(f"{where_of(factory)}: {factory.__name__} has state_dict, but no load_state_dict(self, state)")
    return found


@lru_cache(maxsize=1024)
def hook_mistakes(component: Component) -> tuple[str, ...]:
    """Methods that look like hooks and are not, hooks of unknown events, hooks with wrong parameters."""
    if not inspect.isclass(component.factory):
        return ()
    events = {name: spec for name, spec in vars(Events).items() if inspect.isfunction(spec)}
    offered = PROTOCOLS[component.kind]
    called_by_core = {name for one in offered for name in methods_of(one)}
    found = []
    for name in dir(component.factory):
        method = inspect.getattr_static(component.factory, name)
        if not inspect.isfunction(method):
            continue
        marked = hasattr(method, "ganrun_impl")
        where = f"{where_of(method)}: {component.factory.__name__}.{name}"
        if name in called_by_core and name in events:
            if marked:
                why = f"the core calls this method of a {component.kind} itself"
                found.append(f"{where}: {why}; take @hookimpl away, or it runs twice")
        elif name in events and not marked:
            found.append(
                f"{where}: named like an event but not marked @hookimpl, so it is never called; mark or rename it"
            )
        elif marked and name not in events:
            near = difflib.get_close_matches(name, events, n=1)
            found.append(f"{where}: no event is called {name}" + (f'; did you mean "{near[0]}"?' if near else ""))
        elif marked:
            found += _arguments(where, method, events[name])
    return tuple(found)


def _arguments(where: str, method: Any, spec: Any) -> list[str]:
    known = list(inspect.signature(spec).parameters)[1:]
    extra = [name for name in list(inspect.signature(method).parameters)[1:] if name not in known]
    near = [difflib.get_close_matches(name, known, n=1) for name in extra]
    hint = "".join(f'; did you mean "{close[0]}"?' for close in near if close)
    return (
        [f"{where}: the event has no parameter {', '.join(extra)}; it has ({', '.join(known)}){hint}"] if extra else []
    )


def where_of(thing: Any) -> str:
    """``file:line`` of a class or function; its module where there is no file."""
    thing = inspect.unwrap(thing)
    code = getattr(thing, "__code__", None)
    if code is not None:
        return f"{code.co_filename}:{code.co_firstlineno}"
    try:
        return f"{inspect.getsourcefile(thing)}:{inspect.getsourcelines(thing)[1]}"
    except (OSError, TypeError):
        return str(getattr(thing, "__module__", ""))
