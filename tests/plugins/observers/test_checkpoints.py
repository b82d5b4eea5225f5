"""Which checkpoints are written, which stay, and which is the best."""

import json
import shutil
from typing import ClassVar

import pytest

from ganrun import api
from ganrun.recipe import RecipeError
from ganrun.training import checkpoint
from ganrun.words.hooks import hookimpl


class Scripted:
    """Scores as the test says, by step: the count of samples stands in for them, so nothing has to be made."""

    scores: ClassVar[list[float]] = []

    def __init__(self):
        self.left = list(self.scores)

    def evaluate(self, evaluation):
        return {"distance": self.left.pop(0), "other": 0.0}


class StopAt:
    """Asks the run to stop after a step, as Ctrl-C does."""

    def __init__(self, *, step: int = 3):
        self.step = step

    @hookimpl
    def step_end(self, run):
        if run.step == self.step:
            run.stop("interrupted")


class FailAt(StopAt):
    @hookimpl
    def step_end(self, run):
        if run.step == self.step:
            raise ZeroDivisionError


class Count:
    """Its state is the number of steps, which it also writes down for each step and at the end."""

    files: ClassVar[tuple[str, ...]] = ("counts", "end.txt")

    def __init__(self):
        self.steps = 0

    @hookimpl
    def step_end(self, run):
        self.steps += 1
        (run.folder / "counts").mkdir(exist_ok=True)
        (run.folder / f"counts/step-{run.step:07d}.txt").write_text(str(self.steps))

    @hookimpl
    def run_end(self, run, reason):
        (run.folder / "end.txt").write_text(reason)

    def state_dict(self):
        return {"steps": self.steps}

    def load_state_dict(self, state):
        self.steps = state["steps"]


class FailAtTheEnd:
    @hookimpl
    def run_end(self, run, reason):
        raise ZeroDivisionError


@pytest.fixture
def train(tmp_path, tiny, plugin_module):
    """Train a tiny recipe with the observer under test; scores are those of the evaluator, one each time."""

    def train(scores=(), observers=(), after=(), steps=10, resume=False, **settings):
        evaluator = type("ScriptedHere", (Scripted,), {"scores": list(scores)})
        plugins = plugin_module(
            {
                "evaluator.scripted": evaluator,
                "observer.stop-at": StopAt,
                "observer.fail-at": FailAt,
                "observer.count": Count,
                "observer.fail-at-the-end": FailAtTheEnd,
            }
        )
        recipe = tiny(
            observers=[*observers, "checkpoints", *after],
            checkpoint=settings,
            train={"steps": steps},
            evaluators=[{"scripted": {"every": 2}}] if scores else [],
        )
        return api.run(recipe, output=tmp_path / "run", plugins=[plugins], resume=resume, force=resume)

    return train


def steps_kept(tmp_path):
    return [step for step, _ in checkpoint.listing(tmp_path / "run" / "checkpoints")]


def test_the_newest_checkpoints_stay(train, tmp_path):
    train(every=2, keep=3)
    assert steps_kept(tmp_path) == [6, 8, 10]


def test_the_last_step_is_saved_though_none_was_due(train, tmp_path):
    train(every=4, keep=9)
    assert steps_kept(tmp_path) == [4, 8, 10]


def test_the_last_step_is_saved_once(train, tmp_path, monkeypatch):
    written = []
    real = checkpoint.write
    monkeypatch.setattr(
        checkpoint, "write", lambda folder, step, state: written.append(step) or real(folder, step, state)
    )
    train(every=5)
    assert written == [5, 10]


def test_an_interrupted_run_saves_its_last_step(train, tmp_path):
    run = train(every=100, observers=[{"stop-at": {"step": 7}}])
    assert run.step == 7
    assert steps_kept(tmp_path) == [7]


def test_a_failed_run_saves_nothing_more(train, tmp_path):
    with pytest.raises(ZeroDivisionError):
        train(every=2, observers=[{"fail-at": {"step": 3}}])
    assert steps_kept(tmp_path) == [2]


def test_a_checkpoint_holds_what_observers_listed_after_it_know_after_its_step(train, tmp_path):
    train(after=["count"], every=4, keep=9)
    states = [checkpoint.read(path)[1] for _, path in checkpoint.listing(tmp_path / "run/checkpoints")]
    assert [(state["step"], state["components"][0]["observers.1.count"]) for state in states] == [
        (4, {"steps": 4}),
        (8, {"steps": 8}),
        (10, {"steps": 10}),
    ]
    for _, path in checkpoint.listing(tmp_path / "run/checkpoints")[1:]:
        shutil.rmtree(path)
    (count,) = [o for o in train(after=["count"], resume=True, every=4).experiment.observers if isinstance(o, Count)]
    assert count.steps == 10


