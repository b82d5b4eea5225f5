"""``ganrun list-recipes``: the recipes that come with ganrun."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ganrun.cli.output import complain, print_json, print_table
from ganrun.paths import resolved


def command(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the shipped recipes.

    Printed: variant, data set, whether it is offline, a download or your files, time, and a summary."""
    from ganrun.recipe.sources import shipped_recipes

    records, problems = [], []
    for name, file in shipped_recipes().items():
        try:
            records.append({"name": name, **describe(file), "file": str(file)})
        except (OSError, ValueError) as error:
            problems.append(f"{file}: {error}")
    if as_json:
        print_json(records)
    else:
        columns = {
            "name": "recipe",
            "variant": "variant",
            "dataset": "data set",
            "data": "data",
            "time": "time",
            "summary": "summary",
        }
        print_table(list(columns.values()), [[record[key] for key in columns] for record in records])
    for problem in problems:
        complain(problem)


def describe(file: Path) -> dict[str, str]:
    """Summary, time, data, variant and data set of a recipe, not validated; no plugin is imported.

    The summary is the first comment line. Lines ``# time: ...`` and ``# data: ...`` say how long it takes and where its
    data come from: ``offline``, ``download``, or ``your files`` if they have to be named.

    Except for the time, what is missing is taken from the base that it extends.

    Raises ValueError if it is not a YAML mapping, OSError if it cannot be read.
    """
    import yaml

    text = file.read_text(encoding="utf-8")
    try:
        # libyaml, where PyYAML was built with it, is ten times faster
        data = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    if not isinstance(data, Mapping):
        raise ValueError("not a recipe: it holds no mapping")
    comments = list(_comments(text))
    found = {
        "summary": next(iter(comments), ""),
        "time": _told(comments, "time"),
        "data": _told(comments, "data"),
        "variant": _part_name(data.get("variant")),
        "dataset": _part_name(data.get("dataset")),
    }
    base = file.parent / str(data.get("extends"))
    if "extends" in data and resolved(base) != resolved(file):
        below = describe(base)
        found = {key: value or (below[key] if key != "time" else "") for key, value in found.items()}
    return found


def _comments(text: str) -> Iterator[str]:
    """The comment lines of a file, without their marks, empty ones left out."""
    lines = (line.strip() for line in text.splitlines())
    return (line.lstrip("# ").rstrip() for line in lines if line.startswith("#") and line.strip("# "))


def _told(comments: Iterable[str], key: str) -> str:
    """What the comment line ``key: ...`` says, "" without one."""
    return next((line.partition(":")[2].strip() for line in comments if line.startswith(f"{key}:")), "")


def _part_name(part: Any) -> str:
    """The name of a part, written as ``name`` or ``{name: {parameters}}``."""
    return str(next(iter(part), "")) if isinstance(part, Mapping) else str(part or "")
