"""Counting modes: samples placed by hand, and exact generators."""

import math

import numpy as np
import pytest
import torch

from ganrun.training.build import RefusedError
from ganrun.training.scoring import evaluate
from ganrun_plugins.evaluators.mode_coverage import coverage, good_samples, reverse_kl

CENTRES = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])


def test_a_sample_counts_for_its_nearest_centre_if_it_is_within_the_radius():
    x = torch.tensor([[0.0, 2.9], [0.0, 3.0], [0.0, 3.1], [10.5, 0.5], [5.0, 5.0]])
    assert good_samples(x, CENTRES, 3.0).tolist() == [2, 1, 0]


def test_a_sample_between_two_overlapping_modes_counts_once():
    x = torch.tensor([[0.9, 0.0], [1.1, 0.0]])
    assert good_samples(x, torch.tensor([[0.0, 0.0], [2.0, 0.0]]), 3.0).tolist() == [1, 1]


def test_samples_that_are_not_finite_are_near_nothing():
    x = torch.tensor([[math.nan, 0.0], [math.inf, 0.0], [0.0, 0.0]])
    assert good_samples(x, CENTRES, 3.0).tolist() == [1, 0, 0]


def test_more_samples_than_one_chunk_are_all_counted():
    assert good_samples(CENTRES.repeat(3000, 1), CENTRES, 1.0).tolist() == [3000] * 3


def test_reverse_kl_worked_by_hand():
    assert reverse_kl(torch.tensor([5, 5, 5])) == 0
    assert reverse_kl(torch.tensor([7, 0, 0, 0])) == pytest.approx(math.log(4))
    assert reverse_kl(torch.tensor([3, 1])) == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5))


def test_reverse_kl_of_nothing_is_infinite():
    assert reverse_kl(torch.tensor([0, 0])) == math.inf


def scores_of(run, fakes):
    run.evaluation.fakes = lambda name=None, n=None: fakes[:n]
    run.step = run.steps
    return {name.removeprefix("mode-coverage."): value for name, value in evaluate(run).items()}


def test_an_exact_generator_scores_98_9_percent_in_the_plane(tiny, make_run):
    """1 - exp(-4.5) = 0.98889 of the samples lie within 3 sd; 100,000 of them, so one standard error is 0.033."""
    run = make_run(tiny(dataset={"ring": {"count": 100_000}}, evaluators=[{"mode-coverage": {"samples": 100_000}}]))
    scores = scores_of(run, run.evaluation.real("x", "test", 100_000))
    assert scores["modes"] == scores["modes-with-20"] == 8
    assert scores["percent-within"] == pytest.approx(98.889, abs=0.15)
    assert 0 <= scores["reverse-kl"] < 0.001


def test_a_collapsed_generator_has_one_mode_and_a_reverse_kl_of_log_8(tiny, make_run):
    run = make_run(tiny(evaluators=["mode-coverage"]))
    scores = scores_of(run, run.dataset("train").centres[2].expand(2500, 2))
    assert scores == {"modes": 1, "modes-with-20": 1, "percent-within": 100, "reverse-kl": pytest.approx(math.log(8))}


def test_few_samples_near_every_mode_are_told_from_many(tiny, make_run):
    """19 near each of 8 modes, the others nowhere: 8 modes found, none with 20."""
    run = make_run(tiny(evaluators=["mode-coverage"]))
    x = torch.full((2500, 2), 50.0)
    x[: 19 * 8] = run.dataset("train").centres.repeat(19, 1)
    scores = scores_of(run, x)
    assert (scores["modes"], scores["modes-with-20"]) == (8, 0)
    assert scores["percent-within"] == pytest.approx(100 * 152 / 2500)


def test_mode_coverage_draws_2500_samples_unless_told_otherwise(tiny, make_run):
    asked = []
    for extra, n in (({}, 2500), ({"samples": 300}, 300)):
        run = make_run(tiny(evaluators=[{"mode-coverage": extra}]))
        run.evaluation.fakes = lambda name=None, n=None: asked.append(n) or torch.zeros(n, 2)
        run.step = run.steps
        evaluate(run)
        assert asked[-1] == n


def test_data_without_known_modes_are_refused_before_training(tiny, make_run):
    with pytest.raises(RefusedError, match=r"evaluator mode-coverage: .*does not say where its modes are\n.*ring"):
        make_run(tiny(dataset={"digits": {"size": 8}}, evaluators=["mode-coverage"]))


def test_modes_without_width_are_refused_before_training(tiny, make_run):
    with pytest.raises(RefusedError, match=r"evaluator mode-coverage: .*standard deviation of 0"):
        make_run(tiny(dataset={"ring": {"count": 100, "sd": 0.0}}, evaluators=["mode-coverage"]))


# --- intervals --------------------------------------------------------------------------------------------------


def test_every_score_but_the_number_of_modes_has_an_interval_around_it():
    """A mode that was not seen cannot be found by resampling: an interval of their number would end at the value."""
    scores = coverage(torch.tensor([400, 22, 18, 1, 0]), 500)
    assert scores["modes"].value == 4
    assert scores["modes"].high is None
    for name in ("modes-with-20", "percent-within", "reverse-kl"):
        assert scores[name].low < scores[name].value < scores[name].high, name


def test_percent_within_has_the_interval_of_wilson_in_percent():
    """All of 100 samples good: from 100 / (1 + 1.96^2 / 100) = 96.30 to 100."""
    score = coverage(torch.tensor([60, 40]), 100)["percent-within"]
    assert (score.value, score.high) == (100, 100)
    assert score.low == pytest.approx(100 / (1 + 1.959964**2 / 100), rel=1e-6)


def test_no_good_sample_has_an_infinite_reverse_kl_without_an_interval():
    scores = coverage(torch.tensor([0, 0, 0]), 50)
    assert (scores["reverse-kl"].value, scores["reverse-kl"].low) == (math.inf, None)
    assert (scores["percent-within"].value, scores["percent-within"].low) == (0, 0)
    assert scores["percent-within"].high == pytest.approx(100 * 1.959964**2 / (50 + 1.959964**2), rel=1e-6)


def test_the_interval_of_reverse_kl_covers_the_mean_of_other_sets_of_samples():
    """Of an exact generator of 25 modes and of one that prefers some, 1,000 good samples each."""
    random = np.random.default_rng(0)
    for shares in (np.full(25, 1 / 25), np.linspace(1, 5, 25) / np.linspace(1, 5, 25).sum()):
        found = [
            coverage(torch.from_numpy(random.multinomial(1000, shares)), 1100, seed=i)["reverse-kl"] for i in range(60)
        ]
        expected = np.mean([score.value for score in found])
        assert np.mean([score.low <= expected <= score.high for score in found]) >= 0.85


def test_fewer_samples_than_the_papers_took_are_too_few_for_counts_of_modes():
    scores = coverage(torch.tensor([10] * 25), 300)
    assert {name: score.enough for name, score in scores.items()} == {
        "modes": 2500,
        "modes-with-20": 2500,
        "percent-within": 0,
        "reverse-kl": 250,
    }
