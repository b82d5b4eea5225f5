"""The splits of a recipe's data set, each opened once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from ganrun.contracts.protocols import Dataset
from ganrun.data.download import data_cache
from ganrun.data.reader import DataDescription
from ganrun.errors import DataError
from ganrun.recipe import Part, Recipe
from ganrun.recipe.places import placed
from ganrun.words.spaces import DataFiles

NO_LENGTH = (
    "it has no length (`__len__`), and an item has to be found again by its number: resuming, workers and several "
    "processes rely on it; count what is there, as rows or lines of a file, or, if every number stands for an item, "
    "return one that no run reaches, such as 10**12"
)


def datasets(recipe: Recipe) -> Callable[[str], Dataset]:
    """Split -> data set of a recipe, each made once."""
    part = recipe.dataset
    opened = datasets_of_part(part, recipe.base)

    def dataset(split: str) -> Dataset:
        with placed(recipe, part.path, f"dataset.{part.name}"):
            return opened(split)

    return dataset


def datasets_of_part(part: Part, base: Path) -> Callable[[str], Dataset]:
    """Split -> data set of a part, each made once; its relative paths start at ``base``."""
    files = DataFiles(base, data_cache())

    @cache
    def dataset(split: str) -> Dataset:
        made: Dataset = part.make(files, split)
        if not hasattr(type(made), "__len__"):
            raise DataError(f"dataset {part.name}: {NO_LENGTH}")
        return made

    return dataset


def datasets_described(recipe: Recipe) -> Callable[[str], Dataset]:
    """Split -> what the data set says of itself, or, if it has to be opened to know, the data set; each once."""
    opened = datasets(recipe)

    @cache
    def dataset(split: str) -> Dataset:
        said = described(recipe, split)
        return opened(split) if said is None else said

    return dataset


def sized(recipe: Recipe, items: int) -> Dataset | None:
    """What stands in for a data set whose files are not there, with sizes that its parameters say; None if they do not.

    items: what its length is taken to be, which no parameter says.
    """
    factory: Any = recipe.dataset.component.factory
    if not hasattr(factory, "known_spaces"):
        return None
    provides, classes = getattr(factory, "provides", ()), getattr(factory, "classes", ())
    stand_in: Any = DataDescription(factory.known_spaces(**recipe.dataset.parameters), items, classes, provides)
    found: Dataset = stand_in
    return found


def described(recipe: Recipe, split: str = "train") -> Dataset | None:
    """What the data set says of itself before it is downloaded; None if it has to be opened to know.

    It is a :class:`DataDescription`, which stands in for the data set where no item is read.
    """
    describe = getattr(recipe.dataset.component.factory, "describe", None)
    with placed(recipe, recipe.dataset.path, f"dataset.{recipe.dataset.name}"):
        found: Dataset | None = describe(split, **recipe.dataset.parameters) if describe is not None else None
    return found
