"""What is read of a constructor's signature: the JSON Schema, and the rows that `show` prints."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any

import pytest
from pydantic import Field

from ganrun.catalog.catalog import Catalog
from ganrun.recipe import (
    CheckpointSettings,
    ParameterRow,
    Part,
    PlayerSettings,
    SignatureError,
    TrainSettings,
    describe_model,
    describe_parameters,
    load_recipe,
    recipe_schema,
    shipped_recipes,
)
from ganrun.words.hooks import Component
from ganrun.words.spaces import PartOf

TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "null": type(None),
    "integer": int,
    "number": (int, float),
}


def fits(data: Any, schema: dict[str, Any], root: dict[str, Any]) -> bool:
    """The part of JSON Schema that our schemas use."""
    if "$ref" in schema:
        return fits(data, root["$defs"][schema["$ref"].removeprefix("#/$defs/")], root)
    kinds = schema.get("type", list(TYPES))
    kinds = [kinds] if isinstance(kinds, str) else kinds
    boolean = isinstance(data, bool) and "boolean" not in kinds
    if boolean or not any(isinstance(data, TYPES[kind]) for kind in kinds):
        return False
    if "anyOf" in schema and not any(fits(data, option, root) for option in schema["anyOf"]):
        return False
    if "enum" in schema and data not in schema["enum"]:
        return False
    if isinstance(data, str) and "pattern" in schema:
        return re.search(schema["pattern"], data) is not None
    if isinstance(data, dict):
        if any(fits(name, schema.get("propertyNames", {}).get("not", {"enum": []}), root) for name in data):
            return False
        known, extra = schema.get("properties", {}), schema.get("additionalProperties", True)
        if not all(name in data for name in schema.get("required", ())) or len(data) > schema.get("maxProperties", 99):
            return False
        return all(
            fits(v, known[k], root) if k in known else (extra if isinstance(extra, bool) else fits(v, extra, root))
            for k, v in data.items()
        )
    if isinstance(data, list):
        items = schema.get("prefixItems", [])
        enough = schema.get("minItems", 0) <= len(data) <= schema.get("maxItems", 99)
        return enough and all(
            fits(item, items[i] if i < len(items) else schema.get("items", {}), root) for i, item in enumerate(data)
        )
    if isinstance(data, int | float) and not isinstance(data, bool):
        return schema.get("minimum", data) <= data <= schema.get("maximum", data)
    return True


FIT = [
    {"variant": "toy", "dataset": "digits"},
    {"extends": "base.yaml", "loss": {"wasserstein": None}, "tricks": None},
    {
        "variant": "toy",
        "dataset": {"digits": {"size": 8}},
        "tricks": ["replay-buffer", {"label-smoothing": {"real": [0.7, 1], "fade": "3 epochs"}}],
    },
    {
        "variant": "toy",
        "dataset": "digits",
        "players": {"g": {"optimizer": {"adam": {"lr": {"linear": [1, 0]}}}, "init": {"scheme": "normal"}}},
    },
    {
        "variant": "toy",
        "dataset": "digits",
        "evaluators": [{"distance": {"features": {"classifier": {"width": 3}}, "every": 500}}],
    },
    {
        "variant": "toy",
        "dataset": "digits",
        "train": {"steps": "40 kimg", "device": "cuda:1"},
        "checkpoint": {"every": "5 minutes"},
    },
]
UNFIT = [
    {"variant": "toy"},
    {"variant": "toyy", "dataset": "digits"},
    {"variant": "toy", "dataset": "digits", "trian": {}},
    {"variant": "toy", "dataset": "digits", "loss": {"wasserstein": {"clpi": 1}}},
    {"variant": "toy", "dataset": "digits", "loss": {"wasserstein": {"clip": 2}}},
    {"variant": "toy", "dataset": "digits", "loss": {"wasserstein": None, "hinge": None}},
    {"variant": "toy", "dataset": "digits", "tricks": "replay-buffer"},
    {"variant": "toy", "dataset": "digits", "players": {"g": {"optimizer": "adm"}}},
    {"variant": "toy", "dataset": "digits", "players": {"g": {"optimizer": {"adam": {"lr": "x"}}}}},
    {"variant": "toy", "dataset": "digits", "evaluators": [{"distance": {"features": "pixel"}}]},
    {"variant": "toy", "dataset": "digits", "train": {"batch_size": True}},
    {"variant": "toy", "dataset": "digits", "train": {"steps": "5 parsecs"}},
]


@pytest.mark.parametrize("data", FIT, ids=range(len(FIT)))
def test_recipes_fit_the_schema_as_written_and_resolved(catalog, data):
    schema = json.loads(json.dumps(recipe_schema(catalog)))
    assert fits(data, schema, schema)
    if "extends" not in data:
        resolved = load_recipe(data, catalog=catalog).resolved
        assert fits(json.loads(json.dumps(resolved)), schema, schema)


@pytest.mark.parametrize("data", UNFIT, ids=range(len(UNFIT)))
def test_recipes_with_a_mistake_do_not_fit_the_schema(catalog, data):
    schema = recipe_schema(catalog)
    assert not fits(data, schema, schema)


def test_every_reference_of_the_schema_is_defined_and_broken_plugins_are_named(catalog):
    schema = recipe_schema(catalog)
    text = json.dumps(schema)
    assert set(re.findall(r"#/\$defs/([\w.-]+)", text)) <= set(schema["$defs"])
    assert "trick.untyped" in schema["$comment"]
    assert "untyped" not in text.replace(schema["$comment"], "")
    assert "x-part" not in text


def test_show_has_a_row_for_each_parameter(catalog):
    rows = {row.name: row for row in describe_parameters(catalog.load("trick", "label-smoothing"))}
    assert rows["real"] == ParameterRow("real", "number or [number, number]", "0.9", ">= 0, <= 1", "")
    assert rows["fade"] == ParameterRow("fade", "duration", "50%", "", "")
    assert describe_parameters(catalog.load("loss", "wasserstein"))[0] == ParameterRow(
        "clip", "number", "0.01", ">= 0, <= 1", "bound of the weights"
    )
    types = {row.name: row.type for row in describe_parameters(catalog.load("trick", "awkward"))}
    assert types == {
        "copy": "true or false",
        "schema": "text",
        "json": "mapping from text to number or null",
        "model_config": "whole number",
        "colour": "one of red, blue",
        "seen": "list of whole number",
    }
    kinds = [(row.type, row.default) for row in describe_parameters(catalog.load("evaluator", "distance"))]
    assert kinds == [("features part", "pixels"), ("features part or null", "null"), ("list of features part", "[]")]
    assert describe_parameters(catalog.load("dataset", "folder"))[0].default == ""
    assert {
        row.name for model in (TrainSettings, CheckpointSettings, PlayerSettings) for row in describe_model(model)
    } >= {"steps", "keep", "init"}


def test_a_part_that_may_be_null_is_so_in_the_schema_however_its_type_is_written(catalog):
    """The mark of its kind inside the union, as in the evaluator ``distance``, and around it."""

    class Around:
        def __init__(
            self, *, features: Annotated[Part | None, PartOf("features"), Field(description="where")] = None
        ) -> None: ...

    catalog.components["trick", "around"] = Component("trick", "around", Around)
    assert [(row.type, row.default) for row in describe_parameters(catalog.load("trick", "around"))] == [
        ("features part or null", "null")
    ]
    inside = {"anyOf": [{"$ref": "#/$defs/features"}, {"type": "null"}], "description": "where", "default": None}
    assert recipe_schema(catalog)["$defs"]["trick.around"]["properties"]["features"] == inside


@pytest.mark.parametrize(
    ("default", "message"),
    [(object(), "the default of parameter x is not plain data: a object cannot be written in a recipe")],
)
def test_a_default_that_no_recipe_can_hold_is_refused(default, message):
    def factory(*, x: Any = default) -> None: ...

    with pytest.raises(SignatureError, match=message):
        describe_parameters(Component("trick", "x", factory))


def test_a_type_that_pydantic_cannot_handle_is_refused_with_the_reason():
    def factory(*, x: Annotated[int, Field(discriminator="a")] = 1) -> None: ...

    with pytest.raises(SignatureError, match="its parameters cannot be validated"):
        describe_parameters(Component("trick", "x", factory))


def test_a_validator_of_a_plugin_that_fails_is_a_problem_not_a_traceback(problems, catalog):
    class Odd:
        def __init__(self, *, x: Annotated[list[int] | int, Field(ge=0)] = 1) -> None: ...

    catalog.components["trick", "odd"] = Component("trick", "odd", Odd)
    found = problems({"variant": "bare", "dataset": "digits", "tricks": [{"odd": {"x": [1]}}]})
    assert len(found) == 1
    assert found[0].startswith("tricks.0.odd")


# --- the installed plugins ------------------------------------------------------------------------------------


def test_the_signature_of_every_installed_plugin_is_a_schema():
    """No parameter of a built-in plugin is left out of `show` and `schema`."""
    schema = recipe_schema(Catalog())
    assert "$comment" not in schema
    json.dumps(schema)


@pytest.fixture(scope="module")
def installed():
    """The catalogue and the schema of all that is installed: made once."""
    catalog = Catalog()
    return catalog, recipe_schema(catalog)


@pytest.mark.parametrize("name", list(shipped_recipes()))
def test_every_shipped_recipe_loads_and_loads_again_from_its_resolved_form(name, installed):
    catalog, schema = installed
    recipe = load_recipe(shipped_recipes()[name], catalog=catalog)
    assert load_recipe(recipe.resolved, catalog=catalog) == recipe
    assert fits(json.loads(json.dumps(recipe.resolved)), schema, schema)


def test_the_schema_takes_a_loss_or_a_mapping_of_games(catalog):
    schema = recipe_schema(catalog)

    def valid(loss):
        return fits({"variant": "toy", "dataset": "digits", "loss": loss}, schema, schema)

    assert valid("hinge")
    assert valid({"hinge": {"margin": 2}})
    assert valid({"first": "hinge", "others": {"wasserstein": {"drift": 1}}})
    assert not valid({"first": "hinghe"})
    assert not valid({"first": {"hinge": {"margn": 2}}})
    assert not valid({"hinge": {"margn": 2}})
    assert not valid({"first": "hinge", "wasserstein": "hinge"})
