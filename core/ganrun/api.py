"""Python's way in: ``ganrun.run`` trains a recipe, ``ganrun.load`` opens what was trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ganrun.catalog.attribution import plugins_noted
from ganrun.catalog.catalog import Catalog
from ganrun.errors import UserError
from ganrun.inference.trained import Trained
from ganrun.recipe import Recipe, find_recipe, load_recipe
from ganrun.training.folder import is_run as folder_holds_run
from ganrun.training.located import located
from ganrun.training.opened import recipe_of
from ganrun.training.run import Run
from ganrun.training.start import train

RecipeSource = str | Path | Mapping[str, Any]
Overrides = Sequence[str] | Mapping[str, Any]


def run(
    recipe: RecipeSource,
    overrides: Overrides | None = None,
    output: str | Path | None = None,
    *,
    resume: bool = False,
    overwrite: bool = False,
    force: bool = False,
    plugins: Iterable[Any] = (),
) -> Run:
    """Train a recipe, and return the run when it has ended.

    recipe: a file, the name of a shipped recipe, a recipe as plain data, or the folder of a run to resume.
    overrides: ``{"train.steps": 10}`` or ``["train.steps=10"]``. output: the run's folder, ``runs/NAME`` by default.
    resume, overwrite: continue the run in that folder, or replace it. force: resume with another recipe.
    plugins: modules, or paths of Python files, with components that are not installed.

    The run has ``folder``, ``scores``, ``step`` (less than ``steps`` if it was interrupted) and the built
    ``experiment``.

    Raises:
        UserError: with all that is wrong with the recipe, its plugins, its data or the folder.
    """
    catalog = Catalog(modules=plugins)
    with plugins_noted():
        found = open_recipe(recipe, catalog, overrides or ())
        return train(found, catalog, folder_for(recipe, found, output), resume=resume, overwrite=overwrite, force=force)


def load(
    folder: str | Path, checkpoint: str | int = "last", *, plugins: Iterable[Any] = (), device: str = "auto"
) -> Trained:
    """Open a run: ``load("runs/x").sample(64, seed=0)``. The data set is not needed, unless the variant translates.

    folder: that of a run, a zip file of one, or ``hf://user/name`` on the hub.
    checkpoint: ``last``, ``best`` or a step. plugins: the uninstalled modules or files that the run was trained with.
    device: where to sample, ``auto`` by default, wherever the run was trained.

    Raises:
        UserError: if the folder holds no run, or no such checkpoint.
    """
    place = located(folder)
    recipe = recipe_of(place, Catalog(modules=plugins), {"train.device": device}, to_train=False)
    with plugins_noted():
        return Trained(place, recipe, str(checkpoint))


def open_recipe(source: RecipeSource, catalog: Catalog, overrides: Overrides) -> Recipe:
    """The recipe of a file, a shipped name, plain data, or a run's folder."""
    if isinstance(source, Mapping):
        return load_recipe(source, catalog=catalog, overrides=overrides)
    if is_run(source):
        return recipe_of(Path(source), catalog, overrides)
    return load_recipe(find_recipe(source), catalog=catalog, overrides=overrides)


def folder_for(source: RecipeSource, recipe: Recipe, output: str | Path | None) -> Path:
    """A run's folder: what was asked for, the run itself that ``source`` names, or ``runs/NAME``.

    Raises:
        UserError: if NAME is no name of a folder.
    """
    if output is not None:
        return Path(output)
    if not isinstance(source, Mapping) and is_run(source):
        return Path(source)
    if recipe.name in (".", ".."):  # of files called ..yaml and ...yaml
        raise UserError(
            f'{source}: "runs/{recipe.name}" is no folder for a run; rename the recipe, or give --output DIR'
        )
    return Path("runs") / recipe.name


def is_run(source: str | Path) -> bool:
    """Whether a recipe's name is the folder of a run."""
    return folder_holds_run(Path(source))
