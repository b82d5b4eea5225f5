"""``ganrun pack``: a run in a zip file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ganrun.cli.loading import load_torch
from ganrun.cli.sharing import Checkpoint, Licence, Plugins, WithTrainingState, about
from ganrun.errors import UserError


def command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="The zip file; NAME.zip by default.")
    ] = None,
    licence: Licence = None,
    with_training_state: WithTrainingState = False,
    checkpoint: Checkpoint = "last",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
    plugin: Plugins = None,
) -> None:
    """Put a run into a zip file: what `push` would push. `sample`, `translate`, `evaluate` and `export` open it."""
    load_torch()
    from ganrun.cli.plugins import catalog_with
    from ganrun.inference.sharing import prepared
    from ganrun.training.archive import write_zip
    from ganrun.training.located import is_copy

    file = output or Path(f"{run.absolute().name}.zip")
    if file.suffix != ".zip" or is_copy(run):
        raise UserError(f"{file}: give the folder of a run, and with -o a name that ends in .zip")
    if file.exists() and not overwrite:
        raise UserError(f"{file} exists already; give another --output, or add --overwrite")
    wanted = {"checkpoint_name": checkpoint, "training_state": with_training_state, "licence": licence}
    with prepared(run, catalog_with(plugin), **wanted) as shared:
        said = about(shared)
        try:
            write_zip(shared.folder, file)
        except OSError as error:
            raise UserError(f"{file}: cannot be written: {error.strerror or error}") from error
    print(f"{file}: {file.stat().st_size:,} bytes ({said})")
