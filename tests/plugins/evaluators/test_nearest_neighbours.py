"""Memorisation: points worked by hand, honest and copying samples, what is refused, the picture, and runs."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from ganrun.errors import UserError
from ganrun_plugins.evaluators.nearest_neighbours import nearest_neighbours, sheet


def normal(n, d, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def values(train, held_out, fake):
    return {name: score.value for name, score in nearest_neighbours(train, held_out, fake).items()}


def line(*points):
    return torch.tensor(points)[:, None]


# --- by hand ----------------------------------------------------------------------------------------------------


def test_points_worked_by_hand_on_a_line():
    """Training 0, 10, 11 (nearest others at 10, 1, 1), held out 6, 20, 21.

    Fake   to training   to held-out   nearer to   copy of its nearest training item?
    0.1    0.1 (of 0)    5.9           training    0.1 <= 10: yes
    10.25  0.25 (of 10)  4.25          training    0.25 <= 1: yes
    5.5    4.5 (of 10)   0.5           held-out    4.5 > 1: no
    19     8 (of 11)     1             held-out    8 > 1: no

    Held-out items are at 4 (of 10), 9 and 10 (of 11): all more than 1. Medians: (0.25 + 4.5) / 2 over 9.
    """
    found = values(line(0.0, 10.0, 11.0), line(6.0, 20.0, 21.0), line(0.1, 10.25, 5.5, 19.0))
    assert found == {
        "memorised": 0.5,
        "distance-ratio": pytest.approx(2.375 / 9),
        "authenticity": 0.5,
        "authenticity-of-held-out": 1,
    }


def test_the_share_is_corrected_for_how_many_items_either_set_has():
    """3 of 4 samples are nearest to one of 3 training items, 1 to the one held-out item: 1/4 an item each, which is
    0.5.
    """
    assert values(line(0.0, 10.0, 20.0), line(30.0), line(1.0, 11.0, 21.0, 31.0))["memorised"] == pytest.approx(0.5)
    two_and_two = line(1.0, 11.0, 31.0, 32.0)  # (2/4 / 3) / (2/4 / 3 + 2/4) = 1/4
    assert values(line(0.0, 10.0, 20.0), line(30.0), two_and_two)["memorised"] == pytest.approx(0.25)


def test_ties_are_half_and_a_copy_of_a_repeated_item_is_a_copy():
    """A sample in the middle of a training and a held-out item; and one on a training item that occurs twice (nearest
    other at 0).
    """
    found = values(line(0.0, 0.0), line(4.0, 9.0), line(2.0))
    assert found["memorised"] == 0.5
    assert values(line(0.0, 0.0, 7.0), line(4.0), line(0.0))["authenticity"] == 0


# --- honest and copying samples -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "m"), [(1000, 1000), (1000, 250), (250, 1000)])
def test_an_honest_generator_scores_one_half_and_a_ratio_of_1(n, m):
    found = nearest_neighbours(normal(n, 4), normal(m, 4, 1), normal(1000, 4, 2))
    score = found["memorised"]
    assert score.low < 0.5 < score.high
    assert score.high - score.low < 0.2
    # 250 held-out items leave the median they give known to 5%
    assert found["distance-ratio"].value == pytest.approx(1, abs=0.12)
    assert found["authenticity"].value == pytest.approx(found["authenticity-of-held-out"].value, abs=0.12)


@pytest.mark.parametrize(("n", "m"), [(300, 300), (1200, 200)])
@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_a_memorising_generator_scores_1_even_if_few_items_are_held_out(n, m, noise):
    """Each sample is a training item, or nearly one, chosen out of all."""
    train = normal(n, 6)
    pick = torch.randint(n, (500,), generator=torch.Generator().manual_seed(3))
    found = nearest_neighbours(train, normal(m, 6, 1), train[pick] + noise * normal(500, 6, 2))
    assert found["memorised"].value > 0.99
    assert found["memorised"].low > 0.8
    assert found["authenticity"].value < 0.01 < found["authenticity-of-held-out"].value
    assert found["distance-ratio"].high < 0.05


def test_half_of_the_samples_copied_is_seen():
    """N = M: 1/2 + 1/2 (1/2) = 0.75 of the samples are nearer to the training set."""
    train = normal(1000, 4)
    fake = torch.cat([train[:500], normal(500, 4, 2)])
    score = nearest_neighbours(train, normal(1000, 4, 1), fake)["memorised"]
    assert score.value == pytest.approx(0.75, abs=0.04)
    assert score.low > 0.6


def test_samples_off_the_data_are_no_copies():
    found = values(normal(500, 4), normal(500, 4, 1), 3 * normal(500, 4, 2))
    assert found["distance-ratio"] > 1.5
    assert found["authenticity"] > found["authenticity-of-held-out"]


def test_a_collapsed_generator_leaves_memorisation_open():
    """All samples have one nearest item, which is in the one set or in the other: the interval knows that it is one
    trial.
    """
    for seed in range(4):
        score = nearest_neighbours(normal(200, 4), normal(200, 4, 1), normal(1, 4, 2 + seed).expand(500, 4))[
            "memorised"
        ]
        assert score.value in (0, 1)
        assert score.low < 0.5 < score.high


@pytest.mark.parametrize(("d", "copies"), [(1, 2 / 3), (2, 0.6215)])
def test_authenticity_of_an_exact_generator_is_the_chance_of_not_being_each_others_nearest(d, copies):
    """6 pi / (8 pi + 3 sqrt 3) = 0.6215 in the plane.

    The mean of 12 draws, whose standard errors are about 0.006; held-out items alike.
    """
    draws = [torch.rand(3000, d, generator=torch.Generator().manual_seed(seed)) for seed in range(12)]
    found = [values(x[:1000], x[1000:2000], x[2000:]) for x in draws]
    for name in ("authenticity", "authenticity-of-held-out"):
        assert sum(score[name] for score in found) / 12 == pytest.approx(1 - copies, abs=0.02)


def test_held_out_items_that_are_training_items_leave_the_ratio_open():
    """Their distances are 0, and there is nothing to compare with; the other scores stand."""
    train = normal(50, 3)
    found = nearest_neighbours(train, train[:20], normal(30, 3, 1))
    assert math.isnan(found["distance-ratio"].value)
    assert 0 <= found["memorised"].value <= 1


def test_constant_features_tell_nothing():
    same = torch.full((30, 70), 2.5)
    found = nearest_neighbours(same, same, same)
    assert found["memorised"].value == 0.5
    assert found["authenticity"].value == 0


def test_the_interval_of_an_honest_generator_holds_one_half_mostly():
    """Over 40 draws of all three sets, 1/2 is missed by 95% intervals at most 6 times."""
    missed = 0
    for seed in range(40):
        score = nearest_neighbours(
            normal(150, 3, 3 * seed), normal(100, 3, 3 * seed + 1), normal(400, 3, 3 * seed + 2)
        )["memorised"]
        missed += not score.low <= 0.5 <= score.high
    assert missed <= 6


@pytest.mark.parametrize(
    ("train", "held_out", "fake", "message"),
    [
        (1, 5, 5, "the train set has 1 samples, and another training item needs at least 2"),
        (5, 0, 5, "the held_out set has 0 samples"),
        (5, 5, 0, "the fake set has 0 samples"),
    ],
)
def test_too_few_samples_are_refused(train, held_out, fake, message):
    with pytest.raises(UserError, match=f"^nearest-neighbours: {message}"):
        nearest_neighbours(normal(train, 2), normal(held_out, 2), normal(fake, 2))


def test_values_that_are_not_finite_and_unequal_features_are_refused():
    x = normal(9, 3)
    with pytest.raises(UserError, match=r"3 \(train\) and 3 \(held_out\) and 4 \(fake\) features"):
        nearest_neighbours(x, x, normal(9, 4))
    x[4, 1] = math.nan
    with pytest.raises(UserError, match="1 of the 9 samples of the held_out set"):
        nearest_neighbours(normal(9, 3), x, normal(9, 3))


# --- the picture ------------------------------------------------------------------------------------------------


def test_the_picture_has_a_row_for_each_sample():
    """Sample, two training items, held-out item, each of one grey; 2 pixels between pictures, 12 between the three
    groups.
    """
    fake, held = (torch.full((2, 1, 4, 4), grey) for grey in (-1.0, 1.0))
    train = torch.tensor([[-0.5, 0.0], [0.5, 0.75]])[:, :, None, None, None].expand(2, 2, 1, 4, 4)
    picture = np.asarray(sheet(fake, train, held))[:, :, 0]
    assert picture.shape == (4 + 2 + 4, 4 + 12 + (4 + 2 + 4) + 12 + 4)
    assert [int(picture[row, column]) for row in (1, 7) for column in (1, 17, 23, 39)] == [
        0,
        64,
        128,
        255,
        0,
        191,
        223,
        255,
    ]


@pytest.fixture
def digits(tiny, make_run, tmp_path):
    """A run on scans of 8 pixels that keeps its pictures, with a generator that copies training items 30, 31, ..."""

    def make(**parameters):
        run = make_run(
            tiny(
                dataset={"digits": {"size": 8}},
                evaluators=[{"nearest-neighbours": {"features": "pixels", **parameters}}],
            )
        )
        run.evaluation.folder = tmp_path
        copied = run.evaluation.real(split="train")[30:94]
        run.evaluation.fakes = lambda name=None, n=None: copied
        of = run.evaluation.features_of
        run.evaluation.features_of = lambda part, which, *rest: (
            of(part, which, *rest) if which == "real" else copied.flatten(1)
        )
        return run, tmp_path / "evaluations"

    return make


def test_copies_stand_beside_what_they_copy(digits):
    """The first two columns of the picture are equal; the held-out item is another."""
    run, folder = digits(rows=5)
    found = scores(run)
    assert found["nearest-neighbours[pixels].memorised"] == 1
    assert found["nearest-neighbours[pixels].authenticity"] == 0
    (file,) = folder.glob("nearest-neighbours-*.png")
    picture = np.asarray(Image.open(file))
    assert picture.shape == (5 * 10 - 2, 8 + 12 + 38 + 12 + 8, 3)
    assert np.array_equal(picture[:, :8], picture[:, 20:28])
    assert not np.array_equal(picture[:, :8], picture[:, -8:])


def test_no_rows_no_picture(digits):
    run, folder = digits(rows=0)
    scores(run)
    assert not folder.exists()


def test_points_have_scores_and_no_picture(tiny, make_run, tmp_path):
    run = make_run(tiny(evaluators=[{"nearest-neighbours": {"features": "pixels", "samples": 100, "items": 200}}]))
    run.evaluation.folder = tmp_path
    want = values(run.evaluation.real(split="train", n=200), run.evaluation.real(), run.evaluation.fakes(n=100))
    assert scores(run) == {f"nearest-neighbours[pixels].{name}": value for name, value in want.items()}
    assert not list(tmp_path.iterdir())


def scores(run):
    from ganrun.training.scoring import evaluate

    run.step = run.steps
    return evaluate(run)


def test_fakes_that_are_not_finite_score_nan_and_end_no_run(tiny, make_run):
    run = make_run(tiny(evaluators=[{"nearest-neighbours": {"features": "pixels"}}]))
    with torch.no_grad():
        next(run.engine.modules["generator"].parameters()).fill_(math.nan)
    found = scores(run)
    assert len(found) == 4
    assert all(math.isnan(value) for value in found.values())
