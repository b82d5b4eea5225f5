"""What an observer has to keep."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ganrun.testing.conditions import events_of
from ganrun.testing.plugin import Plugin
from ganrun.testing.runs import first_difference, weights
from ganrun.training.folder import declared_files
from ganrun.training.run import Run
from ganrun.training.start import train


@contextlib.contextmanager
def finished(plugin: Plugin, *, observed: bool = True) -> Iterator[Run]:
    """A whole run, with or without the observer, in a folder of its own; what is printed is not shown."""
    recipe = plugin.recipe if observed else plugin.without(plugin.recipe)
    with tempfile.TemporaryDirectory() as home, contextlib.redirect_stdout(io.StringIO()):
        yield train(plugin.load(recipe), plugin.catalog, Path(home) / "run")


def check_listens(plugin: Plugin) -> None:
    """It implements events: an observer without any does nothing."""
    assert events_of(plugin.factory), "no method is marked @hookimpl, so it does nothing"


def check_changes_nothing(plugin: Plugin) -> None:
    """Training with the observer gives the bits of training without it."""
    with finished(plugin) as one, finished(plugin, observed=False) as other:
        different = first_difference(weights(other), weights(one))
        assert not different, f"{different} differs from the run without the observer"
        assert one.step == one.steps, f"the run ended after {one.step} of {one.steps} steps"


def check_files_are_declared(plugin: Plugin) -> None:
    """What it writes into the run's folder is named in ``files``, so that ``--overwrite`` removes it."""
    with finished(plugin, observed=False) as run:
        assert run.folder is not None
        there = {path.name for path in run.folder.iterdir()}
    with finished(plugin) as run:
        assert run.folder is not None
        files = declared_files(run.recipe.observers, run.experiment.observers)
        unknown = {path.name for path in run.folder.iterdir()} - there - {name.partition("/")[0] for name in files}
    assert not unknown, f"{', '.join(sorted(unknown))} written into the run's folder but not named in `files`"


def check_writes_into_the_run_alone(plugin: Plugin) -> None:
    """Whatever is written lies in the run's folder."""
    with tempfile.TemporaryDirectory() as elsewhere, contextlib.chdir(elsewhere), finished(plugin) as run:
        assert run.folder is not None
        assert not list(Path(elsewhere).iterdir()), "files are written into the working directory"
        assert [path.name for path in run.folder.parent.iterdir()] == [run.folder.name], (
            "files are written outside the run's folder"
        )
