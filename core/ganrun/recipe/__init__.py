"""Recipes: YAML with positions -> validated model -> resolved recipe. Imports no torch."""

from ganrun.recipe.dump import dump
from ganrun.recipe.errors import Problem, RecipeError
from ganrun.recipe.explain import Difference, diff, diff_text, explain
from ganrun.recipe.parameters import ParameterRow, SignatureError, describe_model, describe_parameters
from ganrun.recipe.parts import EvaluatorPart, Part
from ganrun.recipe.resolve import Recipe, load_evaluators, load_part, load_recipe
from ganrun.recipe.schema import recipe_schema
from ganrun.recipe.settings import (
    BestSettings,
    CheckpointSettings,
    FreezeSettings,
    InitSettings,
    PlayerSettings,
    StartSettings,
    TrainSettings,
)
from ganrun.recipe.sources import find_recipe, shipped_recipes

__all__ = [
    "BestSettings",
    "CheckpointSettings",
    "Difference",
    "EvaluatorPart",
    "FreezeSettings",
    "InitSettings",
    "ParameterRow",
    "Part",
    "PlayerSettings",
    "Problem",
    "Recipe",
    "RecipeError",
    "SignatureError",
    "StartSettings",
    "TrainSettings",
    "describe_model",
    "describe_parameters",
    "diff",
    "diff_text",
    "dump",
    "explain",
    "find_recipe",
    "load_evaluators",
    "load_part",
    "load_recipe",
    "recipe_schema",
    "shipped_recipes",
]
