"""Going back to a checkpoint: everything is as it was then, and what follows is drawn again."""

import json

import pytest
import torch
from PIL import Image

from ganrun.catalog.catalog import Catalog
from ganrun.data.order import permutation
from ganrun.recipe import load_recipe
from ganrun.training import checkpoint
from ganrun.training.start import train
from ganrun.words.hooks import hookimpl


class GoBack:
    """Asks to go back at the end of step ``at``, ``times`` times in all, and keeps the answers."""

    def __init__(self, *, at: int, before: int | None = None, times: int = 1):
        self.at, self.before, self.times = at, before, times
        self.answers: list[bool] = []

    @hookimpl
    def step_end(self, run):
        if run.step == self.at and len(run.rollbacks) < self.times:
            self.answers.append(run.roll_back(f"a whim at step {run.step}", before=self.before))


class Diary:
    """Writes down what each turn drew and read, and what lies in the folder when the run has gone back."""

    def __init__(self):
        self.turns, self.found, self.state = [], [], None

    @hookimpl
    def losses(self, turn):
        self.turns.append(
            (
                turn._engine.attempt,
                turn.step,
                turn.player,
                turn.latents["z"].clone(),
                next(iter(turn.real.values())).clone(),
            )
        )

    @hookimpl(trylast=True)
    def rolled_back(self, run):
        tensors = {}
        self.state = checkpoint.flatten(run.state_dict(), tensors), tensors
        names = sorted(
            str(path.relative_to(run.folder))
            for path in run.folder.rglob("*")
            if path.suffix in (".png", ".safetensors", ".jsonl")
        )
        steps = [json.loads(line)["step"] for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
        self.found.append((run.step, names, steps, run.newest_picture))


class Score:
    """The number of the step, so that the last is the best; also draws a picture."""

    def evaluate(self, evaluation):
        evaluation.draw("score", Image.new("RGB", (2, 2)))
        return {"step": float(evaluation.step)}


@pytest.fixture
def catalog(plugin_module):
    plugins = {"observer.go-back": GoBack, "trick.diary": Diary, "evaluator.score": Score}
    return lambda: Catalog(modules=[plugin_module(plugins)])


@pytest.fixture
def go(catalog):
    def go(recipe, folder, **options):
        known = catalog()
        return train(load_recipe(recipe, catalog=known), known, folder, **options)

    return go


@pytest.fixture
def quick(tiny):
    """A GAN on points that takes 9 steps, saves every third, and goes back at the end of step ``at``."""

    def recipe(at=8, before=None, times=1, **changes):
        observers = [
            *changes.pop("observers", ["metrics-log"]),
            {"go-back": {"at": at, "before": before, "times": times}},
        ]
        watched = {
            "without": ["progress", "samples"],
            "checkpoint": {"every": 3, "keep": 3},
            "observers": observers,
            "tricks": ["diary"],
        }
        return tiny(**{**watched, **changes, "train": {"steps": 9, **changes.get("train", {})}})

    return recipe


def diary(run):
    return next(trick for trick in run.experiment.tricks if isinstance(trick, Diary))


def drawn(run, attempt, step, player="generator"):
    """Latents and real samples of a turn."""
    ((z, x),) = [(z, x) for a, s, p, z, x in diary(run).turns if (a, s, p) == (attempt, step, player)]
    return z, x


def steps_kept(folder):
    return [step for step, _ in checkpoint.listing(folder / "checkpoints")]


def lines(folder):
    found = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "time"} for line in found]


# --- the keys ---------------------------------------------------------------------------------------------------


def test_attempt_0_draws_and_reads_what_runs_always_did(tiny, make_run):
    """The numbers were written down before there were rollbacks: older runs resume bit for bit."""
    run = make_run(tiny())
    assert run.attempt == 0
    reader = run.experiment.reader("discriminator", 8)
    assert reader.key == (0, "reader", "discriminator")
    assert permutation(12, *reader.key, "order", 0).tolist() == [10, 5, 8, 6, 7, 4, 0, 11, 9, 2, 3, 1]
    turn = run.engine.take(run.experiment.phases[0], 3, 0, [])
    assert turn.draws.key == (0, 0, 3, "discriminator", 0)
    turn.draws._forwards = 0
    assert turn.draws.forward_seed() == 1631614148176943450


def test_another_attempt_reads_in_another_order_from_the_same_position(tiny, make_run):
    run = make_run(tiny())
    for step in range(3):
        run.engine.step(step)
    before = run.engine.readers.positions
    assert before == {"discriminator": 24}
    old = run.experiment.reader("discriminator", 8)
    run.engine.attempt = 2
    assert run.engine.readers.positions == before
    turn = run.engine.take(run.experiment.phases[0], 3, 0, [])
    new = run.experiment.reader("discriminator", 8, 2)
    assert new.key == (0, "reader", "discriminator", 2)
    old.position = new.position = 24
    assert torch.equal(turn.real["x"], new.get(8)["x"])
    assert not torch.equal(turn.real["x"], old.get(8)["x"])


# --- going back -------------------------------------------------------------------------------------------------


