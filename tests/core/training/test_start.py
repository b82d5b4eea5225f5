"""Starting in a folder: a run that ended before its first step blocks nothing; one that took it is never replaced."""

import json

import pytest
import torch

import ganrun
from ganrun.errors import UserError
from ganrun.words.hooks import hookimpl


class FailsAt:
    """Writes a file at the start of a run, and fails in a turn of a step, or before the first one."""

    files = ("begun.txt",)

    def __init__(self, *, step: int = 0):
        self.step = step

    @hookimpl
    def run_start(self, run):
        (run.folder / "begun.txt").write_text("begun")
        if self.step < 0:
            raise ZeroDivisionError

    @hookimpl
    def phase_start(self, turn):
        if turn.step == self.step:
            raise ZeroDivisionError


@pytest.fixture
def train(tiny, tmp_path, plugin_module):
    def train(*observers, resume=False, overwrite=False, **settings):
        recipe = tiny(observers=["checkpoints", {"metrics-log": {"every": 1}}, *observers], without=["progress"])
        recipe["train"] |= {"steps": 3, **settings}
        plugins = [plugin_module({"observer.fails-at": FailsAt})]
        return ganrun.run(recipe, output=tmp_path / "run", plugins=plugins, resume=resume, overwrite=overwrite)

    return train


def fails(step):
    return {"fails-at": {"step": step}}


@pytest.mark.parametrize("step", [-1, 0], ids=["at the start", "in the first step"])
@pytest.mark.parametrize("resume", [False, True])
def test_a_run_that_failed_before_its_first_step_is_replaced_by_the_next(train, tmp_path, capsys, step, resume):
    """Also by one of another recipe, and with --resume: nothing of it is left."""
    with pytest.raises(ZeroDivisionError):
        train(fails(step))
    assert (tmp_path / "run/begun.txt").exists()
    run = train(resume=resume, seed=7)
    assert (run.step, run.resumed_from) == (3, None)
    assert not (tmp_path / "run/begun.txt").exists()
    assert "run: the run there ended before its first step; this one takes its place" in capsys.readouterr().out
    assert json.loads((tmp_path / "run/versions.json").read_text())["started"] is True


def test_a_run_that_took_a_step_is_not_replaced(train, tmp_path):
    with pytest.raises(ZeroDivisionError):
        train(fails(1))
    with pytest.raises(UserError, match="holds a run"):
        train()
    assert len((tmp_path / "run/metrics.jsonl").read_text().splitlines()) == 1


def test_a_run_of_a_version_that_did_not_write_down_its_first_step_is_not_replaced(train, tmp_path):
    with pytest.raises(ZeroDivisionError):
        train(fails(0))
    kept = json.loads((tmp_path / "run/versions.json").read_text())
    del kept["started"]
    (tmp_path / "run/versions.json").write_text(json.dumps(kept))
    with pytest.raises(UserError, match="holds a run"):
        train()


def test_another_number_of_threads_is_said_when_a_run_is_replaced_or_resumed(train, tmp_path, capsys):
    train()
    torch.set_num_threads(2)
    train(overwrite=True)
    assert "warning: threads: 1 before, 2 now: sums may round otherwise" in capsys.readouterr().out
    train(resume=True)
    assert "threads" not in capsys.readouterr().out


def test_the_threads_that_a_recipe_asks_for_are_those_that_are_kept(train, tmp_path, capsys):
    train(threads=2)
    assert json.loads((tmp_path / "run/versions.json").read_text())["threads"] == 2
    train(threads=2, resume=True)
    assert "threads" not in capsys.readouterr().out


def test_where_an_evaluator_fails_observers_have_the_step_before_it_is_saved(tiny, tmp_path, plugin_module):
    """A resumed run does not come back to that step."""
    recipe = tiny(
        observers=[{"metrics-log": {"every": 1}}],
        without=["progress", "samples", "health", "checkpoints"],
        evaluators=[{"fails": {"every": 2}}],
        train={"steps": 3},
    )
    fails = type("Fails", (), {"evaluate": lambda self, evaluation: 1 / 0})
    with pytest.raises(ZeroDivisionError):
        ganrun.run(recipe, output=tmp_path / "run", plugins=[plugin_module({"evaluator.fails": fails})])
    assert [path.name for path in (tmp_path / "run/checkpoints").iterdir()] == ["step-0000002"]
    assert len((tmp_path / "run/metrics.jsonl").read_text().splitlines()) == 2
