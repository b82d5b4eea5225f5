"""Where a run is that somebody names: the one place that says what such a name may be."""

from __future__ import annotations

from pathlib import Path

from ganrun.recipe import Recipe
from ganrun.training.located import is_on_hub, located


def named_run(name: str, recipe: Recipe) -> Path:
    """The folder of a run, or of one of its checkpoints, that a recipe names: a path from the recipe's folder.

    A zip file of a run and ``hf://user/name`` stand for the folder of their copy in the data cache.

    Raises UserError for a path of Windows that is nowhere here, and as :func:`ganrun.training.located.located`.
    """
    return located(name) if is_on_hub(name) else located(recipe.path_of(name))
