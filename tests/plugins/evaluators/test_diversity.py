"""Diversity: pairs that share no sample, distances by hand, MS-SSIM against a plain loop, and the evaluator in runs."""

import math
from types import SimpleNamespace

import pytest
import torch

from ganrun.errors import UserError
from ganrun.evaluation.scores import Score, of_rows
from ganrun.training.build import RefusedError
from ganrun_plugins.evaluators import _ssim
from ganrun_plugins.evaluators._ssim import conditions, ms_ssim, scales, ssim, window
from ganrun_plugins.evaluators.diversity import disjoint_pairs, distances, ratio, similarities


def images(n, *shape, seed=0):
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# --- pairs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "most", "want"), [(10, 99, 5), (11, 99, 5), (10, 3, 3), (2, 1, 1)])
def test_no_sample_is_in_two_pairs(n, most, want):
    pairs = disjoint_pairs(n, most)
    assert pairs.shape == (want, 2)
    assert len(pairs.unique()) == 2 * want
    assert pairs.min() >= 0
    assert pairs.max() < n


def test_pairs_are_a_function_of_the_seed():
    assert torch.equal(disjoint_pairs(100, 50, seed=3), disjoint_pairs(100, 50, seed=3))
    assert not torch.equal(disjoint_pairs(100, 50, seed=3), disjoint_pairs(100, 50, seed=4))


def test_pairs_within_classes_stay_there_and_leave_no_class_out():
    """Classes of 60, 60 and 41: 30 + 30 + 20 pairs, and of a quarter of them all classes have some."""
    classes = torch.tensor([0] * 60 + [7] * 60 + [2] * 41)
    pairs = disjoint_pairs(161, 999, classes=classes)
    assert len(pairs) == 80
    assert len(pairs.unique()) == 160
    assert torch.equal(classes[pairs[:, 0]], classes[pairs[:, 1]])
    assert set(classes[disjoint_pairs(161, 20, classes=classes)[:, 0]].tolist()) == {0, 2, 7}


@pytest.mark.parametrize(("n", "classes"), [(0, None), (1, None), (3, [0, 1, 2])])
def test_too_few_samples_for_a_pair_are_refused(n, classes):
    with pytest.raises(UserError, match=rf"diversity: a pair takes two samples.*there are {n}; ask for more samples"):
        disjoint_pairs(n, 10, classes=None if classes is None else torch.tensor(classes))


def test_the_interval_holds_the_truth_as_often_as_it_says_which_pairs_that_share_samples_do_not():
    """|x - y| of two standard normal numbers has mean 2 / sqrt(pi). Of 400 sets of 60 samples, 30 disjoint pairs each,
    about 95% of the intervals hold it (two standard errors of that share are 2%); the 1770 pairs there are in all would
    claim far too much."""
    truth, all_pairs = 2 / math.sqrt(math.pi), torch.combinations(torch.arange(60))
    held = {"disjoint": 0, "all": 0}
    for seed in range(400):
        x = torch.randn(60, 1, generator=torch.Generator().manual_seed(seed))
        for name, pairs in (("disjoint", disjoint_pairs(60, 99, seed)), ("all", all_pairs)):
            score = of_rows(distances(x, pairs))
            held[name] += score.low <= truth <= score.high
    assert 0.9 < held["disjoint"] / 400 < 0.98
    assert held["all"] / 400 < 0.6


# --- distances ----------------------------------------------------------------------------------------------------


def test_distances_worked_by_hand():
    x = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]])
    assert distances(x, torch.tensor([[0, 1], [2, 0], [1, 1]])).tolist() == [5, 1, 0]


def test_distances_are_taken_in_float64():
    x = torch.tensor([[2.0**24], [2.0**24 + 2]])
    assert float(distances(x, torch.tensor([[0, 1]]))) == 2


def test_features_that_are_not_finite_or_not_rows_are_refused():
    with pytest.raises(UserError, match="not finite"):
        distances(torch.tensor([[0.0], [math.nan]]), torch.tensor([[0, 1]]))
    with pytest.raises(UserError, match=r"\(n, d\)"):
        distances(torch.zeros(3), torch.tensor([[0, 1]]))


def test_the_ratio_divides_value_and_interval_by_the_real_value():
    got = ratio(Score(2.0, 1.0, 3.0, "m", 200), Score(4.0, 3.9, 4.1))
    assert got == Score(0.5, 0.25, 0.75, "m", 200)
    assert math.isnan(ratio(Score(2.0, 1.0, 3.0), Score(0.0)).value), (
        "real samples that are all alike have no diversity to compare with"
    )
    assert math.isnan(ratio(Score(math.nan), Score(1.0)).value)


