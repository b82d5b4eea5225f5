"""The JSON Schema of recipes for the plugins that are there: editors complete and check from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from pydantic.errors import PydanticUserError

from ganrun.errors import PluginError
from ganrun.recipe.known import NETWORKS, declared
from ganrun.recipe.layers import LISTS
from ganrun.recipe.parameters import SignatureError, parameter_model
from ganrun.recipe.settings import CheckpointSettings, EvaluatorSettings, PlayerSettings, StartSettings, TrainSettings
from ganrun.words.hooks import KINDS

if TYPE_CHECKING:
    from ganrun.catalog.catalog import Catalog

Schema = dict[str, Any]


def recipe_schema(catalog: Catalog) -> Schema:
    """The schema (draft 2020-12). Imports every plugin; broken ones are left out and named in ``$comment``."""
    definitions: Schema = {}
    broken: list[str] = []
    for kind in KINDS:
        definitions[kind] = _kind(kind, catalog, definitions, broken)
    properties: Schema = {key: _ref(key) for key in ("variant", "dataset", "sampler")}
    for key, kinds in _networks(catalog).items():
        properties[key] = _ref(kinds[0]) if len(kinds) == 1 else {"anyOf": [_ref(kind) for kind in kinds]}
    properties["loss"] = {"anyOf": [_ref("loss"), _losses_by_game(catalog)]}
    properties |= {key: {"type": ["array", "null"], "items": _ref(kind)} for key, kind in LISTS.items()}
    properties |= {
        "extends": {"type": "string", "description": "a base recipe, relative to this file"},
        "without": {"type": ["array", "null"], "items": {"type": "string"}, "description": "inherited parts to remove"},
        "players": {
            "type": ["object", "null"],
            "additionalProperties": model_schema(PlayerSettings, "player", definitions),
        },
        "checkpoint": model_schema(CheckpointSettings, "checkpoint", definitions),
        "train": model_schema(TrainSettings, "train", definitions),
        "init": {
            "description": "trained weights to start from: a run, or more about it",
            "anyOf": [{"type": ["string", "null"]}, model_schema(StartSettings, "init", definitions)],
        },
    }
    schema: Schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "ganrun recipe",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "anyOf": [{"required": ["variant", "dataset"]}, {"required": ["extends"]}],
        "$defs": definitions,
    }
    return schema | ({"$comment": f"left out: {'; '.join(broken)}"} if broken else {})


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _networks(catalog: Catalog) -> dict[str, list[str]]:
    """The key of a network -> the kinds of plugin that some variant asks for under it."""
    found = {key: [kind] for key, kind in NETWORKS.items()}
    for name in catalog.names("variant"):
        try:
            asked = declared(catalog, name)
        except PluginError:
            continue  # named in ``$comment``
        for key, kind in asked.items():
            kinds = found.setdefault(key, [])
            kinds += [kind] if kind not in kinds else []
    return found


def _losses_by_game(catalog: Catalog) -> Schema:
    """A loss for each of some games: no key is the name of a loss."""
    return {
        "type": "object",
        "description": "game, or others -> loss",
        "propertyNames": {"not": {"enum": catalog.names("loss")}},
        "additionalProperties": _ref("loss"),
        "minProperties": 1,
    }


def _kind(kind: str, catalog: Catalog, definitions: Schema, broken: list[str]) -> Schema:
    """A part of one kind: a name, or a name with parameters."""
    short: list[str] = []
    long: Schema = {}
    for name in catalog.names(kind):
        try:
            model = parameter_model(catalog.load(kind, name).factory)
            schema = model_schema(model, f"{kind}.{name}", definitions)
        except (PluginError, SignatureError, PydanticUserError) as error:
            broken.append(f"{kind}.{name}: {' '.join(str(error).split())}")
            continue
        if kind == "evaluator":
            schema["properties"] |= model_schema(EvaluatorSettings, "evaluator settings", definitions)["properties"]
        definitions[f"{kind}.{name}"] = schema
        # Not `required`: what a recipe leaves out, its base or its variant may give.
        short.append(name)
        long[name] = {"anyOf": [_ref(f"{kind}.{name}"), {"type": "null"}]}
    mapping = {
        "type": "object",
        "properties": long,
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    }
    return {"anyOf": [{"enum": short}, mapping]} if short else {"enum": [], "description": f"no {kind} is installed"}


def model_schema(model: type[BaseModel], name: str, definitions: Schema) -> Schema:
    """The schema of one model; models inside it become definitions under ``name``."""
    schema = model.model_json_schema(ref_template=f"#/$defs/{name}.{{model}}")
    for inner, definition in schema.pop("$defs", {}).items():
        definitions[f"{name}.{inner}"] = _tidy(definition)
    tidied: Schema = _tidy(schema)
    tidied.pop("title", None)
    tidied.pop("required", None)
    tidied.setdefault("properties", {})
    return tidied


def _tidy(schema: Any) -> Any:
    """Without generated titles and docstrings of base classes, and with nested parts as references to their kind."""
    if isinstance(schema, list):
        return [_tidy(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "x-part" in schema:
        kept = {key: value for key, value in schema.items() if key in ("default", "description")}
        return {**_ref(schema["x-part"]), **kept}
    names = schema.get("properties")
    tidied = {key: _tidy(value) for key, value in schema.items() if key not in ("title", "properties", "default")}
    if "default" in schema:
        tidied["default"] = schema["default"]
    if isinstance(names, dict):  # the names of properties are not keywords: a parameter may be called title
        tidied["properties"] = {name: _tidy(value) for name, value in names.items()}
    return tidied
