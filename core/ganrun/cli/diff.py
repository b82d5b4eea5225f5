"""``ganrun diff``: what differs between the resolved recipes of two runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    left: Annotated[str, typer.Argument(metavar="RUN", help="The folder of a run, or a recipe.")],
    right: Annotated[str, typer.Argument(metavar="RUN", help="Another run or recipe.")],
    plugin: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A plugin file that a run used. Can be repeated.")
    ] = None,
) -> None:
    """Show how two runs' recipes differ.

    Defaults are included: + added, - removed, -> changed."""
    from ganrun.api import open_recipe
    from ganrun.catalog.catalog import Catalog
    from ganrun.recipe import diff_text

    catalog = Catalog(modules=plugin or ())
    text = diff_text(open_recipe(left, catalog, ()).resolved, open_recipe(right, catalog, ()).resolved)
    print(text or "the recipes are the same", end="" if text else "\n")
