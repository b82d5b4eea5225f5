"""Density and coverage: balls worked by hand, what an exact generator scores, prdc, and runs."""

import math

import pytest
import torch

from ganrun.errors import UserError
from ganrun_plugins.evaluators import _balls
from ganrun_plugins.evaluators.density_coverage import density_coverage
from ganrun_plugins.evaluators.precision_recall import precision_recall


def normal(n, d, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def values(real, fake, k=5):
    return {name: score.value for name, score in density_coverage(real, fake, k).items()}


def test_points_worked_by_hand_on_a_line():
    """k = 2. Real 0, 1, 3, 10: the second neighbours are at 3, 2, 3, 9, so balls are [-3, 3], [-1, 3], [0, 6], [1, 19].

    Fake 2 lies in all four, 5 in the last two, 50 in none: density (4 + 2 + 0) / 2 / 3 = 1, coverage 1.
    Fake -2 alone lies in the first: density 1 / 2, coverage 1 / 4.
    """
    real = torch.tensor([[0.0], [1.0], [3.0], [10.0]])
    assert values(real, torch.tensor([[2.0], [5.0], [50.0]]), k=2) == {"density": 1, "coverage": 1}
    assert values(real, torch.tensor([[-2.0]]), k=2) == {"density": 0.5, "coverage": 0.25}


def test_a_point_on_the_surface_is_inside():
    """Real 0 and 2 have radius 2: 4 is on the surface of the second ball."""
    real = torch.tensor([[0.0], [2.0]])
    assert values(real, torch.tensor([[4.0]]), k=1) == {"density": 1, "coverage": 0.5}
    assert values(real, torch.tensor([[4.1]]), k=1) == {"density": 0, "coverage": 0}


@pytest.mark.parametrize(("n", "m", "k"), [(400, 400, 5), (400, 400, 1), (300, 600, 3)])
def test_an_exact_generator_scores_what_the_docstring_says(n, m, k):
    """Among all n + m points but the one in the middle, the k nearest are all real with probability (n-1)...(n-k) /
    ((n+m-1)...(n+m-k)).

    Each of n balls holds a given sample with probability k / n (it is among the k nearest of n points), so density is n
    (k / n) / k = 1.
    """
    missed = math.prod((n - i) / (n + m - i) for i in range(1, k + 1))
    found = [values(normal(n, 3, 2 * seed), normal(m, 3, 2 * seed + 1), k) for seed in range(20)]
    assert sum(f["coverage"] for f in found) / 20 == pytest.approx(1 - missed, abs=0.012)
    assert sum(f["density"] for f in found) / 20 == pytest.approx(1, abs=0.05)


def test_samples_that_crowd_have_a_density_above_1_and_little_coverage():
    """All at the densest place of many dimensions, where balls are large and reach inwards; most balls hold none."""
    found = values(normal(500, 8), 0.2 * normal(500, 8, 1))
    assert found["density"] > 1.2
    assert found["coverage"] < 0.6


def test_a_far_out_real_point_does_little_to_density():
    """Its large ball holds every sample that lies far off, which is 1 / k each: what precision would call 1."""
    real = torch.cat([normal(200, 4), torch.full((1, 4), 100.0)])
    found = values(real, torch.full((50, 4), 50.0) + normal(50, 4, 1))
    assert found["density"] == pytest.approx(1 / 5)
    assert found["coverage"] == pytest.approx(1 / 201)


@pytest.mark.parametrize(("n1", "n2", "d", "k"), [(600, 600, 4, 5), (500, 700, 100, 5), (700, 400, 512, 3)])
def test_density_and_coverage_agree_with_prdc(n1, n2, d, k):
    from prdc import compute_prdc

    real, fake = normal(n1, d), 0.98 * normal(n2, d, 1) + 0.03
    got, want = values(real, fake, k), compute_prdc(real.numpy(), fake.numpy(), k)
    assert got["coverage"] == pytest.approx(want["coverage"], abs=1 / n1)
    assert got["density"] == pytest.approx(want["density"], abs=1 / (k * n2))


def test_prdc_gives_0_where_points_repeat_and_this_does_not():
    from prdc import compute_prdc

    x = normal(40, 5).repeat(7, 1)
    assert compute_prdc(x.numpy(), x.numpy(), 5)["coverage"] == 0
    assert values(x, x) == {"density": pytest.approx(7 / 5), "coverage": 1}  # 7 copies lie in each other's balls


def test_intervals_hold_what_other_samples_score():
    """Standard errors against the spread over 40 draws of fakes: neither much smaller nor twice as large."""
    real = normal(300, 8, 99)
    found = [density_coverage(real, 0.7 * normal(300, 8, seed) + 0.5) for seed in range(40)]
    for name in ("density", "coverage"):
        spread = float(torch.tensor([score[name].value for score in found]).std())
        claimed = sum(score[name].high - score[name].low for score in found) / len(found) / 2 / 1.96
        assert 0.8 * spread < claimed < 2 * spread, name


def test_too_few_real_samples_for_k_are_refused_and_one_fake_is_enough():
    with pytest.raises(UserError, match=r"^density-coverage: the real set has 5 samples.*k = 5.*at least 6"):
        density_coverage(normal(5, 2), normal(9, 2))
    with pytest.raises(UserError, match="the fake set has 0 samples"):
        density_coverage(normal(9, 2), normal(0, 2))
    assert values(normal(6, 2), normal(1, 2)).keys() == {"density", "coverage"}


def test_values_that_are_not_finite_and_unequal_features_are_refused():
    x = normal(9, 3)
    with pytest.raises(UserError, match=r"3 \(real\) and 4 \(fake\) features"):
        density_coverage(x, normal(9, 4))
    x[0, 0] = math.inf
    for real, fake in ((x, normal(9, 3)), (normal(9, 3), x)):
        with pytest.raises(UserError, match="1 of the 9 samples"):
            density_coverage(real, fake)


def test_constant_features_are_all_in_one_place():
    """Each of 20 samples lies in all 20 balls of radius 0."""
    same = torch.full((20, 80), 3.0)
    assert values(same, same) == {"density": 4, "coverage": 1}
    assert values(same, same + 1) == {"density": 0, "coverage": 0}


# --- in a run ---------------------------------------------------------------------------------------------------


def scores(run):
    from ganrun.training.scoring import evaluate

    run.step = run.steps
    return evaluate(run)


def test_a_run_scores_its_samples_as_the_function_does(tiny, make_run):
    run = make_run(tiny(evaluators=[{"density-coverage": {"features": "pixels", "k": 4, "samples": 100}}]))
    want = values(run.evaluation.real(), run.evaluation.fakes(n=100), k=4)
    for _ in range(2):  # the second time with radii that were kept
        assert scores(run) == {f"density-coverage[pixels].{name}": value for name, value in want.items()}


@pytest.mark.parametrize(("split", "products"), [("test", 1), ("train", 2)])
def test_one_product_serves_precision_recall_too(split, products, tiny, make_run, monkeypatch):
    """Where both look at the same samples, whatever their k."""
    found = []
    held = _balls.held
    monkeypatch.setattr(_balls, "held", lambda *args: found.append(len(args[2])) or held(*args))
    both = [
        {"density-coverage": {"features": "pixels", "k": 4, "samples": 100}},
        {"precision-recall": {"features": "pixels", "k": 2, "samples": 100, "split": split}},
    ]
    run = make_run(tiny(evaluators=both))
    fake = run.evaluation.fakes(n=100)
    want = {f"density-coverage[pixels].{name}": value for name, value in values(run.evaluation.real(), fake, 4).items()}
    for name, score in precision_recall(run.evaluation.real(split=split), fake, 2).items():
        want[f"precision-recall[pixels].{name}"] = score.value
    found.clear()
    assert scores(run) == want
    assert found == ([2] if products == 1 else [1, 1])


def test_an_answer_is_for_the_samples_it_was_found_for(tiny, make_run):
    """The other evaluator scores fewer samples, so it asks again."""
    both = [
        {"density-coverage": {"features": "pixels", "k": 4, "samples": 100}},
        {"precision-recall": {"features": "pixels", "k": 2, "samples": 50}},
    ]
    run = make_run(tiny(evaluators=both))
    want = precision_recall(run.evaluation.real(), run.evaluation.fakes(n=50), 2)
    found = scores(run)
    assert {name: found[f"precision-recall[pixels].{name}"] for name in want} == {k: s.value for k, s in want.items()}


def test_an_exact_generator_covers_the_ring(tiny, make_run):
    """The train split in the place of samples."""
    run = make_run(tiny(evaluators=[{"density-coverage": {"features": "pixels"}}]))
    real, train = run.evaluation.real(), run.evaluation.real(split="train")
    run.evaluation.features_of = lambda part, which, *_: real if which == "real" else train
    found = scores(run)
    assert found["density-coverage[pixels].coverage"] == pytest.approx(1 - 2**-5, abs=0.03)
    assert found["density-coverage[pixels].density"] == pytest.approx(1, abs=0.1)


def test_fakes_that_are_not_finite_score_nan_and_end_no_run(tiny, make_run):
    run = make_run(tiny(evaluators=[{"density-coverage": {"features": "pixels"}}]))
    with torch.no_grad():
        next(run.engine.modules["generator"].parameters()).fill_(math.nan)
    found = scores(run)
    assert len(found) == 2
    assert all(math.isnan(value) for value in found.values())
