"""Where a run is that somebody names: the one place that says what such a name may be."""

from __future__ import annotations

from pathlib import Path

from ganrun.paths import expanded
from ganrun.recipe import Recipe
from ganrun.training.located import is_on_hub, located


def named_run(name: str, recipe: Recipe) -> Path:
    """The folder of a run, or of one of its checkpoints, that a recipe names.

    It is looked for from the recipe's folder, then from where the user stands, where runs are written by default.

    A zip file of a run and ``hf://user/name`` stand for the folder of their copy in the data cache.

    Raises UserError for a path of Windows that is nowhere here, and as :func:`ganrun.training.located.located`.
    """
    if is_on_hub(name):
        return located(name)
    beside, here = recipe.path_of(name), Path.cwd() / expanded(name)
    return located(here if here.exists() and not beside.exists() else beside)