# --- MS-SSIM ------------------------------------------------------------------------------------------------------


def test_equal_images_have_an_ms_ssim_of_1():
    for side in (5, 8, 32, 176):
        x = images(2, 3, side, side)
        assert torch.allclose(ms_ssim(x, x, data_range=1.0), torch.ones(2).double(), atol=1e-12)


@pytest.mark.parametrize(("side", "power"), [(8, 1.0), (32, 0.2856 / (0.0448 + 0.2856)), (176, 0.1333)])
def test_constant_images_differ_in_luminance_alone_at_the_coarsest_scale(side, power):
    """Of 0.2 and 0.6, C1 = 1e-4: ((0.24 + C1) / (0.4 + C1)) to the power of the last scale; contrast and structure are
    C2 / C2.
    """
    x, y = (torch.full((1, 1, side, side), value, dtype=torch.float64) for value in (0.2, 0.6))
    assert float(ms_ssim(x, y, data_range=1.0)) == pytest.approx(((0.24 + 1e-4) / (0.4 + 1e-4)) ** power, rel=1e-9)


def test_two_scales_are_the_weighted_product_of_their_means():
    """32 pixels: contrast and structure of the whole, and SSIM of the 2 x 2 means, with powers in the ratio 0.0448 to
    0.2856.
    """
    x, y = images(2, 1, 32, 32), (images(2, 1, 32, 32) * 0.8 + images(2, 1, 32, 32, seed=1) * 0.2)
    half = [z.reshape(2, 1, 16, 2, 16, 2).mean((3, 5)) for z in (x, y)]
    first, second = _ssim._compare(x, y, 1.0)[1][:, 0], ssim(*half, data_range=1.0)
    total = 0.0448 + 0.2856
    assert torch.allclose(
        ms_ssim(x, y, data_range=1.0), first ** (0.0448 / total) * second ** (0.2856 / total), rtol=1e-12
    )


def test_the_papers_five_scales_are_taken_from_176_pixels_on():
    assert [scales(side, 300) for side in (4, 21, 22, 32, 44, 88, 128, 175, 176, 1024)] == [
        1,
        1,
        2,
        2,
        3,
        4,
        4,
        4,
        5,
        5,
    ]
    assert [window(side, 300) for side in (1, 2, 3, 8, 10, 11, 12)] == [1, 1, 3, 7, 9, 11, 11]
    assert conditions(32, 40, several=True) == "2 of 5 scales"
    assert conditions(8, 8, several=True) == "1 of 5 scales and a window of 7 pixels"
    assert conditions(176, 176, several=True) == conditions(32, 32, several=False) == ""


def test_a_negative_mean_counts_as_0_and_not_as_a_number_that_is_none():
    x = images(1, 1, 32, 32)
    assert float(ms_ssim(x, 1 - x, data_range=1.0)) == 0


def test_channels_are_averaged():
    x, y = images(2, 3, 32, 32), images(2, 3, 32, 32, seed=1) * 0.3 + images(2, 3, 32, 32) * 0.7
    alone = torch.stack([ms_ssim(x[:, c : c + 1], y[:, c : c + 1], data_range=1.0) for c in range(3)])
    assert torch.allclose(ms_ssim(x, y, data_range=1.0), alone.mean(0), rtol=1e-12)


def test_similarities_are_of_images_between_minus_1_and_1():
    x = images(3, 1, 16, 16)
    want = ms_ssim(x[[0, 1]], x[[2, 1]], data_range=1.0)
    assert torch.allclose(similarities(2 * x - 1, torch.tensor([[0, 2], [1, 1]])), want, atol=1e-12)


# --- in a run -------------------------------------------------------------------------------------------------------


@pytest.fixture
def digits(tiny, make_run):
    """A run on digits of 16 pixels, not trained, with one evaluator ``diversity``."""

    def make(**parameters):
        networks = {"mlp": {"widths": [16], "norm": "none"}}
        recipe = tiny(
            dataset={"digits": {"size": 16}},
            generator=networks,
            evaluators=[{"diversity": {"features": "pixels", **parameters}}],
        )
        return make_run(recipe)

    return make


def scores_of(run, samples=100):
    run.evaluation.samples = samples
    return run.experiment.evaluators[0].evaluate(run.evaluation)


def with_fakes(run, fakes):
    """The run, whose generator makes exactly these samples (n, C, H, W)."""
    run.evaluation.fakes = lambda name=None, n=None: fakes
    real = run.evaluation.features_of
    run.evaluation.features_of = lambda part, which, *rest: (
        fakes.flatten(1) if which == "fake" else real(part, which, *rest)
    )
    return run