def test_a_run_goes_back_and_draws_and_reads_again(quick, go, tmp_path):
    run = go(quick(at=8), tmp_path)
    assert run.step == 9
    assert (run.attempt, run.rollbacks) == (1, [{"from": 8, "to": 6, "attempt": 1, "reason": "a whim at step 8"}])
    assert [(a, s) for a, s, player, _, _ in diary(run).turns if player == "generator"] == [
        *((0, step) for step in range(8)),
        (1, 6),
        (1, 7),
        (1, 8),
    ]
    for first, again in zip(drawn(run, 0, 6), drawn(run, 1, 6)):
        assert not torch.equal(first, again)


def test_everything_is_what_the_checkpoint_held(with_all_tricks, go, tmp_path):
    """The pool, the average, moments and statistics of step 6, although they were in use for two more steps."""
    tricks = [*with_all_tricks()["tricks"], "diary"]
    go(with_all_tricks(tricks=tricks), tmp_path / "straight")
    run = go(with_all_tricks(tricks=tricks, observers=["metrics-log", {"go-back": {"at": 8}}]), tmp_path / "back")
    tree, tensors = diary(run).state
    wanted_tensors = {}
    wanted = checkpoint.flatten(checkpoint.read(tmp_path / "straight/checkpoints/step-0000006")[1], wanted_tensors)
    assert len(tensors) > 50
    assert tensors.keys() == wanted_tensors.keys()
    assert [name for name in tensors if not torch.equal(tensors[name], wanted_tensors[name])] == []
    assert (tree.pop("attempt"), wanted.pop("attempt")) == (1, 0)
    assert (len(tree.pop("rollbacks")), wanted.pop("rollbacks")) == (1, [])
    tree["components"][0] = {
        name: state for name, state in tree["components"][0].items() if not name.startswith("observers")
    }
    wanted["components"][0] = {
        name: state for name, state in wanted["components"][0].items() if not name.startswith("observers")
    }
    assert tree == wanted


def test_what_was_written_of_later_steps_is_gone(quick, go, tmp_path):
    observers = [{"metrics-log": {"every": 1}}, {"samples": {"every": 1, "points": 5}}]
    recipe = quick(
        at=7, before=5, observers=observers, without=["progress", "health"], evaluators=[{"score": {"every": 2}}]
    )
    run = go(recipe, tmp_path)
    ((step, names, steps, newest),) = diary(run).found
    assert (step, steps, newest.name) == (3, [1, 2, 3], "step-0000003.png")
    assert names == [
        "checkpoints/step-0000003/tensors.safetensors",
        "evaluations.jsonl",
        "evaluations/score-score-0000002.png",
        "metrics.jsonl",
        "samples/step-0000001.png",
        "samples/step-0000002.png",
        "samples/step-0000003.png",
    ]
    assert [line["step"] for line in lines(tmp_path)] == list(range(1, 10))
    assert [json.loads(line)["step"] for line in (tmp_path / "evaluations.jsonl").read_text().splitlines()] == [
        2,
        4,
        6,
        8,
        9,
    ]
    assert len(list((tmp_path / "samples").glob("*.png"))) == 9
    assert steps_kept(tmp_path) == [3, 6, 9]


def test_going_back_again_is_a_third_way(quick, go, tmp_path):
    run = go(quick(at=5, times=2), tmp_path)
    assert [(entry["from"], entry["to"], entry["attempt"]) for entry in run.rollbacks] == [(5, 3, 1), (5, 3, 2)]
    first, second, third = (drawn(run, attempt, 3) for attempt in range(3))
    assert not any(
        torch.equal(one[i], other[i])
        for one, other in ((first, second), (first, third), (second, third))
        for i in (0, 1)
    )


def test_the_attempt_rises_even_if_the_checkpoint_is_older_than_the_last_rollback(
    quick, plugin_module, tmp_path, state_of
):
    class Further(GoBack):
        """First to step 6, then behind it."""

        @hookimpl
        def step_end(self, run):
            if run.step == 8 and len(run.rollbacks) < 2:
                run.roll_back("again", before=6 - 3 * len(run.rollbacks))

    known = Catalog(modules=[plugin_module({"observer.go-back": Further, "trick.diary": Diary})])
    run = train(load_recipe(quick(at=8), catalog=known), known, tmp_path)
    assert [(entry["to"], entry["attempt"]) for entry in run.rollbacks] == [(6, 1), (3, 2)]
    assert state_of(tmp_path)[0]["rollbacks"] == run.rollbacks


def test_before_chooses_an_older_checkpoint_and_two_wishes_give_the_further_one(quick, go, tmp_path):
    further = {"go-back": {"at": 8, "before": 4}}
    run = go(quick(at=8, observers=["metrics-log", further]), tmp_path)
    assert [(entry["to"], entry["reason"]) for entry in run.rollbacks] == [(3, "a whim at step 8")]


