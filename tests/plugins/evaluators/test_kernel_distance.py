"""KID: values worked by hand, torch-fidelity on the same subsets, intervals, degenerate sets, and in a run."""

import math

import numpy as np
import pytest
import torch
from torch_fidelity.metric_kid import kid_features_to_metric

import ganrun_plugins.evaluators.kernel_distance as module
from ganrun.errors import UserError
from ganrun.evaluation.scores import jackknife
from ganrun.randomness import stable_hash
from ganrun.training.build import RefusedError
from ganrun_plugins.evaluators.kernel_distance import (
    distances_of_subsets,
    kernel_distance,
    squared_discrepancy,
    with_fakes_left_out,
)


def normal(n, d, seed=0, dtype=torch.float64):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def column(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)[:, None]


def test_two_sets_of_two_numbers_worked_by_hand():
    """d = 1, k = (x y + 1)^3. x = 0, 1: k(0, 1) = 1. y = 2, -1: k = (-2 + 1)^3 = -1. Across: 1, 1, 27, 0.

    (2 * 1 + 2 * -1) / (2 * 1) - 2 * 29 / 4 = -14.5: it may be below 0.
    """
    assert squared_discrepancy(column(0, 1), column(2, -1)) == pytest.approx(-14.5)
    assert kernel_distance(column(0, 1), column(2, -1)).value == pytest.approx(-14.5)


def test_the_product_is_divided_by_the_number_of_features():
    """d = 2: x = (2, 0) twice, y = (0, 2) twice.

    k(x, x) = (4 / 2 + 1)^3 = 27, as k(y, y); across 1: (54 + 54) / 2 - 2.
    """
    x, y = torch.tensor([[2.0, 0.0]]).expand(2, 2), torch.tensor([[0.0, 2.0]]).expand(2, 2)
    assert squared_discrepancy(x, y) == pytest.approx(52)


def test_pairs_across_keep_their_diagonal():
    """x = y = 0, 1: within (1 + 1) / 2 + nothing else; across (1 + 1 + 1 + 8) / 4: 1 + 1 - 2 * 11 / 4 = -3.5, not the
    u-statistic's 0.
    """
    assert squared_discrepancy(column(0, 1), column(0, 1)) == pytest.approx(-3.5)


def test_sets_of_unequal_sizes_have_their_own_numbers_of_pairs():
    """x = 0, 1: 1. y = 1, 1, 2: (8 + 27 + 27) / 3. Across: 1, 1, 1, 8, 8, 27: 46 / 6."""
    assert squared_discrepancy(column(0, 1), column(1, 1, 2)) == pytest.approx(1 + 62 / 3 - 2 * 46 / 6)


def subsets_of_the_oracle(n1, n2, subsets, size):
    random = np.random.RandomState(2020)
    return [tuple(torch.from_numpy(random.choice(n, size, replace=False)) for n in (n1, n2)) for _ in range(subsets)]


@pytest.mark.parametrize(("dtype", "rel"), [(torch.float32, 1e-4), (torch.float64, 1e-9)])
def test_the_distance_agrees_with_torch_fidelity_on_the_same_subsets(dtype, rel):
    """Features as a network ends with them: none below 0. Its mean and its deviation between subsets."""
    real, fake = normal(700, 128, dtype=dtype).relu(), 1.1 * normal(600, 128, seed=1, dtype=dtype).relu()
    kernel = {
        "kid_kernel": "poly",
        "kid_kernel_poly_degree": 3,
        "kid_kernel_poly_gamma": None,
        "kid_kernel_poly_coef0": 1,
    }
    want = kid_features_to_metric(
        real, fake, kid_subsets=10, kid_subset_size=300, rng_seed=2020, verbose=False, **kernel
    )
    values = distances_of_subsets(real, fake, subsets_of_the_oracle(700, 600, 10, 300))
    assert np.mean(values) == pytest.approx(want["kernel_inception_distance_mean"], rel=rel)
    assert np.std(values) == pytest.approx(want["kernel_inception_distance_std"], rel=20 * rel)


