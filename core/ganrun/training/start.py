"""Training a recipe in a folder: from the start, or from where the run in it stopped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ganrun.catalog.catalog import Catalog
from ganrun.data.file_check import check_files
from ganrun.recipe import Recipe
from ganrun.recipe.places import placed
from ganrun.training import checkpoint
from ganrun.training.changed import changed_since, changed_threads, keeping_percentages, last_start
from ganrun.training.folder import Folder, is_main_process
from ganrun.training.initial import start_from
from ganrun.training.restore import resume_run
from ganrun.training.run import Run
from ganrun.training.scoring import prepare


def train(
    recipe: Recipe,
    catalog: Catalog,
    folder: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    force: bool = False,
    watch: Sequence[Any] = (),
) -> Run:
    """Train a recipe in a folder, from the start or from its newest intact checkpoint. Returns the ended run.

    A run that ended before its first step is replaced: there is nothing of it to continue, or to lose.

    watch: components that listen, too, and are no part of the recipe.

    Raises:
        UserError: if the recipe is refused, or the folder holds a run and neither resume nor overwrite is given.
    """
    with Folder(folder) as place:
        if place.holds_run and is_main_process():
            checkpoint.recover(folder / "checkpoints")
        place.check(recipe, catalog, resume=resume, overwrite=overwrite, force=force)
        resume = resume and not place.is_unstarted
        started = last_start(folder, catalog) if resume else None
        recipe = recipe if started is None else keeping_percentages(recipe, started)
        run = Run(recipe, catalog, folder, watch=[*watch, place])
        with run.processes.watched(), run.experiment.settings():
            resumed = resume and resume_run(run, folder, started, force=force)
            initial = start_from(run).kept if recipe.init is not None and not resumed else None
            if overwrite and run.is_main and (threads := changed_threads(folder)):
                print(f"warning: {threads}", flush=True)
            if run.is_main:
                check_data(run)
            run.processes.wait()  # before the main process changes what the others read
            changed = [] if started is None or not resumed else changed_since(started, run)
            place.prepare(run, resume=resume, overwrite=overwrite, changed=changed, initial=initial)
            run.processes.wait()
            try:
                prepare(run)
                run.train()
            finally:
                run.engine.readers.close()
        return run


def check_data(run: Run) -> None:
    """Look at all files of a run's data, and at those of the test split where it is read.

    Raises DataError at the place of the data set in the recipe, naming the files that cannot be read.
    """
    recipe, part = run.recipe, run.recipe.dataset
    with placed(recipe, part.path, f"dataset.{part.name}"):
        check_files(run.experiment.dataset)
        if recipe.evaluators or run.experiment.description.conditional:
            check_files(run.dataset("test"))
