"""What a check and a dry run say of costs."""

import time

import pytest

from ganrun.catalog.catalog import Catalog
from ganrun.preflight.check import Report, check, dry_run
from ganrun.recipe import load_recipe
from ganrun.words.hooks import hookimpl


def test_what_is_done_once_counts_once():
    """100 steps at 10 a second, 2 checkpoints of 1 s, networks in 3 s, 4 evaluations of 2 s, 5 s more at first."""
    report = Report(
        steps=100,
        speed=10.0,
        checkpoints=2,
        checkpoint_time=1.0,
        building_time=3.0,
        evaluation_times={"score": 2.0},
        evaluations={"score": 4},
        once={"score": 5.0},
    )
    assert report.duration == 10 + 2 + 3 + 4 * 2 + 5


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass where a plugin of a test says so."""
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    return now


def test_a_dry_run_tells_what_an_evaluator_prepares_once_from_what_each_evaluation_takes(clock, tiny, plugin_module):
    """The first score takes 30 s of preparation and 2 s; a step takes half a second."""

    class Slow:
        def __init__(self):
            self.ready = False

        def prepare(self, evaluation):
            clock[0] += 0 if self.ready else 30
            self.ready = True

        def evaluate(self, evaluation):
            clock[0] += 2
            return {"": 1.0}

    class Ticks:
        strength = ""

        @hookimpl
        def step_taken(self, step):
            clock[0] += 0.5

    catalog = Catalog([plugin_module({"evaluator.slow": Slow, "trick.ticks": Ticks})])
    recipe = tiny(evaluators=[{"slow": {"every": 5}}], tricks=["ticks"], checkpoint={"every": 10})
    report = dry_run(load_recipe(recipe, catalog=catalog), catalog)
    assert (report.speed, report.evaluations, report.evaluation_times) == (2.0, {"slow": 4}, {"slow": 2.0})
    assert report.once == {"slow": 30.0}
    assert report.duration == 20 / 2 + 30 + 4 * 2


def test_a_score_that_is_taken_once_is_tried_once(clock, tiny, plugin_module):
    calls = []

    class Score:
        def evaluate(self, evaluation):
            clock[0] += 1
            calls.append(1)
            return {"": 1.0}

    class Ticks:
        strength = ""

        @hookimpl
        def step_taken(self, step):
            clock[0] += 0.5

    catalog = Catalog([plugin_module({"evaluator.score": Score, "trick.ticks": Ticks})])
    report = dry_run(load_recipe(tiny(evaluators=["score"], tricks=["ticks"]), catalog=catalog), catalog)
    assert (len(calls), report.once, report.evaluation_times) == (1, {}, {"score": 1.0})


def test_a_dry_run_says_which_term_was_not_finite(tiny, plugin_module):
    class Boundless:
        strength = ""

        @hookimpl
        def losses(self, turn):
            if turn.step == 1 and turn.player == "generator":
                turn.add("boundless", turn.terms["adversarial.fake"].value.detach() + float("inf"))

    catalog = Catalog([plugin_module({"trick.boundless": Boundless})])
    report = dry_run(load_recipe(tiny(tricks=["boundless"]), catalog=catalog), catalog)
    assert report.not_finite == "step 2: the term boundless of the player generator is inf"


def test_what_makes_a_step_hopelessly_long_is_warned_of(tiny):
    """Unrolling by 20 steps makes one of 1 + 20 * 1.2 = 25 plain ones."""
    experiment, _ = check(load_recipe(tiny(tricks=[{"unrolling": {"steps": 20}}]), catalog=Catalog()))
    (warning,) = [warning for warning in experiment.warnings if "times that of a plain one" in warning.why]
    assert (warning.part, warning.why) == ("trick unrolling", "a step costs about 25 times that of a plain one")


def test_several_tricks_that_make_it_long_together_are_all_named(tiny):
    """(1 + 2 * 1.2) * (1 + 5 * 0.6) = 3.4 * 4 = 13.6: neither alone is above ten."""
    ahead = [{"unrolling": {"steps": 2}}, {"unrolling": {"steps": 5, "through": False}}]
    experiment, _ = check(load_recipe(tiny(tricks=ahead), catalog=Catalog()))
    (warning,) = [warning for warning in experiment.warnings if "plain one" in warning.why]
    assert (warning.part, warning.why) == (
        "trick unrolling, trick unrolling",
        "a step costs about 14 times that of a plain one",
    )


def test_a_few_steps_ahead_are_no_reason_to_warn(tiny):
    experiment, _ = check(load_recipe(tiny(tricks=[{"unrolling": {"steps": 5}}]), catalog=Catalog()))
    assert not [warning for warning in experiment.warnings if "plain one" in warning.why]
