"""Gaussian MMD: values worked by hand, bandwidth rules, blocks, intervals, degenerate sets, and in a run."""

import math

import numpy as np
import pytest
import torch

import ganrun_plugins.evaluators.kernel_mmd as module
from ganrun.errors import UserError
from ganrun.training.build import RefusedError
from ganrun_plugins.evaluators.kernel_mmd import bandwidth_of, kernel_mmd


def normal(n, d, seed=0, dtype=torch.float64):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def direct(real, fake, sigma, biased):
    """The squared estimate from whole matrices."""
    kernel = lambda a, b: np.exp(-((a[:, None] - b[None]) ** 2).sum(-1) / (2 * sigma**2))  # noqa: E731
    x, y = real.double().numpy(), fake.double().numpy()
    xx, yy = kernel(x, x), kernel(y, y)
    if biased:
        return xx.mean() + yy.mean() - 2 * kernel(x, y).mean()
    within = [(k.sum() - len(k)) / (len(k) * (len(k) - 1)) for k in (xx, yy)]
    return sum(within) - 2 * kernel(x, y).mean()


def test_two_point_masses_worked_by_hand():
    """All real at one place, all fakes 2 from it, sigma 2: 1 + 1 - 2 exp(-4 / 8), of either estimate; the biased one is
    a root.
    """
    real = torch.full((5, 2), 7.0)
    fake = real + torch.tensor([0.0, 2.0])
    square = 2 - 2 * math.exp(-0.5)
    assert kernel_mmd(real, fake, bandwidth=2.0).value == pytest.approx(math.sqrt(square), rel=1e-12)
    assert kernel_mmd(real, fake, bandwidth=2.0, estimate="unbiased").value == pytest.approx(square, rel=1e-12)
    assert kernel_mmd(real, fake, bandwidth=0.5, scale=4.0).value == pytest.approx(math.sqrt(square), rel=1e-12)


def test_two_sets_of_two_numbers_worked_by_hand():
    """x = 0, 1 and y = 0, 2 with 2 sigma^2 = 1: e^-1 within x, e^-4 within y; across 1, e^-4, e^-1, e^-1."""
    x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [2.0]])
    across = (1 + math.exp(-4) + 2 * math.exp(-1)) / 4
    biased = (2 + 2 * math.exp(-1)) / 4 + (2 + 2 * math.exp(-4)) / 4 - 2 * across
    unbiased = math.exp(-1) + math.exp(-4) - 2 * across
    sigma = math.sqrt(0.5)
    assert kernel_mmd(x, y, bandwidth=sigma).value == pytest.approx(math.sqrt(biased), rel=1e-12)
    assert kernel_mmd(x, y, bandwidth=sigma, estimate="unbiased").value == pytest.approx(unbiased, rel=1e-12)
    assert unbiased < 0, "an unbiased estimate has no root here"


def test_the_mean_rule_worked_by_hand():
    """0, 3: squared distances 0, 9, 9, 0 of all pairs: sigma^2 = 4.5."""
    assert bandwidth_of(torch.tensor([[0.0], [3.0]]), "mean") == pytest.approx(math.sqrt(4.5))
    assert bandwidth_of(torch.tensor([[0.0], [3.0]]), "mean", 0.5) == pytest.approx(0.5 * math.sqrt(4.5))


def test_the_median_rule_worked_by_hand():
    """0, 1, 5: distances 1, 4, 5 of different samples."""
    assert bandwidth_of(torch.tensor([[0.0], [5.0], [1.0]]), "median") == pytest.approx(4)


def test_the_mean_rule_is_that_of_the_paper_s_code():
    """The kernel is exp(-d^2 / (2 s)), s the mean of all squared real distances, and the root is taken."""
    real, fake = normal(40, 3), normal(30, 3, seed=1) + 0.4
    s = float((torch.cdist(real, real) ** 2).mean())
    assert kernel_mmd(real, fake).value == pytest.approx(
        math.sqrt(direct(real, fake, math.sqrt(s), biased=True)), rel=1e-9
    )
    assert kernel_mmd(real, fake, scale=2.0).value == pytest.approx(
        math.sqrt(direct(real, fake, 2 * math.sqrt(s), biased=True)), rel=1e-9
    )