def test_the_scores_are_named_after_their_features_and_equal_the_functions(digits):
    run = digits()
    got = scores_of(run)
    names = ["[pixels].distance", "[pixels].distance-of-real", "[pixels].ratio", "ms-ssim", "ms-ssim-of-real"]
    assert list(got) == names
    fakes = run.evaluation.fakes(n=100)
    pairs = disjoint_pairs(100, 5000, run.evaluation.seed)
    assert got["[pixels].distance"].value == pytest.approx(float(distances(fakes.flatten(1), pairs).mean()))
    assert got["ms-ssim"].value == pytest.approx(float(similarities(fakes, pairs).mean()))
    assert got["[pixels].ratio"].value == pytest.approx(
        got["[pixels].distance"].value / got["[pixels].distance-of-real"].value
    )
    assert all(score.low < score.value < score.high and score.enough == 200 for score in got.values())
    assert got["ms-ssim"].method.endswith("; pairs; 1 of 5 scales")


def test_a_generator_as_diverse_as_the_data_has_a_ratio_of_1_and_a_collapsed_one_of_0(digits):
    """Train digits as fakes: the interval of the ratio holds 1. One digit again and again: no distance, all alike."""
    run = digits()
    train = run.evaluation.real("x", "train")
    got = scores_of(with_fakes(run, train))
    assert got["[pixels].ratio"].low < 1 < got["[pixels].ratio"].high
    assert got["ms-ssim"].value == pytest.approx(got["ms-ssim-of-real"].value, abs=0.03)
    got = scores_of(with_fakes(digits(), train[:1].repeat(50, 1, 1, 1)))
    assert got["[pixels].distance"].value == got["[pixels].ratio"].value == 0
    assert got["ms-ssim"].value == pytest.approx(1)


def test_pairs_are_within_a_class_if_the_classes_of_real_and_fake_samples_are_known(digits):
    """Digits of one class are more alike than digits of any two: real pairs stay within a class only if those of fakes
    do, too.
    """
    run = digits()
    train, labels = run.evaluation.real("x", "train", 200), run.evaluation.labels("x", "train", 200)
    over_all = scores_of(with_fakes(run, train))
    run.evaluation.fake_labels = lambda n=None: labels[:n]
    within = scores_of(run)
    assert "; pairs; " in over_all["ms-ssim-of-real"].method
    assert "; pairs within a class; " in within["ms-ssim-of-real"].method
    for name in ("ms-ssim", "ms-ssim-of-real"):
        assert within[name].low > over_all[name].high
    assert within["[pixels].distance"] == over_all["[pixels].distance"], "feature distances are over all pairs"


def test_fakes_that_are_not_finite_score_nan_and_end_no_run(digits):
    run = digits()
    with torch.no_grad():
        next(run.engine.modules["generator"].parameters()).fill_(math.nan)
    got = scores_of(run)
    assert all(math.isnan(got[name].value) for name in ("[pixels].distance", "[pixels].ratio", "ms-ssim"))
    assert got["[pixels].distance-of-real"].value > 0
    assert got["ms-ssim-of-real"].value > 0


def test_points_have_distances_only(tiny, make_run):
    run = make_run(tiny(evaluators=[{"diversity": {"features": "pixels"}}]))
    assert list(scores_of(run)) == ["[pixels].distance", "[pixels].distance-of-real", "[pixels].ratio"]


def test_another_output_is_named_in_every_score(small_cyclegan, make_run):
    run = make_run(small_cyclegan(evaluators=[{"diversity": {"features": "pixels", "of": "a"}}]))
    want = {"[pixels].a.distance", "[pixels].a.distance-of-real", "[pixels].a.ratio", "a.ms-ssim", "a.ms-ssim-of-real"}
    assert set(scores_of(run, 20)) == want


@pytest.mark.parametrize(
    ("parameters", "why"),
    [
        ({"features": None}, "nothing to measure in points"),
        ({}, "a classifier takes images"),
        ({"of": "b"}, "no output 'b'"),
    ],
)
def test_what_could_not_be_scored_is_refused_before_training(tiny, make_run, parameters, why):
    with pytest.raises(RefusedError, match=f"evaluator diversity: .*{why}"):
        make_run(tiny(evaluators=[{"diversity": parameters}]))


def test_nothing_to_measure_is_said_where_nothing_is_built(digits):
    evaluator = digits(features=None).experiment.evaluators[0]
    with pytest.raises(UserError, match="no images, and no features"):
        evaluator.evaluate(SimpleNamespace(fakes=lambda of: torch.zeros(4, 2)))