def test_the_mean_over_other_subsets_lies_within_the_interval():
    """Six other draws of subsets of the same samples."""
    real, fake = normal(900, 16), 1.2 * normal(800, 16, seed=1)
    first, *others = (kernel_distance(real, fake, subsets=30, size=100, seed=seed) for seed in range(7))
    assert first.method == "30 subsets of 100; jackknife over 10 groups of samples"
    assert len({other.value for other in others}) == 6
    assert first.low < np.mean([other.value for other in others]) < first.high


def test_blocks_equal_the_whole_matrix(monkeypatch):
    """The number of rows is no multiple of the block."""
    x, y = normal(50, 5), normal(37, 5, seed=1) + 0.5
    want = squared_discrepancy(x, y)
    kernel = lambda a, b: (a @ b.T / 5 + 1) ** 3  # noqa: E731
    within = sum((kernel(a, a).sum() - kernel(a, a).trace()) / (len(a) * (len(a) - 1)) for a in (x, y))
    assert want == pytest.approx(float(within - 2 * kernel(x, y).mean()), rel=1e-12)
    for block in (1, 8, 36, 37, 49):
        monkeypatch.setattr(module, "BLOCK", block)
        assert squared_discrepancy(x, y) == pytest.approx(want, rel=1e-12), block


def test_the_order_of_samples_does_not_matter_where_subsets_are_the_sets():
    real, fake = normal(60, 4), normal(60, 4, seed=1) + 0.3
    want = kernel_distance(real, fake).value
    assert kernel_distance(real.flip(0), fake.roll(7, 0)).value == pytest.approx(want, rel=1e-12)


def test_a_larger_shift_is_a_larger_distance_and_none_is_about_0():
    real, same = normal(1000, 8), normal(1000, 8, seed=1)
    found = [kernel_distance(real, same + shift, size=500, subsets=20).value for shift in (0.0, 0.5, 1.0)]
    assert abs(found[0]) < 0.02 < found[1] < found[2]


def test_subsets_are_as_large_as_the_smaller_set_and_say_so():
    """30 of 200 real samples with all 30 fakes: what varies is the real half alone."""
    score = kernel_distance(normal(200, 4), normal(30, 4, seed=1), subsets=20)
    assert (
        score.method == "20 subsets of 30 (1000 asked for, the smaller set has 30); jackknife over 10 groups of samples"
    )
    assert (score.enough, score.low < score.value < score.high) == (1000, True)
    both = kernel_distance(normal(30, 4), normal(30, 4, seed=1), subsets=20)
    assert both.method.startswith("1 subset of 30 (")
    assert both.low < both.value < both.high, "subsets that are all alike would have no width"
    assert kernel_distance(normal(5, 4), normal(5, 4, seed=1)).low is None


@pytest.mark.parametrize(("n", "size"), [(100, 1000), (100, 70), (400, 50)])
def test_an_interval_is_as_wide_as_other_fakes_make_it(n, size):
    """The half width against 1.96 deviations of the value over 40 sets of fakes, with ample real samples.

    The choice of real subsets does not widen it: that is the same whatever the fakes are.
    """
    real = normal(1000, 4)
    scores = [kernel_distance(real, 1.5 * normal(n, 4, seed=seed + 10), subsets=20, size=size) for seed in range(40)]
    deviation = float(np.std([score.value for score in scores], ddof=1))
    half = float(np.mean([(score.high - score.low) / 2 for score in scores]))
    assert 0.75 < half / (1.96 * deviation) < 1.5


def test_leaving_out_fakes_is_the_jackknife_of_the_distance_of_all(monkeypatch):
    """53 fakes in blocks of 8, against the same groups left out one by one; subsets of all add nothing to it."""
    monkeypatch.setattr(module, "BLOCK", 8)
    real, fake = normal(30, 3), normal(53, 3, seed=1) + 0.2
    want = jackknife(lambda rows: squared_discrepancy(real, fake[rows]), 53, seed=4, value=0.1)
    found = with_fakes_left_out(real, fake, 0.1, 4)
    assert (found.value, found.low, found.high) == pytest.approx((0.1, want.low, want.high), rel=1e-9)


