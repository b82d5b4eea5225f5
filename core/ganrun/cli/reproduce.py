"""``ganrun reproduce``: whether a run, trained again from its folder, gives the same bits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ganrun.cli.loading import load_torch
from ganrun.cli.output import outliving_readers
from ganrun.cli.plugins import catalog_with
from ganrun.cli.recipe import INTERRUPTED, is_main, print_line, refuse_together
from ganrun.paths import resolved


def command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="The new run's folder; RUN-again by default.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue in that folder.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run in that folder.")] = False,
    plugin: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A plugin file that the run used. Can be repeated.")
    ] = None,
) -> None:
    """Train a run again and compare every checkpoint.

    First it says what differs in how the two are made: versions, threads, machine, data. Exits with 1 if a checkpoint
    differs.
    """
    refuse_together(resume=resume, overwrite=overwrite)
    load_torch()
    from ganrun.inference.reproduce import reproduce
    from ganrun.training.opened import recipe_of

    catalog = catalog_with(plugin)
    recipe = recipe_of(run, catalog)
    place = run if run.name not in ("", "..") else resolved(run)
    folder = output or place.with_name(f"{place.name}-again")
    with outliving_readers():
        print_line(f"run: {folder}")
        made, found = reproduce(run, recipe, catalog, folder, resume=resume, overwrite=overwrite)
    if not is_main():
        return
    wrong = [step for step, difference in found.compared.items() if difference]
    said = f"{len(found.compared)} of {len(found.steps)} checkpoints compared"
    print(f"{said}, all equal" if not wrong else f"{said}, not equal: {len(wrong)}; {_why(found.made_otherwise)}")
    if found.missing:
        print(f"not compared: {', '.join(map(str, found.missing))}")
    if found.missing and made.step < found.missing[-1]:
        raise typer.Exit(INTERRUPTED)
    if wrong or found.missing:
        raise typer.Exit(1)


def _why(made_otherwise: list[str]) -> str:
    if made_otherwise:
        return f"they were made otherwise ({'; '.join(made_otherwise)})"
    return "versions, threads, machine and data are the same, as far as the run says"
