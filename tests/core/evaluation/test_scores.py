"""Intervals: closed forms, values worked out by hand, and how often they hold the truth."""

import math

import pytest
import torch

from ganrun.evaluation.scores import Score, bootstrap, jackknife, of_rows, of_subsets, share


def test_the_mean_of_rows_has_196_standard_errors_on_either_side():
    """1, 2, 3, 4: mean 2.5, standard deviation sqrt(5/3), standard error sqrt(5/12)."""
    score = of_rows(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    half = 1.959963984540054 * math.sqrt(5 / 12)
    assert (score.value, score.low, score.high) == pytest.approx((2.5, 2.5 - half, 2.5 + half))


def test_one_row_has_a_value_and_no_interval():
    assert of_rows(torch.tensor([3.0])) == Score(3.0)


def test_wilsons_interval_by_hand():
    """5 of 10 with z = 1.96: centre 1/2, half width z / (1 + z^2/10) * sqrt(1/40 + z^2/400) = 0.2634."""
    score = share(5, 10)
    assert (score.value, score.low, score.high) == pytest.approx((0.5, 0.2366, 0.7634), abs=1e-4)


def test_a_share_of_none_or_all_keeps_a_width_and_holds_its_value():
    """0 of n: the upper end is z^2 / (n + z^2)."""
    none, everything = share(0, 20), share(20, 20)
    assert none.low == 0.0
    assert none.high == pytest.approx(3.8415 / 23.8415, abs=1e-4)
    assert (everything.low, everything.high) == (pytest.approx(1 - none.high), 1.0)


def test_the_jackknife_of_a_mean_is_its_standard_error():
    """With as many groups as pairs of samples the delete-a-group variance of a mean estimates its variance: here s^2 /
    n of group means.
    """
    x = torch.arange(40.0) % 2  # zeros and ones
    score = jackknife(lambda rows: float(x[rows].mean()), 40, groups=20)
    assert score.value == 0.5
    low, high = 0.5 - 2.0930 * 0.2, 0.5 + 2.0930 * 0.2  # never wider than of 20 groups that are all 0 or all 1
    assert low < score.low < 0.5 < score.high < high


def test_the_jackknife_leaves_each_sample_out_once_and_is_the_same_each_time():
    seen = []
    one = jackknife(lambda rows: seen.append(rows) or float(rows.sum()), 25, seed=3)
    left_out = [set(range(25)) - set(rows.tolist()) for rows in seen[1:]]
    assert len(left_out) == 10
    assert sorted(index for group in left_out for index in group) == list(range(25))
    assert one == jackknife(lambda rows: float(rows.sum()), 25, seed=3)
    assert one != jackknife(lambda rows: float(rows.sum()), 25, seed=4)


@pytest.mark.parametrize("make", [jackknife, bootstrap])
def test_an_interval_holds_the_true_value_about_as_often_as_it_says(make):
    """The mean of 100 normal numbers, 120 times: 95% of 120 is 114, and fewer than 104 has a probability below 1e-4."""
    generator = torch.Generator().manual_seed(0)
    held = 0
    for seed in range(120):
        x = torch.randn(100, generator=generator)
        score = make(lambda rows, x=x: float(x[rows].mean()), 100, seed=seed)
        held += score.low <= 0 <= score.high
    assert held >= 104


@pytest.mark.parametrize("make", [jackknife, bootstrap])
def test_a_value_that_is_not_finite_has_no_interval(make):
    assert make(lambda rows: math.inf, 100).low is None


def test_subsets_of_all_samples_have_the_spread_of_one_and_small_ones_less():
    """Values 1 and 3: mean 2, deviation sqrt 2. Half of the samples each: sqrt(2) sqrt(1/2 + 1/2) standard errors."""
    score = of_subsets([1.0, 3.0], size=50, n=100)
    assert (score.value, score.high - score.value) == pytest.approx((2.0, 1.959963984540054 * math.sqrt(2)))
    assert of_subsets([1.0], 50, 100).low is None


def test_a_statistic_that_cannot_be_negative_has_no_negative_interval():
    x = torch.cat([torch.zeros(39), torch.ones(1)])
    assert jackknife(lambda rows: float(x[rows].mean()), 40).low < 0
    assert jackknife(lambda rows: float(x[rows].mean()), 40, least=0.0).low == 0
