"""``ganrun report``: a run as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ganrun.errors import UserError
from ganrun.paths import expanded


def command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run, also of one that is going on.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="The page; RUN/report.html by default.")
    ] = None,
    plugin: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A plugin file that the run used. Can be repeated.")
    ] = None,
) -> None:
    """Write a run as one page that opens anywhere.

    In it: scores with intervals, curves, what was noticed in training, pictures over time, the recipe, versions.
    """
    from ganrun.catalog.catalog import Catalog
    from ganrun.files import write
    from ganrun.inference.record import read_record
    from ganrun.inference.report import report

    folder = expanded(run)
    file = folder / "report.html" if output is None else expanded(output)
    made = report(read_record(folder), Catalog(modules=plugin or ()))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write(file, made)
    except OSError as error:
        raise UserError(f"{error.filename or file}: cannot be written: {error.strerror or error}") from error
    print(file)
