"""``ganrun list-plugins``: what is installed, without importing any of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ganrun.catalog.catalog import DISABLE, Catalog, Entry
from ganrun.cli.completion import kinds, plugin_names
from ganrun.cli.output import complain, print_json, print_table
from ganrun.errors import UserError, nearest
from ganrun.words.hooks import KINDS


def command(
    name: Annotated[
        str | None, typer.Argument(metavar="[KIND.NAME]", help="Only this plugin.", autocompletion=plugin_names)
    ] = None,
    kind: Annotated[
        str | None, typer.Option(metavar="KIND", help=f"Only one kind: {', '.join(KINDS)}.", autocompletion=kinds)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    requirements: Annotated[
        bool, typer.Option("--requirements", help="Print what the plugins' distributions require.")
    ] = False,
    check: Annotated[
        bool,
        typer.Option("--check", help="Import each plugin and run its quick contract checks; exit code 1 if any fails."),
    ] = False,
    plugin: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A plugin file that is not installed. Can be repeated.")
    ] = None,
) -> None:
    """List the installed plugins."""
    if kind is not None and kind not in KINDS:
        near = nearest(kind, KINDS) or ";"
        raise UserError(f"--kind {kind}: there is no such kind of plugin{near} the kinds are {', '.join(KINDS)}")
    catalog = Catalog(modules=plugin or ())
    entries = catalog.entries(kind)
    if name is not None:
        catalog.entry(*_kind_and_name(name))
        entries = [entry for entry in entries if entry.qualified == name]
    if check:
        _check(catalog, entries, plugin or [], as_json)
        return
    if as_json:
        print_json([_record(catalog, entry, requirements) for entry in entries])
    elif requirements:
        _print_requirements(catalog, entries)
    else:
        rows = [
            (e.qualified, e.origin if not e.distribution else e.distribution, e.version, _summary(e)) for e in entries
        ]
        print_table(("plugin", "distribution", "version", "summary"), rows)
    for entry in entries:
        if entry.problem and not as_json:
            complain(f"{entry.qualified} ({entry.origin}): {entry.problem}")
    for name in catalog.unknown_disabled():
        complain(f"{DISABLE} names {name}, which is not installed")


def _summary(entry: Entry) -> str:
    marks = "(disabled) " if entry.disabled else "(broken) " if entry.problem else ""
    return marks + entry.summary


def _record(catalog: Catalog, entry: Entry, requirements: bool) -> dict[str, Any]:
    """An entry as JSON data."""
    record: dict[str, Any] = {
        "kind": entry.kind,
        "name": entry.name,
        "summary": entry.summary,
        "distribution": entry.distribution or None,
        "version": entry.version or None,
        "module": entry.value,
        "file": str(entry.file) if entry.file else None,
        "disabled": entry.disabled,
        "problem": entry.problem,
    }
    if requirements:
        record["requirements"] = catalog.requirements_of(entry)
    return record


def _print_requirements(catalog: Catalog, entries: list[Entry]) -> None:
    """One line for each requirement of each distribution, with the number of plugins that bring it in."""
    counts: dict[str, int] = {}
    first: dict[str, Entry] = {}
    for entry in entries:
        counts[entry.origin] = counts.get(entry.origin, 0) + 1
        first.setdefault(entry.origin, entry)
    rows = [
        (origin, f"{counts[origin]} plugin{'s' if counts[origin] > 1 else ''}", requirement)
        for origin, entry in first.items()
        for requirement in catalog.requirements_of(entry) or ["nothing"]
    ]
    print_table(("distribution", "plugins", "requires"), rows)


def _kind_and_name(qualified: str) -> tuple[str, str]:
    kind, dot, name = qualified.partition(".")
    if not dot:
        raise UserError(f"{qualified} is not the full name of a plugin; write KIND.NAME, such as loss.{qualified}")
    return kind, name


def _check(catalog: Catalog, entries: list[Entry], modules: list[Path], as_json: bool) -> None:
    """Print what is wrong with each plugin, and end with exit code 1 if anything is.

    What can be imported goes through the quick ones of the contract checks, which train nothing.
    """
    from ganrun.preflight.plugin_check import check_plugins
    from ganrun.testing import Plugin, quick_problems

    found = [
        (e, problems or ([] if e.disabled else quick_problems(Plugin(e.qualified, modules=modules))))
        for e, problems in check_plugins(catalog, entries)
    ]
    if as_json:
        print_json([{"plugin": e.qualified, "distribution": e.distribution or None, "problems": p} for e, p in found])
    else:
        lines = [
            (e.qualified, problem)
            for e, problems in found
            for problem in problems or ["disabled" if e.disabled else "ok"]
        ]
        print_table(("plugin", "result"), lines)
    if any(problems for _, problems in found):
        raise typer.Exit(1)
