"""Wasserstein distances: by hand, all pairings, SciPy's, shifts, potentials, degenerate sets, and in a run."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats

import ganrun_plugins.evaluators.wasserstein_distance as module
from ganrun.errors import UserError
from ganrun.training.build import RefusedError
from ganrun_plugins.evaluators.wasserstein_distance import (
    along_lines,
    potentials,
    sliced_distance,
    wasserstein_distance,
)

POWERS = pytest.mark.parametrize("power", [1, 2])


def normal(n, d, seed=0, dtype=torch.float64):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def column(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)[:, None]


# --- by assignment ----------------------------------------------------------------------------------------------


def test_two_pairs_worked_by_hand():
    """Real (0, 0), (4, 0); fakes (4, 3), (0, 4).

    Straight up: (3 + 4) / 2 = 3.5; crosswise would be (5 + sqrt 32) / 2.
    """
    real, fake = torch.tensor([[0.0, 0.0], [4.0, 0.0]]), torch.tensor([[4.0, 3.0], [0.0, 4.0]])
    assert wasserstein_distance(real, fake).value == pytest.approx(3.5)
    assert wasserstein_distance(real, fake, power=2).value == pytest.approx(math.sqrt((9 + 16) / 2))


@POWERS
def test_the_distance_is_that_of_the_best_of_all_pairings(power):
    real, fake = normal(6, 3), normal(6, 3, seed=1)
    cost = torch.cdist(real, fake).numpy() ** power
    best = min(np.mean([cost[i, j] for i, j in enumerate(order)]) for order in itertools.permutations(range(6)))
    assert wasserstein_distance(real, fake, power=power).value == pytest.approx(best ** (1 / power), rel=1e-12)


def test_the_distance_agrees_with_the_linear_program_of_scipy():
    real, fake = normal(20, 3), normal(20, 3, seed=1) + 0.5
    assert wasserstein_distance(real, fake).value == pytest.approx(
        stats.wasserstein_distance_nd(real.numpy(), fake.numpy()), rel=1e-7
    )


@POWERS
@pytest.mark.parametrize("n", [2, 50])
def test_a_set_and_its_shifted_self_are_as_far_apart_as_the_shift(n, power):
    """W_p is |v| exactly: the mean cannot move by v for less, whatever the order of the samples."""
    real = normal(n, 3)
    shifted = (real + torch.tensor([2.0, -1.0, 2.0])).flip(0)
    assert wasserstein_distance(real, shifted, power=power).value == pytest.approx(3, rel=1e-12)


@POWERS
def test_a_set_is_at_distance_0_from_itself_in_any_order_even_far_from_the_origin(power):
    """In float32 at 1e4, where products of such numbers would leave a distance of about 1."""
    real = normal(50, 3, dtype=torch.float32) + 1e4
    assert wasserstein_distance(real, real.flip(0), power=power).value == 0


def test_the_order_of_samples_does_not_matter():
    real, fake = normal(40, 4), normal(40, 4, seed=1)
    want = wasserstein_distance(real, fake).value
    assert wasserstein_distance(real.roll(3, 0), fake.flip(0)).value == pytest.approx(want, rel=1e-12)


def test_of_the_larger_set_as_many_rows_as_the_other_has_are_chosen_by_the_seed():
    real, fake = normal(100, 2), normal(30, 2, seed=1)
    found = [wasserstein_distance(real, fake, seed=seed) for seed in (0, 0, 1)]
    assert found[0] == found[1]
    assert found[0].value != found[2].value
    assert found[0].method == "W_1, optimal assignment of 30 pairs; standard error of the potential"
    turned = wasserstein_distance(fake, real)
    assert turned.method == found[0].method


def test_more_pairs_than_are_held_are_refused(monkeypatch):
    monkeypatch.setattr(module, "LARGEST", 10)
    with pytest.raises(UserError, match="more than 10 samples.*slice it"):
        wasserstein_distance(normal(11, 2), normal(12, 2))
    assert wasserstein_distance(normal(10, 2), normal(12, 2)).value > 0


def test_potentials_worked_by_hand():
    """Pairs cost 1 and 2, crosswise it is 0 and 5.

    u_1 + v_1 = 1, u_2 + v_2 = 2, u_1 + v_2 <= 0, u_2 + v_1 <= 5. From v = 0, 0: u_1 = 1 is too much for the third, so
    v_1 = 1, u_1 = 0; the last then is 2 + 1 <= 5.
    """
    cost = np.array([[1.0, 0.0], [5.0, 2.0]])
    assert potentials(cost, np.array([0, 1])) == pytest.approx([1, 0])
    assert potentials(cost[:, ::-1], np.array([1, 0])) == pytest.approx([0, 1]), "they belong to columns"


@POWERS
def test_potentials_are_a_solution_of_the_dual_problem(power):
    """u + v <= cost everywhere, with equality for pairs: so mean u + mean v is the cost of the pairing."""
    from scipy.optimize import linear_sum_assignment

    cost = torch.cdist(normal(60, 2), normal(60, 2, seed=1) + 1).numpy() ** power
    pairs = linear_sum_assignment(cost)[1]
    v = potentials(cost, pairs)
    u = cost[np.arange(60), pairs] - v[pairs]
    slack = cost - u[:, None] - v[None]
    assert slack.min() > -1e-5 * cost.max()
    assert np.ptp(v) > 0.1, "the constraints bind"


INTERVALS = [
    pytest.param(wasserstein_distance, 2, 1.0, 0.5, 1, id="assignment near"),
    pytest.param(wasserstein_distance, 2, 0.1, 2.0, 1, id="assignment collapsed"),
    pytest.param(wasserstein_distance, 16, 1.0, 1.0, 2, id="assignment W_2"),
    pytest.param(sliced_distance, 2, 1.5, 0.5, 1, id="sliced"),
    pytest.param(sliced_distance, 8, 1.0, 1.0, 2, id="sliced W_2"),
]


@pytest.mark.parametrize(("distance", "d", "spread", "shift", "power"), INTERVALS)
def test_an_interval_is_as_wide_as_other_fakes_make_it(distance, d, spread, shift, power):
    """The half width against 1.96 deviations of the value over 60 sets of 100 fakes. Real samples are held fixed."""
    real, centre = normal(100, d), shift * torch.eye(d, dtype=torch.float64)[0]
    more = {"projections": 32} if distance is sliced_distance else {}
    scores = [
        distance(real, spread * normal(100, d, seed=seed + 10) + centre, power=power, **more) for seed in range(60)
    ]
    deviation = float(np.std([score.value for score in scores], ddof=1))
    half = float(np.mean([(score.high - score.low) / 2 for score in scores]))
    assert 0.7 < half / (1.96 * deviation) < 1.4


# --- sliced -----------------------------------------------------------------------------------------------------


def test_quantile_functions_are_steps_worked_by_hand():
    """Real 0, 6 against fakes 1, 2, 9: levels 1/3, 1/2, 2/3 part them into |0 - 1|, |0 - 2|, |6 - 2|, |6 - 9|.

    1/3 + 2/6 + 4/6 + 3/3 = 7/3; squared 1/3 + 4/6 + 16/6 + 9/3 = 20/3.
    """
    real, fake = column(6, 0), column(9, 1, 2)
    assert sliced_distance(real, fake, projections=3).value == pytest.approx(7 / 3)
    assert sliced_distance(real, fake, projections=3, power=2).value == pytest.approx(math.sqrt(20 / 3))


@pytest.mark.parametrize(("n1", "n2"), [(50, 50), (50, 37), (40, 120), (7, 1000)])
def test_the_distance_in_one_dimension_agrees_with_scipy(n1, n2):
    real, fake = normal(n1, 1), 1.3 * normal(n2, 1, seed=1) + 0.2
    want = stats.wasserstein_distance(real[:, 0].numpy(), fake[:, 0].numpy())
    assert sliced_distance(real, fake, projections=2).value == pytest.approx(want, rel=1e-10)
    assert sliced_distance(fake, real, projections=2).value == pytest.approx(want, rel=1e-10)


@POWERS
def test_the_distance_in_one_dimension_equals_the_assignment_and_so_does_its_error(power):
    real, fake = normal(60, 1), 1.5 * normal(60, 1, seed=1) + 1
    one, other = wasserstein_distance(real, fake, power=power), sliced_distance(real, fake, projections=1, power=power)
    assert one.value == pytest.approx(other.value, rel=1e-12)
    assert one.high - one.value == pytest.approx(other.high - other.value, rel=0.2)


@POWERS
def test_a_shift_is_seen_along_each_direction(power):
    """A projection of v is t .

    v long: the mean over all directions in the plane is 2 / pi |v|, the mean square |v|^2 / 2.
    """
    real = normal(30, 2)
    want = 2 / math.pi * 5 if power == 1 else 5 / math.sqrt(2)
    shifted = real.flip(0) + torch.tensor([3.0, 4.0])
    assert sliced_distance(real, shifted, projections=5000, power=power).value == pytest.approx(want, rel=0.02)


def test_repeated_samples_change_nothing():
    """A set and itself twice over are one distribution: no quantile is off by one."""
    real, fake = normal(40, 3), normal(30, 3, seed=1)
    want = sliced_distance(real, fake, projections=16).value
    assert sliced_distance(real.repeat(2, 1), fake.repeat(3, 1), projections=16).value == pytest.approx(want, rel=1e-12)
    assert sliced_distance(real, real.repeat(3, 1), projections=16).value == pytest.approx(0, abs=1e-12)


def test_blocks_of_directions_equal_all_at_once(monkeypatch):
    real, fake = normal(40, 3), normal(30, 3, seed=1)
    want = sliced_distance(real, fake, projections=20)
    for block in (1, 70 * 3, 70 * 20):
        monkeypatch.setattr(module, "BLOCK", block)
        got = sliced_distance(real, fake, projections=20)
        assert (got.value, got.low, got.high) == pytest.approx((want.value, want.low, want.high), rel=1e-12)


def test_directions_are_chosen_by_the_seed_alone_and_samples_may_be_in_any_order():
    real, fake = normal(40, 3), normal(30, 3, seed=1)
    state = torch.get_rng_state()
    found = [sliced_distance(real, fake, projections=8, seed=seed) for seed in (0, 0, 1)]
    assert torch.equal(state, torch.get_rng_state())
    assert found[0] == found[1]
    assert found[0].value != found[2].value
    assert sliced_distance(real.flip(0), fake.roll(3, 0), projections=8).value == pytest.approx(
        found[0].value, rel=1e-12
    )


@POWERS
@pytest.mark.parametrize("n1", [12, 9])
def test_the_potential_is_how_the_cost_changes_with_the_mass_of_a_sample(n1, power):
    """Of 1,000 copies of each fake, 10 more or 1 less of one: quotients on either side of the derivative."""
    x, y = normal(1, n1), normal(1, 12, seed=1) + 0.5
    base, fields = along_lines(x, y, power)
    assert torch.allclose(fields, along_lines(-x, -y, power)[1]), "a direction and its opposite are one line"
    for j in range(12):
        heavier = torch.cat([y.repeat(1, 1000), y[:, j : j + 1].expand(1, 10)], 1)
        lighter = torch.cat([y.repeat(1, 999), y[:, :j], y[:, j + 1 :]], 1)
        steps = [
            float((along_lines(x, some, power)[0] - base) / share)
            for some, share in ((heavier, 10 / 12_010), (lighter, -1 / 11_999))
        ]
        low, high = sorted(steps)  # on either side of a kink, where steps coincide
        assert low - 0.02 < float(fields[0, j]) < high + 0.02


# --- either -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("distance", [wasserstein_distance, sliced_distance])
def test_degenerate_sets(distance):
    constant = torch.full((30, 3), 2.0)
    score = distance(constant, constant)
    assert (score.value, score.low, score.high) == (0, 0, 0)
    assert distance(constant[:5], normal(5, 3)).low is None, "too few for an interval"
    for n in (0, 1):
        with pytest.raises(
            UserError, match=rf"wasserstein-distance: the real set has {n} samples.*at least 2.*more samples"
        ):
            distance(torch.zeros(n, 3), torch.zeros(5, 3))
    with pytest.raises(UserError, match=r"3 \(real\) and 4 \(fake\) features"):
        distance(torch.zeros(5, 3), torch.zeros(5, 4))
    broken = torch.zeros(5, 3)
    broken[1, 2], broken[3, 0] = math.nan, math.inf
    with pytest.raises(UserError, match="2 of the 5 samples of the fake set"):
        distance(torch.zeros(5, 3), broken)


# --- in a run ---------------------------------------------------------------------------------------------------


def score_of(run):
    ((_, evaluator),) = run.evaluators
    return evaluator.evaluate(run.evaluation)


@POWERS
def test_few_samples_are_assigned_and_more_are_sliced_under_another_name(tiny, make_run, power):
    part = {"features": "pixels", "power": power, "projections": 16, "samples": 100}
    for exact, key in ((100, "[pixels]"), (99, "[pixels].sliced"), (0, "[pixels].sliced")):
        run = make_run(tiny(evaluators=[{"wasserstein-distance": {**part, "exact": exact}}]))
        run.evaluation.samples = 100
        sets = run.evaluation.real("x", "test"), run.evaluation.fakes(n=100)
        options = {"power": power, "seed": run.evaluation.seed}
        want = (
            sliced_distance(*sets, projections=16, **options)
            if "sliced" in key
            else wasserstein_distance(*sets, **options)
        )
        assert score_of(run) == {key: want}


def test_fakes_that_are_not_finite_score_nan_under_the_same_name_and_end_no_run(tiny, make_run):
    for exact, key in ((2000, "[pixels]"), (0, "[pixels].sliced")):
        run = make_run(tiny(evaluators=[{"wasserstein-distance": {"features": "pixels", "exact": exact}}]))
        with torch.no_grad():
            next(run.engine.modules["generator"].parameters()).fill_(math.nan)
        assert math.isnan(score_of(run)[key].value)


def test_an_assignment_of_more_samples_than_are_held_cannot_be_asked_for(tiny, make_run):
    with pytest.raises(UserError, match="wasserstein-distance.exact"):
        make_run(tiny(evaluators=[{"wasserstein-distance": {"features": "pixels", "exact": 5000}}]))


def test_points_are_refused_by_the_classifier_before_training(tiny, make_run):
    with pytest.raises(
        RefusedError, match=r"evaluator wasserstein-distance: a classifier takes images.*\n.*features: pixels"
    ):
        make_run(tiny(evaluators=["wasserstein-distance"]))
