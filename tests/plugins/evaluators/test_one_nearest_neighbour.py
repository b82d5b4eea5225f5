"""The leave-one-out nearest-neighbour test: by hand, equal halves, memorising, collapse, intervals, and runs."""

import math

import pytest
import torch

from ganrun.errors import UserError
from ganrun_plugins.evaluators.one_nearest_neighbour import one_nearest_neighbour


def normal(n, d, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def values(real, fake, seed=0):
    return {name: score.value for name, score in one_nearest_neighbour(real, fake, seed=seed).items()}


def line(*points):
    return torch.tensor(points)[:, None]


def three(accuracy, real, fake):
    return {
        "accuracy": pytest.approx(accuracy),
        "accuracy-of-real": pytest.approx(real),
        "accuracy-of-fake": pytest.approx(fake),
    }


def test_points_worked_by_hand_on_a_line():
    """Real 0, 1, 10, fake 11, 12.5, 30. Nearest of 0: 1 (hit), of 1: 0 (hit), of 10: the fake 11 (miss).

    Nearest of 11: the real 10 (miss), of 12.5: 11 (hit), of 30: 12.5 (hit).
    """
    assert values(line(0.0, 1.0, 10.0), line(11.0, 12.5, 30.0)) == three(4 / 6, 2 / 3, 2 / 3)


def test_a_tie_between_a_real_and_a_made_sample_is_half_a_hit():
    """Real -1, 3, fake 1, 8. -1 is at 4 and 2: miss. 3 is at 4 and 2: miss. 1 is at 2 from real and 7 from fake: miss.
    8: 5 and 7: miss.

    With the fake 8 moved to 3 + 2 = 5: 3 is at 2 from 1 and 5, both fakes: miss. 5 is at 2 from real and 4: miss.
    Real 0, 2, fake 4, 20: 2 is at 2 from both: half. 0: hit. 4: 2 from real: miss. 20: 16 from fake, 18 from real: hit.
    """
    assert values(line(-1.0, 3.0), line(1.0, 8.0)) == three(0, 0, 0)
    assert values(line(-1.0, 3.0), line(1.0, 5.0)) == three(0, 0, 0)
    assert values(line(0.0, 2.0), line(4.0, 20.0)) == three(2.5 / 4, 0.75, 0.5)


@pytest.mark.parametrize("d", [2, 200])
def test_copies_of_the_real_set_score_0(d):
    """Each sample's nearest is its copy on the other side, at distance 0, and nothing of its own kind is as near."""
    x = normal(100, d)
    assert values(x, x.flip(0)) == three(0, 0, 0)


@pytest.mark.parametrize("d", [1, 200])
def test_where_every_sample_is_repeated_on_its_own_side_copies_tie(d):
    """Two of each on either side: at distance 0 there is one of the own kind and two of the other.

    Ties are half a hit each.
    """
    x = normal(50, d).repeat(2, 1)
    assert values(x, x) == three(0.5, 0.5, 0.5)


def test_constant_features_tell_nothing_apart():
    """Xu et al.'s code would give all ties to the real ones: 1 of real, 0 of fake, which reads as a collapse."""
    same = torch.full((30, 70), 2.5)
    assert values(same, same) == three(0.5, 0.5, 0.5)


@pytest.mark.parametrize("d", [1, 2, 100])
def test_two_halves_of_one_set_score_one_half_within_the_interval(d):
    x = normal(1000, d)
    for score in one_nearest_neighbour(x[0::2], x[1::2]).values():
        assert score.low < 0.5 < score.high
        assert score.high - score.low < 0.2


def test_samples_unlike_the_data_score_1():
    x = normal(100, 5)
    found = one_nearest_neighbour(x, x.flip(0) + 50)
    assert {name: score.value for name, score in found.items()} == three(1, 1, 1)
    assert all(0.9 < score.low < 1 == score.high for score in found.values()), "an interval keeps a width at 1"


def test_a_collapse_shows_in_the_two_accuracies_apart():
    """Samples at one of two modes: they have each other, and the real ones there are among them; the other mode's have
    each other.
    """
    real = normal(400, 2) * 0.1
    real[200:] += 10
    found = values(real, 0.1 * normal(400, 2, 1))
    # 199 of 599 others near mode 0 are real
    assert found["accuracy-of-real"] == pytest.approx(0.5 + 0.5 * 1 / 3, abs=0.06)
    assert found["accuracy-of-fake"] == pytest.approx(2 / 3, abs=0.06)


def test_near_copies_of_real_samples_score_far_below_one_half():
    x = normal(200, 20)
    assert values(x, x + 0.01 * normal(200, 20, 1)) == three(0, 0, 0)


def test_the_larger_set_is_cut_to_the_smaller_by_a_key():
    """300 against 100 would score 0.75 or so by numbers alone; the cut depends on the seed and on nothing else."""
    real, fake = normal(2000, 3), normal(400, 3, 1)
    found = values(real, fake)
    assert found["accuracy"] == pytest.approx(0.5, abs=0.06)
    assert found == values(real, fake)
    assert found != values(real, fake, seed=1)
    assert values(fake, real)["accuracy"] == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (0.7, 0.5)])
