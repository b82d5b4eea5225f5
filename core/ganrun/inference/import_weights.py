"""A run made of files of weights."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path

from ganrun.catalog.catalog import Catalog
from ganrun.contracts.protocols import Dataset
from ganrun.data.splits import datasets, described, sized
from ganrun.errors import DataError, UserError
from ganrun.recipe import Recipe
from ganrun.training import checkpoint
from ganrun.training.fitted import fitted
from ganrun.training.folder import Folder
from ganrun.training.run import Run
from ganrun.training.weight_files import read_weights


def import_weights(recipe: Recipe, catalog: Catalog, files: Mapping[str, Path], folder: Path) -> Run:
    """Make a run of a recipe at step 0, its networks' weights from files.

    files: network -> file; the other networks are as initialised.

    The data set is not opened if it says of itself what the networks need to know, nor needed if its parameters do.

    Raises:
        UserError: if a file does not fit, or the folder holds a run.
    """
    with Folder(folder) as place:
        place.check(recipe, catalog, resume=False, overwrite=False, force=False)
        run = Run(recipe, catalog, folder, data=_data(recipe))
        modules = run.experiment.modules
        for name in files:
            if name not in modules:
                raise UserError(
                    f"{name}={files[name]}: {recipe.variant.name} has no network {name!r}; it has {', '.join(modules)}"
                )
        states = {name: fitted(read_weights(path), modules[name], f"{name}={path}") for name, path in files.items()}
        for name, state in states.items():
            modules[name].load_state_dict(state)
        place.prepare(run, resume=False, overwrite=False)
        checkpoint.write(folder / "checkpoints", 0, run.state_dict())
        return run


def _data(recipe: Recipe) -> Dataset:
    """The recipe's data set, or what it says of itself; where its files are not there, the sizes in the recipe."""
    if (said := described(recipe)) is not None:
        return said
    try:
        return datasets(recipe)("train")
    except DataError as error:
        train = recipe.train
        processes = int(os.environ.get("WORLD_SIZE", "1"))
        stand_in = sized(recipe, train.batch_size * train.accumulate * processes)
        if stand_in is None:
            raise
        warnings.warn(f"{error}; the sizes in the recipe are used, and no labels are known", stacklevel=3)
        return stand_in
