"""When a check applies: some hold only for plugins that offer something."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pluggy

from ganrun.contracts.events import Events
from ganrun.testing.plugin import Plugin


def when(applies: Callable[[Plugin], bool]) -> Callable[[Any], Any]:
    """Limit a check to the plugins for which ``applies`` holds."""

    def mark(check: Any) -> Any:
        check.applies = applies
        return check

    return mark


def not_quick(check: Any) -> Any:
    """Leave a check to the full contract: ``list-plugins --check`` does not run it."""
    check.quick = False
    return check


def provides(capability: str) -> Callable[[Plugin], bool]:
    """Whether the class, or an instance made with its defaults, provides a capability."""
    return lambda plugin: capability in getattr(plugin.factory, "provides", ())


def offline(plugin: Plugin) -> bool:
    """Whether a data set, or features, need no download: those that do set ``offline = False``.

    True for every other kind.
    """
    return bool(getattr(plugin.factory, "offline", True)) or bool(plugin.example.parameters)


def events_of(factory: Any) -> list[str]:
    """The events that a class implements."""
    manager = pluggy.PluginManager("ganrun")
    return [
        name
        for name, spec in vars(Events).items()
        if inspect.isfunction(spec)
        and hasattr(factory, name)
        and manager.parse_hookimpl_opts(factory, name) is not None
    ]
