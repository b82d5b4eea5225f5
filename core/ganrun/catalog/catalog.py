"""The catalogue of plugins: found by entry point, listed without importing any, loaded one by one.

A plugin is a module of an installed distribution, named by an entry point ``kind.name`` of the group ``ganrun``, or an
uninstalled module handed in. This file imports no plugin by itself, and neither torch nor pydantic.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pluggy

from ganrun.catalog.attribution import MOST
from ganrun.catalog.plugin_files import cause, docstring, first_line, locate, run_file, sha256
from ganrun.catalog.search_path import entry_points
from ganrun.errors import BrokenPlugin, PluginError, nearest, shortened
from ganrun.paths import expanded
from ganrun.words.hooks import KINDS, Component, ComponentHooks

GROUP = "ganrun"
DISABLE = "GANRUN_DISABLE_PLUGINS"
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")

__all__ = ["Catalog", "Entry", "PluginError"]


@dataclass(frozen=True)
class Entry:
    """One plugin, as listed: known without importing it.

    ``value`` is the module of the entry point. ``distribution`` and ``version`` are empty for an uninstalled module.
    ``problem`` says why the plugin cannot be used; None if none is known before it is imported.
    """

    kind: str
    name: str
    distribution: str
    version: str
    value: str
    summary: str = ""
    problem: str | None = None
    file: Path | None = None
    disabled: bool = False

    @property
    def qualified(self) -> str:
        """``kind.name``."""
        return f"{self.kind}.{self.name}" if self.kind else self.name

    @property
    def origin(self) -> str:
        """Distribution and version, or the file of an uninstalled module."""
        return f"{self.distribution} {self.version}".strip() if self.distribution else str(self.file or self.value)


@dataclass(frozen=True, eq=False)
class _Uninstalled:
    """A module handed in: what it yields, and the hash of its file (None for a module without a file)."""

    module: Any
    components: tuple[Component, ...]
    file: Path | None
    digest: str | None

    @property
    def where(self) -> str:
        return str(self.file) if self.file else f"module {getattr(self.module, '__name__', self.module)}"


class Catalog:
    """The plugins that can be used, installed ones and ``modules`` that are not.

    ``modules`` holds paths of Python files, or modules; their components are registered at once. ``disabled`` holds
    ``kind.name`` of installed plugins that are not to be used; None reads it from GANRUN_DISABLE_PLUGINS.
    Raises :class:`PluginError` for a module that cannot be used, or that brings a name which is taken.
    """

    def __init__(self, modules: Iterable[str | Path | Any] = (), disabled: Sequence[str] | None = None) -> None:
        if disabled is None:
            disabled = [name.strip() for name in os.environ.get(DISABLE, "").split(",") if name.strip()]
        self.disabled = frozenset(disabled)
        self._manager = pluggy.PluginManager(GROUP)
        self._manager.add_hookspecs(ComponentHooks)
        for name in sorted(self.disabled):
            self._manager.set_blocked(name)
        self._distributions: dict[str, importlib.metadata.Distribution] = {}
        self._points: dict[str, importlib.metadata.EntryPoint] = {}
        self._installed = self._read_entry_points()
        self._loaded: dict[str, tuple[Component, ...]] = {}
        self._uninstalled: dict[str, _Uninstalled] = {}
        for module in modules:
            self._add(module)

    # --- what there is ----------------------------------------------------------------------------------------

    def entries(self, kind: str | None = None) -> list[Entry]:
        """Every plugin (of one kind), sorted by kind and name. Imports none of them."""
        found = [self._with_summary(entry) for entries in self._installed.values() for entry in entries]
        for qualified, given in self._uninstalled.items():
            kind_, _, name = qualified.partition(".")
            value = getattr(given.module, "__name__", "")
            found.append(Entry(kind_, name, "", "", value, first_line(given.module.__doc__ or ""), file=given.file))
        order = {name: rank for rank, name in enumerate(KINDS)}
        found.sort(key=lambda entry: (order.get(entry.kind, len(order)), entry.name, entry.distribution))
        return [entry for entry in found if kind is None or entry.kind == kind]

    def names(self, kind: str) -> list[str]:
        """The names of one kind that can be asked for, sorted. Imports no plugin, reads no file."""
        usable = {
            entries[0].name for entries in self._installed.values() if self._usable(entries) and entries[0].kind == kind
        }
        usable |= {qualified.partition(".")[2] for qualified in self._uninstalled if qualified.startswith(f"{kind}.")}
        return sorted(usable)

    def entry(self, kind: str, name: str) -> Entry:
        """The one plugin of this kind and name, not imported. Raises :class:`PluginError`, with the nearest names."""
        qualified = f"{kind}.{name}"
        if qualified in self._uninstalled:
            return next(entry for entry in self.entries(kind) if entry.name == name and not entry.distribution)
        if qualified not in self._installed:
            raise PluginError(self._unknown(kind, name))
        entries = self._installed[qualified]
        if qualified in self.disabled:
            raise PluginError(
                f"{qualified} ({entries[0].origin}) is disabled by {DISABLE}; remove it from there to use it"
            )
        if len(entries) > 1:
            raise PluginError(f"{qualified}: {entries[0].problem}")
        return self._with_summary(entries[0])

    def unknown_disabled(self) -> list[str]:
        """Names in ``disabled`` that no installed plugin has: most likely misspelt."""
        return sorted(self.disabled - set(self._installed))

    def requirements(self, kind: str, name: str) -> list[str]:
        """What the plugin's distribution requires (its Requires-Dist without optional extras), sorted."""
        return self.requirements_of(self.entry(kind, name))

    def requirements_of(self, entry: Entry) -> list[str]:
        """As :meth:`requirements`, for an entry that may be broken."""
        required = self._distributions[entry.distribution].requires if entry.distribution else None
        return sorted(line for line in required or () if not re.search(r"\bextra\s*==", line))

    def provenance(self, kind: str, name: str) -> dict[str, str | None]:
        """Where a plugin comes from: distribution and version, or the file and SHA-256 of an uninstalled module."""
        given = self._uninstalled.get(f"{kind}.{name}")
        if given is None:
            entry = self.entry(kind, name)
            return {"distribution": entry.distribution, "version": entry.version}
        if given.file is None:
            return {"module": str(getattr(given.module, "__name__", given.module)), "sha256": None}
        return {"file": str(given.file), "sha256": given.digest}

    # --- loading ----------------------------------------------------------------------------------------------

    def load(self, kind: str, name: str) -> Component:
        """Import the plugin of this kind and name, and no other. Raises :class:`PluginError` if that fails."""
        qualified = f"{kind}.{name}"
        if qualified in self._uninstalled:
            return _pick(self._uninstalled[qualified].components, kind, name)  # type: ignore[return-value]
        entry = self.entry(kind, name)
        described = f"{qualified} ({entry.origin}, module {entry.value})"
        if entry.problem:
            raise BrokenPlugin(f"{described}: {entry.problem}")
        if entry.value not in self._loaded:
            try:
                # pluggy's own loading would look at the working directory, too
                self._manager.register(self._points[qualified].load(), name=qualified)
                self._loaded[entry.value] = self._components(qualified)
            except (Exception, SystemExit) as error:
                self._manager.unregister(name=qualified)
                text = (
                    str(error)
                    if isinstance(error, PluginError)
                    else f"{cause(error)}; mend it, or reinstall {entry.distribution}"
                )
                raise BrokenPlugin(f"{described}: {text}") from error
        component = _pick(self._loaded[entry.value], kind, name)
        if component is None:
            yielded = ", ".join(f"{c.kind}.{c.name}" for c in self._loaded[entry.value]) or "nothing"
            raise BrokenPlugin(
                f"{described}: the entry point promises {qualified}, but ganrun_components yields {yielded}; "
                f"give the entry point and the Component one name and reinstall {entry.distribution}"
            )
        return component

    def yielded_with(self, entry: Entry) -> tuple[Component, ...]:
        """Every component of the module that a loaded entry is of."""
        return self._loaded.get(entry.value, ())

    def with_components(self, components: Iterable[Component]) -> Catalog:
        """A catalogue that has these components, too; this one stays as it is."""
        other = copy(self)
        other._uninstalled = dict(self._uninstalled)
        for component in components:
            given = _Uninstalled(SimpleNamespace(), (component,), None, None)
            other._uninstalled[f"{component.kind}.{component.name}"] = given
        return other

    # --- inside -----------------------------------------------------------------------------------------------

    def _read_entry_points(self) -> dict[str, list[Entry]]:
        """``kind.name`` -> the installed plugins of that name: more than one is a conflict."""
        found: dict[str, list[Entry]] = {}
        known: dict[int, tuple[str, str]] = {}
        for point in entry_points(GROUP):
            distribution = point.dist
            if distribution is None:
                continue
            if id(distribution) not in known:  # reading name or version parses the whole METADATA each time
                metadata = distribution.metadata
                known[id(distribution)] = (metadata["Name"] or "unnamed distribution", metadata["Version"] or "")
                self._distributions[known[id(distribution)][0]] = distribution
            kind, _, name = point.name.partition(".")
            if not name:
                kind, name = "", point.name
            problem = _bad_name(kind, name, point.value)
            entry = Entry(
                kind, name, *known[id(distribution)], point.value, problem=problem, disabled=point.name in self.disabled
            )
            found.setdefault(point.name, []).append(entry)
            self._points[point.name] = point
        for qualified, entries in found.items():
            if len(entries) > 1:
                both = " and ".join(sorted(entry.origin for entry in entries))
                problem = f"provided by both {both}; uninstall one of them"
                found[qualified] = [replace(entry, problem=problem) for entry in entries]
        return found

    def _usable(self, entries: list[Entry]) -> bool:
        return len(entries) == 1 and entries[0].problem is None and not entries[0].disabled

    def _with_summary(self, entry: Entry) -> Entry:
        """The entry with its file and summary, or with the problem that keeps it from being found."""
        if _MODULE.fullmatch(entry.value) is None:
            return entry
        try:
            file = locate(entry.value)
            if file is None:
                missing = f"module {entry.value} is not there; reinstall {entry.distribution}"
                return replace(entry, problem=entry.problem or missing)
            return replace(entry, file=file, summary=first_line(docstring(file)))
        except (SyntaxError, OSError, ValueError, ImportError) as error:
            return replace(
                entry, problem=entry.problem or f"{cause(error)}; mend it, or reinstall {entry.distribution}"
            )

    def _components(self, registered: str) -> tuple[Component, ...]:
        """What a registered module yields. Raises :class:`PluginError` if it is not a list of components."""
        try:
            self._manager.check_pending()
        except pluggy.PluginValidationError as error:
            unknown = " ".join(str(error).split()).partition(" in plugin")[0]
            raise PluginError(f"{unknown}; a plugin module marks only ganrun_components with @hookimpl") from error
        plugin = self._manager.get_plugin(registered)
        calls = [
            impl.function for impl in self._manager.hook.ganrun_components.get_hookimpls() if impl.plugin is plugin
        ]
        if not calls:
            raise PluginError(
                "no components: write a function ganrun_components, marked @hookimpl, "
                "that yields Component(kind, name, factory)"
            )
        yielded: Any = calls[0]()
        components: tuple[Component, ...] = tuple(islice(yielded or (), MOST + 1))
        if len(components) > MOST:
            raise PluginError(f"ganrun_components yields more than {MOST} components; does it ever end?")
        for component in components:
            if not isinstance(component, Component):
                raise PluginError(f"ganrun_components yields {component!r}, which is not a ganrun.plugin.Component")
            problem = _bad_name(component.kind, component.name)
            if problem or not callable(component.factory):
                raise PluginError(
                    "ganrun_components yields a wrong Component: "
                    f"{problem or f'{component.factory!r} cannot be called'}"
                )
        return components

    def _add(self, module: Any) -> None:
        """Register the components of an uninstalled module, given as a path or as an object."""
        file: Path | None
        plugin: Any
        if isinstance(module, (str, Path)):
            file = expanded(module).absolute()
            plugin, digest = run_file(expanded(module))
            given = _Uninstalled(plugin, (), file, digest)
        else:
            source = getattr(module, "__file__", None) if isinstance(module, ModuleType) else None
            file = Path(source).absolute() if source else None
            given = _Uninstalled(module, (), file, sha256(file) if file else None)
        plugin = given.module
        registered = f"uninstalled {given.where}"
        if self._manager.get_name(plugin) is not None:
            return  # handed in twice
        try:
            self._manager.register(plugin, name=registered)
            given = replace(given, components=self._components(registered))
        except PluginError as error:
            raise BrokenPlugin(f"{given.where}: {error}") from error
        except (Exception, SystemExit) as error:
            raise BrokenPlugin(f"{given.where}: {cause(error)}") from error
        if not given.components:
            raise BrokenPlugin(
                f"{given.where}: ganrun_components yields nothing; yield a Component(kind, name, factory)"
            )
        for component in given.components:
            self._claim(f"{component.kind}.{component.name}", given)

    def _claim(self, qualified: str, given: _Uninstalled) -> None:
        """Give a name to an uninstalled module. Raises :class:`PluginError` if it is taken."""
        if qualified in self._uninstalled:
            raise BrokenPlugin(
                f"{qualified} is yielded by both {self._uninstalled[qualified].where} and {given.where}; "
                "rename one of them"
            )
        if qualified in self._installed and qualified not in self.disabled:
            origin = self._installed[qualified][0].origin
            raise BrokenPlugin(
                f"{qualified} is provided by both {origin} (installed) and {given.where}; "
                f"rename the one in the file, or set {DISABLE}={qualified} to use it instead of the installed one"
            )
        self._uninstalled[qualified] = given

    def _unknown(self, kind: str, name: str) -> str:
        """The message for a name that no plugin has."""
        kind, name = shortened(kind), shortened(name)
        if kind not in KINDS:
            return f'no kind of plugin is called "{kind}"{nearest(kind, KINDS) or ";"} the kinds are {", ".join(KINDS)}'
        others = [other for other in KINDS if name in self.names(other)]
        if others:
            elsewhere = " and ".join(f"{'an' if other[0] in 'aeiou' else 'a'} {other}" for other in others)
            return (
                f'no {kind} is called "{name}", but {elsewhere} is; '
                f"`ganrun list-plugins --kind {kind}` lists what there is"
            )
        near = nearest(name, self.names(kind)) or ";"
        return f'no {kind} is called "{name}"{near} `ganrun list-plugins --kind {kind}` lists what is installed'


def _pick(components: Iterable[Component], kind: str, name: str) -> Component | None:
    return next((c for c in components if (c.kind, c.name) == (kind, name)), None)


def _bad_name(kind: str, name: str, value: str = "module") -> str | None:
    """What is wrong with an entry point's name or value, None if nothing is."""
    if not kind:
        return f'the entry point is called "{name}"; call it kind.name, such as loss.{name}'
    if kind not in KINDS:
        return f'"{kind}" is no kind of plugin{nearest(kind, KINDS) or ";"} the kinds are {", ".join(KINDS)}'
    if _NAME.fullmatch(name) is None:
        return f'"{name}" is not a plugin name; use lower-case letters, digits and single hyphens'
    if _MODULE.fullmatch(value) is None:
        return f'the entry point\'s value "{value}" is not the name of a module; leave out what follows the colon'
    return None
