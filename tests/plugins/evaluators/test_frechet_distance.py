"""The Frechet distance: closed forms, both ways to compute it, degenerate sets, and the evaluator in a run."""

import math

import pytest
import torch

from ganrun.errors import UserError
from ganrun.evaluation.provenance import measure, named
from ganrun.evaluation.statistics import Statistics
from ganrun.training.build import RefusedError
from ganrun_plugins.evaluators import frechet_distance as module
from ganrun_plugins.evaluators.frechet_distance import distance_between, frechet_distance


def normal(n, d, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def exactly(n, mean, covariance, seed=0):
    """Samples whose mean and unbiased covariance are exactly these, up to rounding."""
    x = normal(n, len(mean), seed)
    x = x - x.mean(0)
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(x.T @ x / (n - 1)), x.T, upper=False).T
    return white @ torch.linalg.cholesky(covariance).T + mean


def test_samples_worked_by_hand_in_one_dimension():
    """{0, 2} has mean 1 and variance 2, {1, 5} mean 3 and variance 8: 2^2 + (sqrt 8 - sqrt 2)^2 = 6."""
    assert frechet_distance(torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [5.0]])) == pytest.approx(6)


def test_two_gaussians_whose_covariances_commute():
    """With diagonal covariances it is the sum over axes of (m1 - m2)^2 + (s1 - s2)^2."""
    s1, s2 = torch.tensor([1.0, 2.0, 3.0]).double(), torch.tensor([2.0, 0.5, 3.0]).double()
    m1, m2 = torch.tensor([0.0, 1.0, 2.0]).double(), torch.tensor([1.0, 1.0, 0.0]).double()
    got = frechet_distance(exactly(50, m1, torch.diag(s1**2)), exactly(60, m2, torch.diag(s2**2), seed=1))
    assert got == pytest.approx(5 + 1 + 2.25, rel=1e-10)


def test_two_gaussians_whose_covariances_do_not_commute():
    """In two dimensions tr sqrt(S1 S2) = sqrt(tr(S1 S2) + 2 sqrt(det(S1 S2)))."""
    s1, s2 = torch.tensor([[2.0, 1.0], [1.0, 3.0]]).double(), torch.tensor([[1.0, -0.5], [-0.5, 4.0]]).double()
    common = math.sqrt(float((s1 @ s2).trace()) + 2 * math.sqrt(float(s1.det() * s2.det())))
    want = float(s1.trace() + s2.trace()) - 2 * common
    zero = torch.zeros(2).double()
    assert frechet_distance(exactly(40, zero, s1), exactly(30, zero, s2, seed=1)) == pytest.approx(want, rel=1e-10)


@pytest.mark.parametrize(("n", "d"), [(200, 8), (8, 8), (5, 40), (2, 3)])
def test_a_set_is_at_distance_0_from_itself_and_at_the_squared_shift_from_its_shifted_self(n, d):
    x = normal(n, d)
    shift = torch.arange(d).double() / 10
    assert frechet_distance(x, x.flip(0)) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(x, x + shift) == pytest.approx(float(shift @ shift), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("n1", "n2"), [(30, 25), (30, 200), (200, 30), (200, 150)])
def test_the_nuclear_norm_equals_the_eigenvalues(n1, n2):
    """For all numbers of samples, fewer and more than the 32 features."""
    a, b = normal(n1, 32), 2 * normal(n2, 32, seed=1)
    one, other = Statistics.of(a), Statistics.of(b)
    shift, spread = (
        float((one.mean - other.mean).square().sum()),
        float(one.covariance.trace() + other.covariance.trace()),
    )
    nuclear = shift + spread - 2 * float(module._nuclear(module._centred(a), module._centred(b)))
    assert nuclear == pytest.approx(distance_between(one, other), rel=1e-6)


def test_the_distance_is_symmetric_and_does_not_depend_on_the_order_of_samples():
    a, b = normal(50, 6), normal(40, 6, seed=1) * 2
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b.flip(0), a.flip(0)), rel=1e-10)


def test_means_are_taken_in_float64():
    """A large common offset in float32 does not drown the distance."""
    x = torch.arange(64).float().reshape(32, 2) + 2.0**16
    assert frechet_distance(x, x + 1) == pytest.approx(2, rel=1e-9)


def test_constant_features_have_no_covariance_to_trip_over():
    """All samples alike: what remains is the shift and the other set's variance."""
    x = exactly(50, torch.zeros(3).double(), torch.eye(3).double())
    assert frechet_distance(torch.full((50, 3), 2.0), x) == pytest.approx(12 + 3, rel=1e-10)
    with_a_dead_one = torch.cat([x, torch.zeros(50, 1)], 1)
    assert frechet_distance(with_a_dead_one, with_a_dead_one) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_samples_are_refused(n):
    with pytest.raises(UserError, match=rf"has {n} samples.*at least 2"):
        frechet_distance(torch.zeros(n, 3), torch.zeros(5, 3))


