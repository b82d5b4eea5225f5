"""Precision and recall: balls by hand, the oracles, exactness where float32 products lose digits, and runs."""

import math

import pytest
import torch

from ganrun.errors import UserError
from ganrun.training.build import RefusedError
from ganrun_plugins.evaluators import _neighbours as neighbours
from ganrun_plugins.evaluators.precision_recall import precision_recall


def normal(n, d, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def values(real, fake, k=3):
    return {name: score.value for name, score in precision_recall(real, fake, k).items()}


def directly(x, y):
    """Squared distances from differences, (n, m) float64."""
    return torch.stack([(row.double() - y.double()).square().sum(1) for row in x])


def hard_cases():
    """Sets on which |x|^2 + |y|^2 - 2 x.y in float32 says nothing about who is near: 5 far clusters, a far offset, few
    distinct points.
    """
    far = 1e4 * normal(5, 96)
    pick = torch.arange(400) % 5
    yield "clusters", far[pick] + 0.01 * normal(400, 96, 1), far[pick[:300]] + 0.01 * normal(300, 96, 2)
    yield "offset", normal(400, 96, 1) + 1e4, normal(300, 96, 2) + 1e4
    yield "repeated", far[pick], far[pick[:300].flip(0)]
    yield "collapsed", normal(400, 96, 1), far[:1].expand(300, 96)
    yield "outlier", torch.cat([normal(399, 96, 1), 1e6 * torch.ones(1, 96)]), normal(300, 96, 2)


# --- by hand ----------------------------------------------------------------------------------------------------


def test_points_worked_by_hand_on_a_line():
    """k = 1. Real 0, 1, 10: balls [-1, 1], [0, 2], [1, 19]. Fakes 1.5, 30, 33, -2: balls [-2, 5], [27, 33], [30, 36],
    [-5.5, 1.5].

    Of the fakes 1.5 alone is in a real ball: precision 1/4. Of the real points 0 and 1 are in fake balls: recall 2/3.
    """
    real, fake = torch.tensor([[0.0], [1.0], [10.0]]), torch.tensor([[1.5], [30.0], [33.0], [-2.0]])
    assert values(real, fake, k=1) == {"precision": 1 / 4, "recall": pytest.approx(2 / 3)}


def test_a_point_on_the_surface_is_inside():
    """Real 0 and 2 have radius 2: a fake at 4 lies on the surface of the second ball, one at 4.01 in none."""
    real = torch.tensor([[0.0], [2.0]])
    assert values(real, torch.tensor([[4.0], [4.01]]), k=1)["precision"] == 1 / 2


def test_the_radius_reaches_to_the_kth_other_point():
    """From 0 the others lie at 1, 3, 6 and from 6 at 3, 5, 6: the point itself is not counted."""
    x = torch.tensor([[0.0], [1.0], [3.0], [6.0]])
    assert neighbours.radii(x, 1).sqrt().tolist() == [1, 1, 2, 3]
    assert neighbours.radii(x, 3).sqrt().tolist() == [6, 5, 3, 6]


def test_a_copy_in_another_row_is_a_neighbour():
    assert neighbours.radii(torch.tensor([[0.0], [0.0], [3.0]]), 1).tolist() == [0, 0, 9]


@pytest.mark.parametrize("d", [1, 2, 3, 65, 300])
@pytest.mark.parametrize("copies", [1, 2, 6])
def test_identical_sets_score_1_even_if_points_repeat_more_than_k_times(d, copies):
    """With 6 copies and k = 3 every radius is 0, and with `<` nothing would be inside anything."""
    x = (7 * normal(60, d)).repeat(copies, 1)
    assert values(x, x.flip(0)) == {"precision": 1, "recall": 1}


def test_prdc_gives_0_where_points_repeat():
    """The difference that the docstring names."""
    from prdc import compute_prdc

    x = normal(50, 5).repeat(6, 1)
    found = compute_prdc(x.numpy(), x.numpy(), 3)
    assert found["precision"] == found["recall"] == 0
    assert values(x, x) == {"precision": 1, "recall": 1}


def test_sets_apart_score_0_and_a_collapsed_generator_has_precision_without_recall():
    x = normal(200, 8)
    assert values(x, x + 100) == {"precision": 0, "recall": 0}
    found = values(x, x[:1] + 1e-3 * normal(200, 8, 1))
    assert found["precision"] == 1
    assert found["recall"] <= 1 / 200


# --- oracles ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n1", "n2", "d"), [(600, 600, 4), (500, 700, 100), (700, 400, 512)])
def test_precision_and_recall_agree_with_prdc_and_torch_fidelity(n1, n2, d):
    from prdc import compute_prdc
    from torch_fidelity.metric_prc import calculate_precision_recall_full

    real, fake = normal(n1, d), 1.02 * normal(n2, d, 1) + 0.05
    got, want = values(real, fake), compute_prdc(real.numpy(), fake.numpy(), 3)
    precision, recall = calculate_precision_recall_full(fake, real, 3)
    assert 0.05 < got["precision"] < 0.99
    for name, other in (("precision", precision), ("recall", recall)):
        assert got[name] == pytest.approx(want[name], abs=1 / min(n1, n2))
        assert got[name] == pytest.approx(other, abs=1 / min(n1, n2))


# --- what all evaluators of neighbours share --------------------------------------------------------------------


@pytest.mark.parametrize("case", list(hard_cases()), ids=lambda case: case[0])
def test_neighbours_and_balls_are_those_of_exact_distances(case):
    """Equal to the last bit, from float32 features on which float32 products fail."""
    _, x, y = case
    own, across = directly(x, x).fill_diagonal_(math.inf), directly(x, y)
    squares, places = neighbours.nearest(x, x, 4, same=True)
    assert torch.equal(squares, own.topk(4, largest=False).values)
    assert torch.equal(own.gather(1, places), squares), "rows are those of the distances"
    assert torch.equal(neighbours.nearest(x, y, 3)[0], across.topk(3, largest=False).values)
    squared = neighbours.radii(y, 3)
    want, held = across <= squared, neighbours.balls(x, y, squared)
    assert torch.equal(held.around, want.sum(1))
    assert torch.equal(held.inside, want.sum(0))
    assert torch.equal(held.only_point, (want & (want.sum(0) == 1)).sum(1))
    assert torch.equal(held.only_ball, (want & (want.sum(1) == 1)[:, None]).sum(0))


def test_float32_products_alone_would_fail_on_the_hard_cases():
    """What the second look is for: without it neighbours are wrong."""
    _, x, _ = next(hard_cases())
    centred = x - x.mean(0)
    norms = centred.square().sum(1)
    products = (norms[:, None] + norms - 2 * centred @ centred.T).fill_diagonal_(math.inf)
    exact = directly(x, x).fill_diagonal_(math.inf)
    assert (products.argmin(1) != exact.argmin(1)).float().mean() > 0.5


@pytest.mark.parametrize("d", [3, 100])
def test_blocks_equal_the_whole(d, monkeypatch):
    x, y = normal(333, d), normal(257, d, 1)
    squared = neighbours.radii(y, 3)
    whole = neighbours.nearest(x, y, 3), neighbours.balls(x, y, squared)
    monkeypatch.setattr(neighbours, "BLOCK", 40_000)
    monkeypatch.setattr(neighbours, "PAIRS", 1_000)
    again = neighbours.nearest(x, y, 3), neighbours.balls(x, y, squared)
    for one, other in zip(whole, again, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert torch.equal(neighbours.radii(y, 3), squared)


def test_nothing_of_the_size_of_all_distances_is_held(monkeypatch):
    """4,200 x 4,200 distances would be 141 MB in float64; blocks are of 64 MiB at most."""
    sizes = []
    least = neighbours._least

    def noting(*args):
        for found in least(*args):
            sizes.append(found[1].numel() * found[1].element_size())
            yield found

    monkeypatch.setattr(neighbours, "_least", noting)
    x = normal(4200, 2)
    neighbours.balls(x, x, neighbours.radii(x, 3))
    assert sum(sizes) == 2 * 8 * 4200**2
    assert max(sizes) <= 64 << 20


def radii_by_hand(x, k):
    """Squared distances to the k-th nearest other row, from all differences."""
    return directly(x, x).fill_diagonal_(math.inf).topk(k, largest=False).values[:, -1]


def test_radii_are_kept_for_the_set_asked_for_last(monkeypatch):
    kept, x = neighbours.Radii(), normal(50, 3)
    first = kept(x, 3)
    assert torch.equal(first, neighbours.radii(x, 3))
    searched = []
    nearest = neighbours.nearest
    monkeypatch.setattr(neighbours, "nearest", lambda *args, **how: searched.append(args) or nearest(*args, **how))
    assert torch.equal(kept(x, 3), first)
    assert torch.equal(kept(x, 1), radii_by_hand(x, 1))
    assert not searched, "a search for three neighbours serves one"
    assert torch.equal(kept(x, 4), radii_by_hand(x, 4))
    assert torch.equal(kept(x + 1, 1), radii_by_hand(x + 1, 1))
    assert len(searched) == 2


# --- intervals --------------------------------------------------------------------------------------------------


def test_intervals_hold_what_other_samples_score():
    """95% intervals of one set of fakes against the spread over 40 others: not half as wide as the spread, nor three
    times.
    """
    real = normal(300, 8, 99)
    found = [precision_recall(real, 0.7 * normal(300, 8, seed) + 0.5) for seed in range(40)]
    for name in ("precision", "recall"):
        spread = float(torch.tensor([score[name].value for score in found]).std())
        claimed = sum(score[name].high - score[name].low for score in found) / len(found) / 2 / 1.96
        assert 0.8 * spread < claimed < 2 * spread, name


def test_intervals_keep_a_width_at_0_and_1_and_stay_shares():
    x = normal(100, 4)
    for other in (x, x + 100):
        for score in precision_recall(x, other).values():
            assert 0 <= score.low <= score.value <= score.high <= 1
            assert 0.01 < score.high - score.low < 0.1
            assert score.enough == 10_000


# --- what cannot be scored --------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 1, 3])
def test_too_few_samples_for_k_are_refused(n):
    with pytest.raises(
        UserError, match=rf"^precision-recall: the fake set has {n} samples.*k = 3.*at least 4; ask for more"
    ):
        precision_recall(normal(9, 2), normal(n, 2))
    assert set(values(normal(4, 2), normal(4, 2, 1))) == {"precision", "recall"}


def test_unequal_features_and_values_that_are_not_finite_are_refused():
    with pytest.raises(UserError, match=r"3 \(real\) and 4 \(fake\) features"):
        precision_recall(normal(9, 3), normal(9, 4))
    x = normal(9, 3)
    x[1, 2], x[3, 0] = math.nan, math.inf
    with pytest.raises(UserError, match="2 of the 9 samples of the real set"):
        precision_recall(x, normal(9, 3))
    with pytest.raises(UserError, match=r"shape \(9, 3, 2\)"):
        precision_recall(torch.zeros(9, 3, 2), normal(9, 3))


def test_constant_features_are_all_in_one_place():
    same = torch.full((20, 80), 3.0)
    assert values(same, same) == {"precision": 1, "recall": 1}
    assert values(same, same + 1) == {"precision": 0, "recall": 0}


# --- in a run ---------------------------------------------------------------------------------------------------


def scores(run):
    from ganrun.training.scoring import evaluate

    run.step = run.steps
    return evaluate(run)


def test_a_run_scores_its_samples_as_the_function_does(tiny, make_run):
    run = make_run(
        tiny(evaluators=[{"precision-recall": {"features": "pixels", "k": 4, "split": "train", "samples": 100}}])
    )
    want = values(run.evaluation.real(split="train"), run.evaluation.fakes(n=100), k=4)
    for _ in range(2):  # the second time with radii that were kept
        assert scores(run) == {f"precision-recall[pixels].{name}": value for name, value in want.items()}


def test_fakes_that_are_not_finite_score_nan_and_end_no_run(tiny, make_run):
    run = make_run(tiny(evaluators=[{"precision-recall": {"features": "pixels"}}]))
    with torch.no_grad():
        next(run.engine.modules["generator"].parameters()).fill_(math.nan)
    found = scores(run)
    assert len(found) == 2
    assert all(math.isnan(value) for value in found.values())


def test_fewer_samples_than_k_needs_are_refused_before_training(tiny, make_run):
    with pytest.raises(RefusedError, match="k = 3 neighbours needs at least 4 made samples, and there are 3"):
        make_run(tiny(evaluators=[{"precision-recall": {"features": "pixels", "samples": 3}}]))


def test_an_output_that_the_variant_does_not_have_is_refused_before_training(tiny, make_run):
    with pytest.raises(RefusedError, match=r"no output 'b'"):
        make_run(tiny(evaluators=[{"precision-recall": {"features": "pixels", "of": "b"}}]))