def test_what_other_subsets_would_give_widens_the_interval():
    """Squares of half widths add up: of fakes left out, and 1.96 deviations between 30 subsets over their root."""
    real, fake = normal(300, 3), normal(300, 3, seed=1) + 0.2
    score = kernel_distance(real, fake, subsets=30, size=50)
    alone = with_fakes_left_out(real, fake, score.value, 0)
    random = np.random.default_rng(stable_hash("kernel-distance", 0))
    chosen = [[torch.from_numpy(random.choice(300, 50, replace=False)) for _ in range(2)] for _ in range(30)]
    deviation = float(np.std(distances_of_subsets(real, fake, chosen), ddof=1))
    want = math.hypot(alone.high - score.value, 1.959964 * deviation / math.sqrt(30))
    assert (score.high - score.value, score.value - score.low) == pytest.approx((want, want), rel=1e-6)


def test_of_more_fakes_than_the_interval_looks_at_it_narrows_as_that_of_a_mean(monkeypatch):
    real, fake = normal(40, 3), normal(160, 3, seed=1)
    monkeypatch.setattr(module, "MOST", 40)
    some, all_of_them = (with_fakes_left_out(real, x, 0.0, 0) for x in (fake[:40], fake))
    assert all_of_them.high == pytest.approx(some.high / 2, rel=1e-9)


def test_constant_features_are_an_ordinary_case():
    """All real at 1, all fakes at 2, d = 3: (1 + 1)^3 + (4 + 1)^3 - 2 (2 + 1)^3 = 79."""
    x = torch.ones(50, 3)
    assert kernel_distance(x, 2 * x).value == pytest.approx(79)
    assert kernel_distance(x, x).value == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_samples_are_refused(n):
    with pytest.raises(UserError, match=rf"kernel-distance: the fake set has {n} samples.*at least 2.*more samples"):
        kernel_distance(torch.zeros(5, 3), torch.zeros(n, 3))


def test_values_that_are_not_finite_are_refused_and_counted():
    x = torch.zeros(5, 3)
    x[1, 2], x[3, 0] = math.nan, math.inf
    with pytest.raises(UserError, match="2 of the 5 samples of the real set"):
        kernel_distance(x, torch.zeros(5, 3))


def test_unequal_feature_spaces_are_refused():
    with pytest.raises(UserError, match=r"3 \(real\) and 4 \(fake\) features"):
        kernel_distance(torch.zeros(5, 3), torch.zeros(5, 4))


# --- in a run ---------------------------------------------------------------------------------------------------


def score_of(run):
    ((_, evaluator),) = run.evaluators
    return evaluator.evaluate(run.evaluation)


def test_the_score_is_named_after_its_features_and_equals_the_function(tiny, make_run):
    run = make_run(tiny(evaluators=[{"kernel-distance": {"features": "pixels", "size": 100, "subsets": 10}}]))
    want = kernel_distance(
        run.evaluation.real("x", "test"), run.evaluation.fakes(), size=100, subsets=10, seed=run.evaluation.seed
    )
    assert score_of(run) == {"[pixels]": want}
    assert want.called == "", "it is KID on Inception features alone"


def test_the_score_is_called_as_the_features_say(tiny, make_run):
    run = make_run(tiny(evaluators=[{"kernel-distance": {"features": "pixels"}}]))
    ((_, evaluator),) = run.evaluators
    run.evaluation.features(evaluator.features).called = {"kernel-distance": "KID", "frechet-distance": "FID"}
    assert score_of(run)["[pixels]"].called == "KID"


def test_fakes_that_are_not_finite_score_nan_and_end_no_run(tiny, make_run):
    run = make_run(tiny(evaluators=[{"kernel-distance": {"features": "pixels"}}]))
    with torch.no_grad():
        next(run.engine.modules["generator"].parameters()).fill_(math.nan)
    assert math.isnan(score_of(run)["[pixels]"].value)


def test_points_are_refused_by_the_classifier_before_training(tiny, make_run):
    with pytest.raises(
        RefusedError, match=r"evaluator kernel-distance: a classifier takes images.*\n.*features: pixels"
    ):
        make_run(tiny(evaluators=["kernel-distance"]))
