"""Where a run is that somebody names: the one place that says what such a name may be."""

from __future__ import annotations

from pathlib import Path

from ganrun.recipe import Recipe


def named_run(name: str, recipe: Recipe) -> Path:
    """The folder of a run, or of one of its checkpoints, that a recipe names: a path from the recipe's folder.

    Raises UserError for a path of Windows that is nowhere here.
    """
    return recipe.path_of(name)