def test_a_damaged_checkpoint_is_passed_over(quick, go, tmp_path, monkeypatch):
    damage = GoBack.step_end

    def damaging(self, run):
        if run.step == 8 and not run.rollbacks:
            (run.folder / "checkpoints/step-0000006/state.json").write_text("{}")
        damage(self, run)

    monkeypatch.setattr(GoBack, "step_end", hookimpl(damaging))
    assert go(quick(at=8), tmp_path).rollbacks[0]["to"] == 3


def test_a_checkpoint_of_the_same_step_is_not_an_earlier_one(quick, go, tmp_path):
    assert go(quick(at=6), tmp_path).rollbacks[0]["to"] == 3


def test_the_checkpoint_asked_for_is_not_pruned_in_the_same_step(quick, go, tmp_path):
    """Observers come in the order of the recipe: here the checkpoint of step 6 is written after the request, and one is
    kept.
    """
    recipe = quick(observers=[], without=["progress", "samples", "checkpoints"], checkpoint={"every": 3, "keep": 1})
    recipe["observers"] = [{"go-back": {"at": 6}}, "metrics-log", "checkpoints"]
    run = go(recipe, tmp_path)
    assert run.rollbacks[0]["to"] == 3
    assert steps_kept(tmp_path) == [9]


def test_a_best_score_that_was_left_behind_is_forgotten(quick, go, tmp_path):
    best = {"every": 3, "keep": 3, "best": {"evaluator": "score", "mode": "max"}}
    recipe = quick(at=7, before=4, checkpoint=best, evaluators=[{"score": {"every": 3}}], train={"steps": 8})
    seen = []
    save = checkpoint.write

    def look(folder, step, state):
        path = save(folder, step, state)
        (kept,) = [part["best"] for name, part in state["components"][0].items() if name.endswith(".checkpoints")]
        seen.append((step, kept["step"]))
        return path

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "write", look)
        go(recipe, tmp_path)
    assert seen == [(3, 3), (6, 6), (3, 3), (6, 6), (8, 8)], "6 was the best when it went back to 3"


# --- when it goes back ------------------------------------------------------------------------------------------


def test_a_wish_in_the_last_step_is_granted(quick, go, tmp_path):
    run = go(quick(at=9), tmp_path)
    assert (run.step, run.rollbacks[0]["to"], run.attempt) == (9, 6, 1)


def test_a_run_that_is_stopped_in_the_same_step_is_saved_where_it_went_back_to(
    quick, go, tmp_path, monkeypatch, state_of
):
    ask = GoBack.step_end

    def stopping(self, run):
        ask(self, run)
        if run.rollbacks == [] and run.step == 8:
            run.stop("interrupted")

    monkeypatch.setattr(GoBack, "step_end", hookimpl(stopping))
    run = go(quick(at=8), tmp_path)
    assert (run.step, run.attempt) == (6, 1)
    assert state_of(tmp_path)[0]["attempt"] == 1
    assert steps_kept(tmp_path) == [3, 6]


def test_without_a_checkpoint_nothing_happens(quick, go, tmp_path, make_run, tiny):
    run = go(quick(at=2), tmp_path / "asked")
    observer = next(observer for observer in run.experiment.observers if isinstance(observer, GoBack))
    assert (observer.answers, run.attempt, run.rollbacks, run.going_back_to) == ([False], 0, [], None)
    go(quick(at=2, times=0), tmp_path / "silent")
    assert lines(tmp_path / "asked") == lines(tmp_path / "silent")
    assert make_run(tiny()).roll_back("a run without a folder") is False


def test_a_checkpoint_that_is_lost_after_the_wish_ends_the_run(quick, go, tmp_path, monkeypatch):
    ask = GoBack.step_end

    def losing(self, run):
        ask(self, run)
        if run.going_back_to is not None:
            for _, path in checkpoint.listing(run.folder / "checkpoints"):
                (path / "manifest.json").unlink()

    monkeypatch.setattr(GoBack, "step_end", hookimpl(losing))
    run = go(quick(at=7), tmp_path)
    assert (run.step, run.attempt) == (7, 0)
    assert run._stop == "a whim at step 7; the checkpoint of step 6 was lost before the run could go back to it"


def test_what_was_known_of_later_steps_is_dropped(quick, go, tmp_path, monkeypatch):
    ask, seen = GoBack.step_end, {}

    def noting(self, run):
        run.notices["whim"] = "a line"
        run.evaluation.fakes(n=2)
        ask(self, run)

    def look(self, run):
        seen.update(
            notices=dict(run.notices),
            scores=dict(run.scores),
            fakes=run.evaluation.fakes(n=2).clone(),
            weights=run.sample_maker.turn(2).made["x"],
        )
        seen["gradients"] = [
            p.grad for parameters in run.engine.parameters.values() for p in parameters if p.grad is not None
        ]

    monkeypatch.setattr(GoBack, "step_end", hookimpl(noting))
    monkeypatch.setattr(GoBack, "rolled_back", hookimpl(look), raising=False)
    go(quick(at=8, before=3, evaluators=[{"score": {"every": 2}}]), tmp_path)
    assert (seen["notices"], seen["scores"], seen["gradients"]) == ({}, {"score.step": 2.0}, [])
    torch.testing.assert_close(seen["fakes"], seen["weights"])
