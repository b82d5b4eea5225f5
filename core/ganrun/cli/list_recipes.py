"""``ganrun list-recipes``: the recipes that come with ganrun."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ganrun.cli.output import complain, print_table


def command(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the recipes that come with ganrun."""
    from ganrun.recipe.sources import shipped_recipes

    records, problems = [], []
    for name, file in shipped_recipes().items():
        try:
            records.append({"name": name, **describe(file), "file": str(file)})
        except (OSError, ValueError) as error:
            problems.append(f"{file}: {error}")
    if as_json:
        print(json.dumps(records, indent=2))
    else:
        print_table(("recipe", "variant", "data set", "summary"), [(r["name"], r["variant"], r["dataset"], r["summary"]) for r in records])
    for problem in problems:
        complain(problem)


def describe(file: Path) -> dict[str, str]:
    """Summary (the first comment line), variant and data set of a recipe, not validated; from its base where it has none.

    Raises ValueError if it is not a YAML mapping, OSError if it cannot be read.
    """
    import yaml

    text = file.read_text(encoding="utf-8")
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    if not isinstance(data, Mapping):
        raise ValueError("not a recipe: it holds no mapping")
    found = {"summary": _first_comment(text), "variant": _part_name(data.get("variant")), "dataset": _part_name(data.get("dataset"))}
    base = file.parent / str(data.get("extends"))
    if "extends" in data and base.resolve() != file.resolve():
        below = describe(base)
        found = {key: value or below[key] for key, value in found.items()}
    return found


def _first_comment(text: str) -> str:
    lines = (line.strip() for line in text.splitlines())
    return next((line.lstrip("# ").rstrip() for line in lines if line.startswith("#") and line.strip("# ")), "")


def _part_name(part: Any) -> str:
    """The name of a part, written as ``name`` or ``{name: {parameters}}``."""
    return str(next(iter(part), "")) if isinstance(part, Mapping) else str(part or "")
