"""Checks of a plugin that need no run: what ``list-plugins --check`` looks at after importing it."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, get_type_hints

import pluggy

from ganrun.catalog.plugin_files import cause
from ganrun.contracts import protocols
from ganrun.contracts.events import Events
from ganrun.errors import PluginError
from ganrun.words.hooks import Component

if TYPE_CHECKING:
    from ganrun.catalog.catalog import Catalog, Entry

# How many positional arguments the core hands to the constructor of each kind; the others get none.
HANDED_IN = {"generator": 1, "discriminator": 1, "features": 1, "dataset": 2}


def check_plugins(catalog: Catalog, kind: str | None = None) -> Iterator[tuple[Entry, list[str]]]:
    """Import each plugin (of one kind) and look for mistakes that are seen without running it: entry, problems."""
    promised = {entry.qualified for entry in catalog.entries()}
    for entry in catalog.entries(kind):
        if entry.problem or entry.disabled:
            yield entry, [entry.problem] if entry.problem else []
            continue
        try:
            component = catalog.load(entry.kind, entry.name)
        except PluginError as error:
            yield entry, [str(error)]
            continue
        siblings = [f"{other.kind}.{other.name}" for other in catalog.yielded_with(entry)]
        extra = [f"{name} is yielded too, but has no entry point" for name in siblings if name not in promised]
        yield entry, [*problems_of(entry, component), *extra]


def problems_of(entry: Entry, component: Component) -> list[str]:
    """Every mistake found, one line each; empty if the plugin looks right."""
    summary = (
        [] if entry.summary else ["the module has no docstring; its first line is the summary that list-plugins shows"]
    )
    return [*summary, *_hooks(component), *_parameters(component)]


def _hooks(component: Component) -> list[str]:
    """Methods that look like hooks and are not, hooks of unknown events, hooks with wrong parameters."""
    if not inspect.isclass(component.factory):
        return []
    events = {name: spec for name, spec in vars(Events).items() if inspect.isfunction(spec)}
    protocol: Any = getattr(protocols, component.kind.capitalize())
    called_by_core = {name for name, value in vars(protocol).items() if inspect.isfunction(value)}
    found = []
    for name in dir(component.factory):
        method = inspect.getattr_static(component.factory, name)
        if not inspect.isfunction(method):
            continue
        marked = pluggy.PluginManager("ganrun").parse_hookimpl_opts(component.factory, name) is not None
        where = f"{component.factory.__name__}.{name}"
        if name in called_by_core and name in events:
            if marked:
                found.append(
                    f"{where}: the core calls this method of a {component.kind} itself; "
                    "take @hookimpl away, or it runs twice"
                )
        elif name in events and not marked:
            found.append(
                f"{where}: named like an event but not marked @hookimpl, so it is never called; mark or rename it"
            )
        elif marked and name not in events:
            near = difflib.get_close_matches(name, events, n=1)
            found.append(f"{where}: no event is called {name}" + (f'; did you mean "{near[0]}"?' if near else ""))
        elif marked:
            found += _arguments(where, method, events[name])
    return found


def _arguments(where: str, method: Any, spec: Any) -> list[str]:
    known = list(inspect.signature(spec).parameters)[1:]
    extra = [name for name in list(inspect.signature(method).parameters)[1:] if name not in known]
    return [f"{where}: the event has no parameter {', '.join(extra)}; it has ({', '.join(known)})"] if extra else []


def _parameters(component: Component) -> list[str]:
    """Parameters of the constructor that a recipe could not set or the core could not hand in."""
    kind, factory = component.kind, component.factory
    try:
        parameters = inspect.signature(factory).parameters.values()
        function = factory.__init__ if inspect.isclass(factory) else factory
        hints = get_type_hints(function, include_extras=True)
    except Exception as error:  # a type hint is any expression, and may fail in any way
        return [f"{factory.__name__}: its parameters cannot be read: {cause(error)}"]
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    found = []
    if len(positional) != HANDED_IN.get(kind, 0):
        names = ", ".join(p.name for p in positional) or "none"
        found.append(
            f"{factory.__name__}: a {kind} is given {HANDED_IN.get(kind, 0)} positional arguments, but takes {names}; "
            "put a * before the parameters that recipes set"
        )
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            found.append(f"{factory.__name__}: *args and **kwargs hide parameters from recipes; name each")
        elif parameter.kind is parameter.KEYWORD_ONLY and parameter.name not in hints:
            found.append(
                f"{factory.__name__}: parameter {parameter.name} has no type; "
                f"give it one, such as {parameter.name}: float = 1.0"
            )
    return found or _model(factory)


def _model(factory: Any) -> list[str]:
    """What keeps a recipe's values from being validated against these parameters: a type or a default."""
    from ganrun.recipe.parameters import SignatureError, parameter_model

    try:
        parameter_model(factory)
    except SignatureError as error:
        return [f"{factory.__name__}: {error}"]
    return []