def test_values_that_are_not_finite_are_refused_and_counted():
    x = torch.zeros(5, 3)
    x[1, 2], x[3, 0] = math.nan, math.inf
    with pytest.raises(UserError, match="2 of the 5 samples of the second set"):
        frechet_distance(torch.zeros(5, 3), x)


def test_unequal_feature_spaces_are_refused():
    with pytest.raises(UserError, match="3 and 4 features"):
        frechet_distance(torch.zeros(5, 3), torch.zeros(5, 4))


# --- in a run ---------------------------------------------------------------------------------------------------


def scores(run):
    from ganrun.training.scoring import evaluate

    run.step = run.steps
    return evaluate(run)


def test_the_score_is_named_after_its_features_and_equals_the_function(tiny, make_run):
    evaluators = [{"frechet-distance": {"features": "pixels", "real_against_real": "splits", "samples": 100}}]
    run = make_run(tiny(evaluators=evaluators))
    got = scores(run)
    fake, test, train = run.evaluation.fakes(n=100), run.evaluation.real("x", "test"), run.evaluation.real("x", "train")
    assert got["frechet-distance[pixels]"] == pytest.approx(frechet_distance(fake, test))
    assert got["frechet-distance[pixels].real_against_real"] == pytest.approx(frechet_distance(test, train))
    assert got["frechet-distance[pixels]"] > got["frechet-distance[pixels].real_against_real"]


def test_real_against_real_of_halves_compares_every_other_test_sample(tiny, make_run):
    run = make_run(tiny(evaluators=[{"frechet-distance": {"features": "pixels", "real_against_real": "halves"}}]))
    test = run.evaluation.real("x", "test")
    name = "frechet-distance[pixels].real_against_real"
    assert scores(run)[name] == pytest.approx(frechet_distance(test[0::2], test[1::2]))
    real = measure(run.evaluation, *next(named(run.evaluators)), run.catalog).scores[name]
    assert 0 <= real.low < real.value < real.high, "real samples are as uncertain as others"


def test_fakes_that_are_not_finite_score_nan_and_end_no_run(tiny, make_run):
    run = make_run(tiny(evaluators=[{"frechet-distance": {"features": "pixels"}}]))
    with torch.no_grad():
        next(run.engine.modules["generator"].parameters()).fill_(math.nan)
    assert math.isnan(scores(run)["frechet-distance[pixels]"])


def test_points_are_refused_by_the_classifier_before_training(tiny, make_run):
    with pytest.raises(
        RefusedError, match=r"evaluator frechet-distance: a classifier takes images.*\n.*features: pixels"
    ):
        make_run(tiny(evaluators=["frechet-distance"]))


def test_an_output_that_the_variant_does_not_have_is_refused_before_training(tiny, make_run):
    with pytest.raises(RefusedError, match=r"no output 'b'"):
        make_run(tiny(evaluators=[{"frechet-distance": {"features": "pixels", "of": "b"}}]))


@pytest.mark.parametrize("n", [2, 20, 32, 35, 100])
def test_known_statistics_stand_for_samples_however_few_the_fakes_are(n):
    """Fewer fakes than the 32 features, as many, and more than 9 in 10 of which leave a group out."""
    real, fake = normal(200, 32), 2 * normal(n, 32, seed=1) + 0.5
    score = module.with_interval(Statistics.of(real), fake, 0)
    assert score.value == pytest.approx(frechet_distance(real, fake), rel=1e-9)
    assert (score.low is None) == (n < 20)
    assert score.low is None or score.low < score.value < score.high


def test_known_statistics_are_not_compared_with_one_sample():
    with pytest.raises(UserError, match="at least 2"):
        module.with_interval(Statistics.of(normal(20, 3)), normal(1, 3), 0)


@pytest.mark.parametrize("samples", [8, 100])
def test_fakes_that_are_not_finite_are_compared_with_the_same_real_ones(tiny, make_run, samples):
    """So that the runs which failed stand in the same column as the others."""
    run = make_run(tiny(evaluators=[{"frechet-distance": {"features": "pixels", "samples": samples}}]))
    about = []
    for level in (0.0, math.nan):
        with torch.no_grad():
            next(run.experiment.modules["generator"].parameters()).fill_(level)
        run.evaluation.forget_fakes()
        ((name, part, evaluator),) = named([*run.evaluators])
        about.append(measure(run.evaluation, name, part, evaluator, run.catalog))
    assert about[0].kind == about[1].kind
    assert math.isfinite(about[0].scores["frechet-distance[pixels]"].value)
    assert math.isnan(about[1].scores["frechet-distance[pixels]"].value)