@pytest.mark.parametrize(("step", "end"), [(4, False), (10, True)])
def test_what_observers_write_for_a_step_is_there_before_its_checkpoint(train, tmp_path, monkeypatch, step, end):
    """The write of the checkpoint is where a kill would come."""

    def killed(folder, at, state):
        if at == step:
            raise KeyboardInterrupt
        return real(folder, at, state)

    real = checkpoint.write
    monkeypatch.setattr(checkpoint, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        train(after=["count"], every=4 if step == 4 else 100)
    assert (tmp_path / f"run/counts/step-{step:07d}.txt").read_text() == str(step)
    assert (tmp_path / "run/end.txt").exists()
    assert steps_kept(tmp_path) == []


def test_an_observer_that_fails_at_the_end_does_not_cost_the_last_steps(train, tmp_path):
    with pytest.raises(ZeroDivisionError):
        train(observers=["fail-at-the-end"], every=100)
    assert steps_kept(tmp_path) == [10]


def test_a_resumed_run_removes_what_a_kill_kept_from_being_removed(train, tmp_path):
    train(every=2, keep=2, steps=6)
    oldest = tmp_path / "run/checkpoints/step-0000002"
    checkpoint.write(oldest.parent, 2, {"step": 2})
    assert steps_kept(tmp_path) == [2, 4, 6]
    train(every=2, keep=2, steps=6, resume=True)
    assert steps_kept(tmp_path) == [4, 6]


def test_no_time_passes_between_checkpoints_of_zero_length_minutes(train, tmp_path):
    """``every`` in minutes goes by the clock: a ten-thousandth of a millisecond has always passed."""
    train(every="0.0000000001 minutes", keep=99)
    assert steps_kept(tmp_path) == list(range(1, 11))


def test_an_hour_does_not_pass_in_ten_steps(train, tmp_path):
    train(every="60 minutes", keep=99)
    assert steps_kept(tmp_path) == [10]


@pytest.mark.parametrize(("mode", "step", "value"), [("min", 4, 1.0), ("max", 6, 9.0)])
def test_the_best_is_saved_when_it_is_seen_kept_and_named(train, tmp_path, mode, step, value):
    """Scores at steps 2, 4, 6, 8, 10; no checkpoint is due before the end."""
    train(scores=[5.0, 1.0, 9.0, 1.0, 3.0], every=100, keep=1, best={"evaluator": "scripted", "mode": mode})
    assert steps_kept(tmp_path) == [step, 10]
    best = json.loads((tmp_path / "run/checkpoints/best.json").read_text())
    assert best == {"step": step, "metric": "scripted.distance", "value": value}
    assert api.load(tmp_path / "run", "best", plugins=[]).step == step


def test_a_score_that_is_not_finite_is_never_the_best(train, tmp_path):
    train(
        scores=[float("nan"), float("-inf"), 2.0, 3.0, 4.0],
        every=100,
        keep=1,
        best={"evaluator": "scripted.distance", "mode": "min"},
    )
    assert json.loads((tmp_path / "run/checkpoints/best.json").read_text())["step"] == 6


def test_the_best_survives_a_resume(train, tmp_path):
    best = {"evaluator": "scripted", "mode": "min"}
    train(scores=[1.0, 5.0, 5.0], steps=6, every=2, keep=1, best=best)
    train(scores=[4.0, 3.0], steps=10, every=2, keep=1, best=best, resume=True)
    assert json.loads((tmp_path / "run/checkpoints/best.json").read_text())["step"] == 2
    assert steps_kept(tmp_path) == [2, 10]


def test_a_best_checkpoint_that_was_removed_is_forgotten(train, tmp_path):
    best = {"evaluator": "scripted", "mode": "min"}
    train(scores=[1.0, 5.0, 5.0], steps=6, every=2, keep=1, best=best)
    checkpoint.prune(tmp_path / "run/checkpoints", 1, set())
    train(scores=[4.0, 3.0], steps=10, every=2, keep=1, best=best, resume=True)
    assert json.loads((tmp_path / "run/checkpoints/best.json").read_text())["step"] == 10


def test_a_best_by_an_evaluator_that_never_runs_is_refused(train):
    with pytest.raises(RecipeError, match="no evaluator"):
        train(best={"evaluator": "frechet-distance", "mode": "min"})
