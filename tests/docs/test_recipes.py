"""docs/recipes.md is true: its recipes load, and every key is in its tables with its default."""

import re
from pathlib import Path

import pytest
import yaml

from ganrun.catalog.catalog import Catalog
from ganrun.recipe import load_recipe
from ganrun.recipe.schema import recipe_schema
from ganrun.recipe.settings import CheckpointSettings, PlayerSettings, StartSettings, TrainSettings

TEXT = (Path(__file__).parents[2] / "docs/recipes.md").read_text()
RECIPES = re.findall(r"^```yaml recipe\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def rows(heading):
    """The cells of the first table below a heading."""
    body = re.split(rf"^##+ {heading}$", TEXT, flags=re.MULTILINE)[1].split("\n#")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in body.splitlines() if line[:3] == "| `"]


def test_every_key_of_a_recipe_has_a_row():
    written = [key for row in rows("Keys") for key in re.findall(r"`([\w-]+)`", row[0])]
    assert sorted(written) == sorted(recipe_schema(Catalog(disabled=()))["properties"])


@pytest.mark.parametrize(
    ("heading", "settings"),
    [
        ("train", TrainSettings),
        ("checkpoint", CheckpointSettings),
        ("players", PlayerSettings),
        ("init", StartSettings),
    ],
)
def test_every_setting_has_a_row_with_its_default(heading, settings):
    written = {row[0].strip("`"): yaml.safe_load(row[1]) for row in rows(heading)}
    defaults = {name: getattr(field.default, "amount", field.default) for name, field in settings.model_fields.items()}
    assert written == defaults


@pytest.mark.parametrize("text", RECIPES)
def test_a_recipe_of_the_page_loads(text, tmp_path):
    (tmp_path / "page.yaml").write_text(text)
    assert load_recipe(tmp_path / "page.yaml", catalog=Catalog()).train.seed == 0


def test_the_page_shows_recipes():
    assert len(RECIPES) >= 2
