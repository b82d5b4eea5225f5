"""What a shell completes: names of shipped recipes, and of plugins. Imports no plugin."""

from __future__ import annotations

from ganrun.catalog.catalog import Catalog
from ganrun.words.hooks import KINDS


def recipe_names(incomplete: str) -> list[str]:
    """The shipped recipes whose name begins so; the shell adds files where there are none."""
    from ganrun.recipe.sources import shipped_recipes

    return [name for name in shipped_recipes() if name.startswith(incomplete)]


def plugin_names(incomplete: str) -> list[str]:
    """The plugins whose ``kind.name`` begins so."""
    catalog = Catalog()
    names = (f"{kind}.{name}" for kind in KINDS for name in catalog.names(kind))
    return [name for name in names if name.startswith(incomplete)]


def kinds(incomplete: str) -> list[str]:
    """The kinds of plugin whose name begins so."""
    return [kind for kind in KINDS if kind.startswith(incomplete)]
