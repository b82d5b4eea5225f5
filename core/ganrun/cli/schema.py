"""``ganrun schema``: the JSON Schema of recipes, for editors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ganrun.catalog.catalog import Catalog
from ganrun.cli.output import complain, stdout_for_json
from ganrun.errors import UserError


def command(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write to a file instead of stdout.")
    ] = None,
    plugin: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A plugin file that is not installed. Can be repeated.")
    ] = None,
) -> None:
    """Print the JSON Schema of recipes.

    Editors use it to complete and check recipes. It covers the installed plugins."""
    from ganrun.recipe.schema import recipe_schema

    with stdout_for_json():
        schema = recipe_schema(Catalog(modules=plugin or ()))
    text = json.dumps(schema, indent=2, ensure_ascii=False)
    if output is None:
        print(text)
    else:
        try:
            output.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise UserError(f"{output}: cannot write the schema: {error.strerror or error}") from error
    if "$comment" in schema:
        complain(schema["$comment"])