def test_intervals_hold_what_other_samples_score(scale, shift):
    """Mutual nearest neighbours hit together, so that independent trials would claim a fifth too little."""
    found = [
        one_nearest_neighbour(normal(250, 2, 1000 + seed), scale * normal(250, 2, seed) + shift) for seed in range(80)
    ]
    for name in found[0]:
        spread = float(torch.tensor([score[name].value for score in found]).std())
        claimed = sum(score[name].high - score[name].low for score in found) / len(found) / 2 / 1.96
        assert 0.85 * spread < claimed < 1.7 * spread, name


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_samples_are_refused(n):
    with pytest.raises(UserError, match=rf"^one-nearest-neighbour: the real set has {n} samples.*at least 2"):
        one_nearest_neighbour(normal(n, 2), normal(9, 2))
    assert values(normal(2, 2), normal(2, 2, 1)).keys() == {"accuracy", "accuracy-of-real", "accuracy-of-fake"}


def test_values_that_are_not_finite_and_unequal_features_are_refused():
    x = normal(9, 3)
    with pytest.raises(UserError, match=r"3 \(real\) and 4 \(fake\) features"):
        one_nearest_neighbour(x, normal(9, 4))
    x[4, 1] = math.nan
    with pytest.raises(UserError, match="1 of the 9 samples of the fake set"):
        one_nearest_neighbour(normal(9, 3), x)


# --- in a run ---------------------------------------------------------------------------------------------------


def scores(run):
    from ganrun.training.scoring import evaluate

    run.step = run.steps
    return evaluate(run)


def test_a_run_scores_its_samples_as_the_function_does(tiny, make_run):
    run = make_run(tiny(evaluators=[{"one-nearest-neighbour": {"features": "pixels", "samples": 100}}]))
    want = values(run.evaluation.real(), run.evaluation.fakes(n=100), seed=run.evaluation.seed)
    assert scores(run) == {f"one-nearest-neighbour[pixels].{name}": value for name, value in want.items()}


def test_samples_that_are_the_training_set_score_0_against_it_and_one_half_against_held_out_ones(tiny, make_run):
    evaluators = [{"one-nearest-neighbour": {"features": "pixels", "split": split}} for split in ("train", "test")]
    run = make_run(tiny(evaluators=evaluators))
    train = run.evaluation.real(split="train")
    of = run.evaluation.features_of
    run.evaluation.features_of = lambda part, which, *rest: of(part, which, *rest) if which == "real" else train.clone()
    found = scores(run)
    assert found["one-nearest-neighbour[pixels].accuracy"] == 0
    assert found["one-nearest-neighbour-2[pixels].accuracy"] == pytest.approx(0.5, abs=0.08)


def test_fakes_that_are_not_finite_score_nan_and_end_no_run(tiny, make_run):
    run = make_run(tiny(evaluators=[{"one-nearest-neighbour": {"features": "pixels"}}]))
    with torch.no_grad():
        next(run.engine.modules["generator"].parameters()).fill_(math.nan)
    found = scores(run)
    assert len(found) == 3
    assert all(math.isnan(value) for value in found.values())
