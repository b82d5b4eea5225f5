"""``ganrun list-recipes``: the recipes that come with ganrun."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ganrun.cli.output import complain, print_json, print_table
from ganrun.paths import resolved

if TYPE_CHECKING:
    from ganrun.catalog.catalog import Catalog


def command(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the shipped recipes.

    Printed: variant, data set, whether it is offline, a download or your files, time, and a summary."""
    from ganrun.catalog.catalog import Catalog
    from ganrun.recipe.sources import shipped_recipes

    catalog = Catalog()
    records, problems = [], []
    for name, file in shipped_recipes().items():
        try:
            found = describe(file)
            records.append({"name": name, **found, "data": data_of(file, found["dataset"], catalog), "file": str(file)})
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
    """Summary, time, variant and data set of a recipe, not validated.

    The summary is the first comment line, the time a comment line ``# time: ...``.

    Except for the time, what is missing is taken from the base that it extends.

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
    comments = list(_comments(text))
    times = (line.removeprefix("time:").strip() for line in comments if line.startswith("time:"))
    found = {
        "summary": next(iter(comments), ""),
        "time": next(times, ""),
        "variant": _part_name(data.get("variant")),
        "dataset": _part_name(data.get("dataset")),
    }
    base = file.parent / str(data.get("extends"))
    if "extends" in data and resolved(base) != resolved(file):
        below = describe(base)
        found = {key: value or (below[key] if key != "time" else "") for key, value in found.items()}
    return found


def data_of(file: Path, dataset: str, catalog: Catalog) -> str:
    """Where a recipe's data come from: ``offline``, ``download``, or ``your files`` if they have to be named."""
    from ganrun.recipe.parameters import annotation, fields_of, parameter_model, part_kind

    kinds = []
    for name in _datasets(file, dataset, set(catalog.names("dataset"))):
        factory = catalog.load("dataset", name).factory
        fields = [info for _, info in fields_of(parameter_model(factory)).values() if info.is_required()]
        # a nested data set is counted by itself
        required = [info for info in fields if part_kind(annotation(info)) is None]
        kinds.append(
            "your files"
            if name == dataset and required
            else "offline"
            if getattr(factory, "offline", True)
            else "download"
        )
    return next((kind for kind in ("download", "your files") if kind in kinds), "offline")


def _datasets(file: Path, dataset: str, known: set[str]) -> Iterator[str]:
    """A recipe's data set, and those that it wraps: names of data sets inside its parameters."""
    yield dataset
    found = _dataset_of(file)
    inside = list(found.values()) if isinstance(found, Mapping) else []
    while inside:
        value = inside.pop()
        if isinstance(value, Mapping):
            yield from (name for name in value if name in known)
            inside += value.values()
        elif isinstance(value, list):
            inside += value
        elif isinstance(value, str) and value in known:
            yield value


def _dataset_of(file: Path) -> Any:
    """A recipe's data set, or that of the nearest base that names one."""
    import yaml

    data = yaml.safe_load(file.read_text(encoding="utf-8"))
    base = file.parent / str(data.get("extends"))
    below = "dataset" not in data and "extends" in data and resolved(base) != resolved(file)
    return _dataset_of(base) if below else data.get("dataset")


def _comments(text: str) -> Iterator[str]:
    """The comment lines of a file, without their marks, empty ones left out."""
    lines = (line.strip() for line in text.splitlines())
    return (line.lstrip("# ").rstrip() for line in lines if line.startswith("#") and line.strip("# "))


def _part_name(part: Any) -> str:
    """The name of a part, written as ``name`` or ``{name: {parameters}}``."""
    return str(next(iter(part), "")) if isinstance(part, Mapping) else str(part or "")
