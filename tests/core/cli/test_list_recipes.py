"""``ganrun list-recipes``: what each recipe is and needs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ganrun.catalog.catalog import Catalog
from ganrun.cli.list_recipes import describe
from ganrun.recipe import Part, Recipe, load_recipe
from ganrun.recipe.parameters import annotation, fields_of, parameter_model, part_kind
from ganrun.recipe.sources import shipped_recipes
from ganrun.words.spaces import RecipePath


def test_list_recipes_tells_variant_data_set_and_first_comment(ganrun) -> None:
    done = ganrun("list-recipes")
    assert (done.code, done.err) == (0, "")
    (line,) = [line for line in done.out.splitlines() if line.startswith("dcgan_digits ")]
    assert line.split()[1:3] == ["dcgan", "digits"]
    assert "handwritten digits" in line
    assert " offline " in line
    assert " CPU minutes" in line
    records = {record["name"]: record for record in json.loads(ganrun("list-recipes", "--json").out)}
    assert records["lsgan_ring"]["dataset"] == "ring", "the data set stands in the base that the recipe extends"
    assert all(record["variant"] and record["summary"] and record["time"] for record in records.values())
    assert records["cyclegan_horse2zebra"]["data"] == "download"
    assert records["gan_ring"]["data"] == "offline"


def test_what_recipes_say_of_their_data_is_what_their_data_sets_say() -> None:
    catalog = Catalog()
    told = {name: describe(file)["data"] for name, file in shipped_recipes().items()}
    assert told == {name: data_of(load_recipe(file, catalog=catalog)) for name, file in shipped_recipes().items()}
    assert {"offline", "download", "your files"} == set(told.values())


def data_of(recipe: Recipe) -> str:
    """Where the data of a recipe come from: its data set, and those that this one wraps."""
    parts = [recipe.dataset]
    for part in parts:
        values = list(part.parameters.values())
        parts += [value for value in values if isinstance(value, Part)]
        parts += [
            value for values_ in values if isinstance(values_, list) for value in values_ if isinstance(value, Part)
        ]
    factories = [part.component.factory for part in parts]
    if not all(getattr(factory, "offline", True) for factory in factories[1:]):
        return "download"
    fields = [info for _, info in fields_of(parameter_model(factories[0])).values()]
    local = getattr(factories[0], "offline", True)
    named = [info for info in fields if any(isinstance(mark, RecipePath) for mark in info.metadata)]
    required = [info for info in fields if info.is_required() and part_kind(annotation(info)) is None]
    if required or (local and named):  # such as root, or roots of two sides
        return "your files"
    return "offline" if local else "download"


def test_a_recipe_is_described_from_its_base_where_it_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(
        "# Base.\n# time: a day\n# data: offline\nvariant: {gan: {latent: 4}}\ndataset: ring\n"
    )
    (tmp_path / "top.yaml").write_text("#\n# Top.\nextends: base.yaml\ndataset: {grid: {}}\n")
    found = {"summary": "Top.", "time": "", "data": "offline", "variant": "gan", "dataset": "grid"}
    assert describe(tmp_path / "top.yaml") == found
    (tmp_path / "top.yaml").write_text("- a list\n")
    with pytest.raises(ValueError, match="no mapping"):
        describe(tmp_path / "top.yaml")
