"""``ganrun show kind.name``: everything about one plugin, or about all of a name."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ganrun.catalog.catalog import Catalog, Entry
from ganrun.catalog.plugin_files import docstring
from ganrun.cli.completion import plugin_names
from ganrun.cli.loading import load_torch
from ganrun.errors import UserError
from ganrun.words.hooks import KINDS, Component


def command(
    name: Annotated[
        str,
        typer.Argument(
            metavar="KIND.NAME",
            help="Such as loss.minimax; minimax alone shows all plugins of this name, of whatever kind. "
            "Or a run: its folder, a zip file, hf://user/name.",
            autocompletion=plugin_names,
        ),
    ],
    plugin: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A plugin file that is not installed. Can be repeated.")
    ] = None,
) -> None:
    """Show one plugin, or all of a name, or a run.

    Printed: what it does, its parameters, what it needs, and where it comes from."""
    catalog = Catalog(modules=plugin or ())
    if names_run(catalog, name):
        load_torch()
        from ganrun.inference.summary import summary

        print(summary(name, catalog))
        return
    entries = find(catalog, name)
    load_torch()
    shown = ""  # a file's description is printed once, of whichever plugins in it
    for number, entry in enumerate(entries):
        if number:
            print("\n")
        component = catalog.load(entry.kind, entry.name)
        print(f"{entry.qualified}: {entry.summary}")
        text = docstring(entry.file) if entry.file else inspect.getdoc(component.factory) or ""
        body = text.strip().partition("\n")[2].strip("\n")
        for block in (
            body if body != shown else "",
            "\n".join(_parameters(component)),
            "\n".join(_capabilities(component)),
            "\n".join(_origin(catalog, entry)),
        ):
            if block:
                print(f"\n{block}")
        shown = body


def names_run(catalog: Catalog, text: str) -> bool:
    """Whether a text is where a run is, and no plugin's name."""
    if any(text in catalog.names(kind) for kind in KINDS):
        return False
    return text.startswith("hf:") or text.endswith(".zip") or (Path(text) / "recipe.yaml").is_file()


def find(catalog: Catalog, text: str) -> list[Entry]:
    """The plugin called ``kind.name``, or all that are called ``name``.

    Raises :class:`UserError` with the nearest name.
    """
    kind, dot, name = text.partition(".")
    if dot:
        return [catalog.entry(kind, name)]
    if kinds := [kind for kind in KINDS if text in catalog.names(kind)]:
        return [catalog.entry(kind, text) for kind in kinds]
    disabled = [kind for kind in KINDS if f"{kind}.{text}" in catalog.disabled]
    if disabled:
        return [catalog.entry(disabled[0], text)]  # raises, naming what disables it
    qualified = [f"{kind}.{name}" for kind in KINDS for name in catalog.names(kind)]
    near = difflib.get_close_matches(text, [q.partition(".")[2] for q in qualified], n=1)
    hint = (
        f"did you mean {next(q for q in qualified if q.endswith('.' + near[0]))}?"
        if near
        else "`ganrun list-plugins` lists them all"
    )
    raise UserError(f"{text}: no plugin has this name; {hint}")


def _parameters(component: Component) -> Iterator[str]:
    """The parameters that a recipe may set: type, default, bounds, description."""
    from ganrun.recipe.parameters import SignatureError, describe_parameters

    try:
        rows = describe_parameters(component)
    except SignatureError as error:
        raise UserError(f"{component.kind}.{component.name}: {error}") from error
    yield "parameters:" if rows else "parameters: none"
    for row in rows:
        default = f" = {row.default}" if row.default else " (must be given)"
        yield f"  {row.name}: {row.type}{default}{f'  ({row.bounds})' if row.bounds else ''}"
        if row.description:
            yield f"      {row.description}"


def _capabilities(component: Component) -> Iterator[str]:
    """How a trick is turned off and what it helps against; what a part provides, needs, wants, refuses, and why."""
    part = _example(component)
    if isinstance(networks := getattr(part, "networks", None), Mapping) and networks:
        asked = ", ".join(f"{key} (a {kind})" for key, kind in networks.items())
        yield f"networks besides generator and discriminator: {asked}"
    if strength := getattr(part, "strength", ""):
        yield f"strength: {strength} (off at {getattr(part, 'neutral', 0):g})"
    if restructures := getattr(part, "restructures", ""):
        yield f"restructures: {restructures}"
    if remedies := getattr(part, "remedies", ()):
        yield f"helps against: {', '.join(sorted(remedies))}"
    provides = getattr(part, "provides", ())
    if isinstance(provides, (set, frozenset, tuple, list)) and provides:
        yield f"provides: {', '.join(sorted(provides))}"
    for heading in ("needs", "wants", "refuses", "warns"):
        reasons = getattr(part, heading, None)
        if isinstance(reasons, Mapping) and reasons:
            yield f"{heading}:"
            for capability, reason in reasons.items():
                yield f"  {capability}: {reason.why}; {reason.instead}"


def _example(component: Component) -> Any:
    """The part with its default parameters, because a constructor may declare capabilities; else its class."""
    parameters = inspect.signature(component.factory).parameters.values()
    if any(p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters):
        return component.factory
    try:
        return component.factory()
    except Exception:  # it may need more at run time; the class has the rest
        return component.factory


def _origin(catalog: Catalog, entry: Entry) -> Iterator[str]:
    digest = catalog.provenance(entry.kind, entry.name).get("sha256")
    yield f"from: {entry.origin}" + (f" (not installed, sha256 {digest})" if digest else "")
    if entry.file and entry.distribution:
        yield f"file: {entry.file}"