def test_the_median_is_of_at_most_2000_rows_from_all_over_the_set(monkeypatch):
    """Rows sorted by size: the first ones alone would give another width."""
    monkeypatch.setattr(module, "MEDIAN", 50)
    x = torch.arange(1000.0)[:, None]
    want = bandwidth_of(torch.arange(0.0, 1000.0, 20)[:, None], "median")
    assert bandwidth_of(x, "median") == pytest.approx(want)


def test_the_bandwidth_does_not_depend_on_the_fakes():
    """All generators are measured by one kernel: far fakes have the distance 2 - 0 and not a wider kernel."""
    real = normal(30, 2)
    far = kernel_mmd(real, normal(30, 2, seed=1) + 1e3)
    assert f"sigma {bandwidth_of(real, 'mean'):.4g} (mean rule, scale 1)" in far.method
    within = direct(real, real + 1e3, bandwidth_of(real, "mean"), biased=True) / 2
    assert far.value == pytest.approx(math.sqrt(2 * within), rel=0.05)


@pytest.mark.parametrize("estimate", ["biased", "unbiased"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("d", [3, 80])
def test_blocks_equal_the_whole_matrices(monkeypatch, d, dtype, estimate):
    """The sets are no multiples of the block, and of unequal sizes."""
    monkeypatch.setattr(module, "BLOCK", 16)
    real, fake = normal(50, d, dtype=dtype) + 5, 1.1 * normal(37, d, seed=1, dtype=dtype) + 5.2
    want = direct(real, fake, bandwidth_of(real, "mean"), biased=estimate == "biased")
    got = kernel_mmd(real, fake, estimate=estimate).value
    assert got == pytest.approx(math.sqrt(want) if estimate == "biased" else want, rel=1e-4 if d > 64 else 1e-9)


@pytest.mark.parametrize("estimate", ["biased", "unbiased"])
def test_the_interval_leaves_each_fake_out_in_turn(estimate):
    """The closed form against the statistic of n - 1 fakes computed again, for each of 25."""
    real, fake = normal(30, 3), 1.3 * normal(25, 3, seed=1)
    sigma = bandwidth_of(real, "mean")
    keep = [torch.arange(25)[torch.arange(25) != i] for i in range(25)]
    without = np.array([direct(real, fake[rows], sigma, biased=estimate == "biased") for rows in keep])
    if estimate == "biased":
        without = np.sqrt(without)
    half = 1.959963984540054 * math.sqrt(24 / 25 * ((without - without.mean()) ** 2).sum())
    score = kernel_mmd(real, fake, estimate=estimate)
    assert score.high - score.value == pytest.approx(half, rel=1e-9)
    assert score.low == pytest.approx(max(0, score.value - half) if estimate == "biased" else score.value - half)
    assert kernel_mmd(real, fake[:19]).low is None


@pytest.mark.parametrize("estimate", ["biased", "unbiased"])
def test_an_interval_is_as_wide_as_other_fakes_make_it(estimate):
    """The half width against 1.96 deviations of the value over 100 sets of fakes."""
    real = normal(500, 2)
    scores = [kernel_mmd(real, 1.5 * normal(100, 2, seed=seed + 10) + 0.5, estimate=estimate) for seed in range(100)]
    deviation = float(np.std([score.value for score in scores], ddof=1))
    half = float(np.mean([score.high - score.value for score in scores]))
    assert 0.8 < half / (1.96 * deviation) < 1.3


def test_a_set_is_at_distance_0_from_itself_in_any_order():
    x = normal(60, 4)
    assert kernel_mmd(x, x.flip(0)).value == pytest.approx(0, abs=1e-7)
    fake = normal(50, 4, seed=1)
    assert kernel_mmd(x, fake).value == pytest.approx(kernel_mmd(x.flip(0), fake.roll(7, 0)).value, rel=1e-9)


def test_halves_of_one_set_score_their_bias_or_about_0():
    """The biased square of equal distributions has the mean (1 - E k) (1 / n1 + 1 / n2); the unbiased one 0."""
    halves = [(normal(100, 2, seed=2 * seed), normal(100, 2, seed=2 * seed + 1)) for seed in range(40)]
    sigma = 2.0  # E k of two standard normal points in the plane is sigma^2 / (sigma^2 + 2)
    biased = np.mean([kernel_mmd(a, b, bandwidth=sigma).value ** 2 for a, b in halves])
    unbiased = np.mean([kernel_mmd(a, b, bandwidth=sigma, estimate="unbiased").value for a, b in halves])
    assert biased == pytest.approx((1 - 4 / 6) * 2 / 100, rel=0.3)
    assert abs(unbiased) < 0.3 * biased


def test_what_is_reported_and_the_rule_stand_in_the_method():
    real, fake = normal(30, 2), normal(30, 2, seed=1)
    assert kernel_mmd(real, fake).method.startswith("square root of the biased estimate, Gaussian kernel of sigma ")
    other = kernel_mmd(real, fake, bandwidth=1.5, scale=2.0, estimate="unbiased").method
    assert (
        other == "unbiased estimate of the square, Gaussian kernel of sigma 3 (given, scale 2); jackknife over samples"
    )


def test_constant_features_have_no_bandwidth_and_say_what_to_do():
    constant = torch.full((30, 3), 0.1)
    for rule in ("mean", "median"):
        with pytest.raises(UserError, match=rf"kernel-mmd: real samples are all alike.*{rule} rule.*bandwidth: 1\.0$"):
            kernel_mmd(constant, normal(30, 3), bandwidth=rule)
    assert kernel_mmd(constant, constant, bandwidth=1.0).value == pytest.approx(0, abs=1e-7)


def test_a_median_of_0_is_refused_and_the_mean_is_not():
    """9 of 10 samples are alike, so that 36 of the 45 distances are 0."""
    real = torch.cat([torch.full((9, 3), 0.1), torch.ones(1, 3)])
    with pytest.raises(UserError, match=r"median distance is 0.*bandwidth: mean"):
        kernel_mmd(real, normal(30, 3), bandwidth="median")
    assert kernel_mmd(real, normal(30, 3)).value > 0


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_samples_are_refused(n):
    with pytest.raises(UserError, match=rf"kernel-mmd: the real set has {n} samples.*at least 2.*more samples"):
        kernel_mmd(torch.zeros(n, 3), torch.zeros(5, 3))


def test_values_that_are_not_finite_are_refused_and_counted():
    x = torch.zeros(5, 3)
    x[1, 2], x[3, 0] = math.nan, math.inf
    with pytest.raises(UserError, match="2 of the 5 samples of the fake set"):
        kernel_mmd(torch.zeros(5, 3), x)


def test_unequal_feature_spaces_are_refused():
    with pytest.raises(UserError, match=r"3 \(real\) and 4 \(fake\) features"):
        kernel_mmd(torch.zeros(5, 3), torch.zeros(5, 4))


# --- in a run ---------------------------------------------------------------------------------------------------


def score_of(run):
    ((_, evaluator),) = run.evaluators
    return evaluator.evaluate(run.evaluation)


@pytest.mark.parametrize(
    ("parameters", "key"),
    [
        ({}, "[pixels]"),
        ({"bandwidth": "median"}, "[pixels]"),
        ({"bandwidth": 0.5}, "[pixels]"),
        ({"estimate": "unbiased"}, "[pixels].squared"),
    ],
)
def test_the_score_is_named_after_what_is_reported_and_equals_the_function(tiny, make_run, parameters, key):
    run = make_run(tiny(evaluators=[{"kernel-mmd": {"features": "pixels", **parameters}}]))
    assert score_of(run) == {key: kernel_mmd(run.evaluation.real("x", "test"), run.evaluation.fakes(), **parameters)}


def test_fakes_that_are_not_finite_score_nan_and_end_no_run(tiny, make_run):
    run = make_run(tiny(evaluators=[{"kernel-mmd": {"features": "pixels"}}]))
    with torch.no_grad():
        next(run.engine.modules["generator"].parameters()).fill_(math.nan)
    assert math.isnan(score_of(run)["[pixels]"].value)


@pytest.mark.parametrize("bandwidth", [0, -1.0, "mode", ".inf"])
def test_a_bandwidth_is_a_rule_or_a_positive_number(tiny, make_run, bandwidth):
    with pytest.raises(UserError, match="kernel-mmd.bandwidth"):
        make_run(tiny(evaluators=[{"kernel-mmd": {"features": "pixels", "bandwidth": bandwidth}}]))


def test_points_are_refused_by_the_classifier_before_training(tiny, make_run):
    with pytest.raises(RefusedError, match=r"evaluator kernel-mmd: a classifier takes images.*\n.*features: pixels"):
        make_run(tiny(evaluators=["kernel-mmd"]))
