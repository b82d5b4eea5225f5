"""Where what a recipe asks for was written, for errors that arise when it is made: as all others, file:line:column."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ganrun.errors import BrokenPlugin, SettingError, UserError

if TYPE_CHECKING:
    from ganrun.recipe.nodes import Keys
    from ganrun.recipe.resolve import Recipe


def place(recipe: Recipe, path: Keys) -> str:
    """``file:line:column`` of the value at a path, or ``--set ...``; empty for a default.

    Of what a variant brings, the place of the variant and ``variant NAME``.
    """
    found = recipe.problem(path, "")
    if found.line:
        return f"{found.file}:{found.line}:{found.column}"
    if found.file == f"variant {recipe.variant.name}":
        of_variant = recipe.problem(("variant",), "")
        return (
            f"{of_variant.file}:{of_variant.line}:{of_variant.column}: {found.file}" if of_variant.line else found.file
        )
    return "" if found.file == "default" else found.file


@contextmanager
def placed(recipe: Recipe, path: Keys, name: str) -> Iterator[None]:
    """An error for users that arises here says which value of the recipe it is about: its place, and its ``name``.

    An error of a plugin's code stays as it is: the recipe is not what is wrong.
    """
    try:
        yield
    except BrokenPlugin:
        raise
    except UserError as error:
        where = [text for text in (place(recipe, path), name) if text]
        error.args = (": ".join([*where, str(error)]),)
        raise


@contextmanager
def settings_placed(recipe: Recipe) -> Iterator[None]:
    """A setting of ``train`` that does not work here is named with its place."""
    try:
        yield
    except SettingError as error:
        if where := place(recipe, ("train", error.key)):
            error.args = (f"{where}: {error}",)
        raise
