"""Checks of a plugin that need no run: those of ``--plugin FILE`` and ``list-plugins --check``."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, get_type_hints

from ganrun.catalog.plugin_files import cause
from ganrun.contracts.mistakes import mistakes_of, where_of
from ganrun.errors import BrokenPlugin, PluginError
from ganrun.words.hooks import Component

if TYPE_CHECKING:
    from ganrun.catalog.catalog import Catalog, Entry

# How many positional arguments the core hands to the constructor of each kind; the others get none.
HANDED_IN = {"generator": 1, "discriminator": 1, "features": 1, "dataset": 2}


def check_plugins(catalog: Catalog, entries: Iterable[Entry]) -> Iterator[tuple[Entry, list[str]]]:
    """Import each of these plugins and look for mistakes that are seen without running it: entry, problems."""
    promised = {entry.qualified for entry in catalog.entries()}
    for entry in entries:
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


def check_files(catalog: Catalog) -> None:
    """Look for mistakes in the plugins that are not installed, and in no other.

    Raises BrokenPlugin with every mistake found.
    """
    found = []
    for entry in catalog.entries():
        if not entry.distribution:
            problems = problems_of(entry, catalog.load(entry.kind, entry.name))
            found += [f"{entry.qualified}: {problem}" for problem in problems]
    if found:
        raise BrokenPlugin("\n".join(found))


def problems_of(entry: Entry, component: Component) -> list[str]:
    """Every mistake found, one line each; empty if the plugin looks right."""
    where = f"{entry.file or entry.value}:1"
    silent = f"{where}: the module has no docstring; its first line is the summary that list-plugins shows"
    return [*([] if entry.summary else [silent]), *mistakes_of(component), *_parameters(component)]


def _parameters(component: Component) -> list[str]:
    """Parameters of the constructor that a recipe could not set or the core could not hand in."""
    kind, factory = component.kind, component.factory
    where = f"{where_of(getattr(factory, '__init__', factory))}: {factory.__name__}"
    try:
        parameters = inspect.signature(factory).parameters.values()
        function = factory.__init__ if inspect.isclass(factory) else factory
        hints = get_type_hints(function, include_extras=True)
    except Exception as error:  # a type hint is any expression, and may fail in any way
        return [f"{where}: its parameters cannot be read: {cause(error)}"]
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    found = []
    if len(positional) != HANDED_IN.get(kind, 0):
        names = ", ".join(p.name for p in positional) or "none"
        found.append(
            f"{where}: a {kind} is given {HANDED_IN.get(kind, 0)} positional arguments, but takes {names}; "
            "put a * before the parameters that recipes set"
        )
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            found.append(f"{where}: *args and **kwargs hide parameters from recipes; name each")
        elif parameter.kind is parameter.KEYWORD_ONLY and parameter.name not in hints:
            found.append(
                f"{where}: parameter {parameter.name} has no type; give it one, such as {parameter.name}: float = 1.0"
            )
    return found or _model(where, factory)


def _model(where: str, factory: Any) -> list[str]:
    """What keeps a recipe's values from being validated against these parameters: a type or a default."""
    from ganrun.recipe.parameters import SignatureError, parameter_model

    try:
        parameter_model(factory)
    except SignatureError as error:
        return [f"{where}: {error}"]
    return []
