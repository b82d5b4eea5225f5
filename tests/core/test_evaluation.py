"""What evaluators see, when they are due, and that what they cannot score is refused before training."""

import pytest
import torch

from ganrun.build import RefusedError
from ganrun.hookspecs import hookimpl
from ganrun.measuring import due, evaluate
from ganrun.protocols import Because, Refusal


class Counting:
    """Scores the number of samples it was given, and counts its calls."""

    def __init__(self, *, value: float = 1.0) -> None:
        self.value = value

    def evaluate(self, evaluation):
        return {"value": self.value, "samples": len(evaluation.fakes())}


@pytest.fixture
def counting(tiny, make_run):
    def make(*evaluators, **changes):
        return make_run(tiny(evaluators=list(evaluators), **changes), {"evaluator.counting": Counting})

    return make


def test_evaluators_are_due_at_their_interval_and_at_the_end(counting):
    run = counting({"counting": {"every": 5}}, {"counting": {"value": 2.0}})
    seen = {}
    for run.step in range(1, 21):
        seen[run.step] = [name for name, _, _ in due(run)]
    assert {step for step, names in seen.items() if "counting" in names} == {5, 10, 15, 20}
    assert {step for step, names in seen.items() if "counting-2" in names} == {20}


def test_the_second_evaluator_of_a_name_has_a_name_of_its_own(counting):
    run = counting("counting", {"counting": {"value": 2.0}})
    run.step = run.steps
    scores = evaluate(run)
    assert (scores["counting.value"], scores["counting-2.value"]) == (1.0, 2.0)


def test_as_many_fakes_as_test_samples_unless_the_recipe_says_how_many(counting):
    run = counting("counting", {"counting": {"samples": 37}})
    run.step = run.steps
    scores = evaluate(run)
    assert (scores["counting.samples"], scores["counting-2.samples"]) == (512, 37)


def test_fakes_are_the_same_each_time_until_forgotten_and_training_is_untouched(counting):
    run = counting("counting")
    before = torch.get_rng_state()
    first = run.evaluation.fakes(n=16)
    assert torch.equal(run.evaluation.fakes(n=16), first)
    run.evaluation.forget_fakes()
    assert torch.equal(run.evaluation.fakes(n=16), first)
    assert first.shape == (16, 2)
    with torch.no_grad():
        for parameter in run.engine.modules["generator"].parameters():
            parameter.add_(1)
    run.evaluation.forget_fakes()
    assert not torch.equal(run.evaluation.fakes(n=16), first)
    assert torch.equal(torch.get_rng_state(), before)
    assert run.engine.modules["generator"].training


def test_real_samples_come_in_the_order_of_the_data(counting):
    run = counting()
    assert torch.equal(run.evaluation.real("x", "test", 10), run.dataset("test").tensors["x"][:10])
    assert len(run.evaluation.real("x", "train")) == 512


def test_features_are_made_once_for_all_evaluators(tiny, make_run):
    calls = []

    class Slow:
        size = 2

        def __init__(self, context):
            assert (context.name, context.space.shape, len(context.data)) == ("x", (2,), 512)

        def __call__(self, x):
            calls.append(len(x))
            return x.flatten(1)

        def fingerprint(self):
            return "slow"

    evaluators = [{"frechet-distance": {"features": "slow"}}, {"frechet-distance": {"features": "slow", "floor": "halves"}}]
    run = make_run(tiny(evaluators=evaluators), {"features.slow": Slow})
    run.step = run.steps
    evaluate(run)
    assert sum(calls) == 2 * 512, "real and fake once each"
    run.evaluation.forget_fakes()
    evaluate(run)
    assert sum(calls) == 3 * 512, "real ones are kept"


def test_an_evaluators_needs_are_refused_before_training_by_name(tiny, make_run):
    class Needy(Counting):
        needs = {"levitation": Because("it measures height", "buy a balloon")}

    with pytest.raises(RefusedError, match=r"evaluator needy: it measures height\n +instead: buy a balloon"):
        make_run(tiny(evaluators=["needy"]), {"evaluator.needy": Needy})


def test_an_evaluator_may_refuse_in_build(tiny, make_run):
    class Picky(Counting):
        @hookimpl
        def build(self, experiment):
            raise Refusal(f"it dislikes {experiment.description.outputs[0]}", "another one")

    with pytest.raises(RefusedError, match=r"evaluator picky: it dislikes x\n +instead: another one"):
        make_run(tiny(evaluators=["picky"]), {"evaluator.picky": Picky})


def test_evaluators_run_in_training_which_they_do_not_change(tiny, make_run):
    seen = []

    class Watch:
        @hookimpl
        def evaluate(self, run, scores):
            seen.append((run.step, scores))

    plugins = {"evaluator.counting": Counting, "observer.watch": Watch}
    run = make_run(tiny(evaluators=[{"counting": {"every": 10}}], observers=["watch"]), plugins)
    plain = make_run(tiny())
    run.train()
    plain.train()
    scores = {"counting.value": 1.0, "counting.samples": 512.0}
    assert seen == [(10, scores), (20, scores)]
    assert run.scores == scores
    same = zip(run.engine.modules["generator"].parameters(), plain.engine.modules["generator"].parameters())
    assert all(torch.equal(one, other) for one, other in same)
