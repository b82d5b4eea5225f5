"""PSNR and SSIM: closed forms, colours by hand, a plain loop, the crop, and the evaluator in runs."""

import math
from types import SimpleNamespace

import pytest
import torch

from ganrun.errors import UserError
from ganrun.training.build import RefusedError
from ganrun_plugins.datasets.digits import Digits
from ganrun_plugins.evaluators import _ssim
from ganrun_plugins.evaluators._fidelity import channel_of, fidelity, luminance, mean_psnr, psnr
from ganrun_plugins.evaluators._ssim import ssim
from ganrun_plugins.evaluators.psnr_ssim import PsnrSsim


def images(n, *shape, seed=0):
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def levels(value, *shape):
    """Images (1, *shape) in [-1, 1] of one level out of 0 to 255."""
    return torch.full((1, *shape), value / 127.5 - 1)


# --- SSIM ---------------------------------------------------------------------------------------------------------


def loop_ssim(x, y, data_range):
    """SSIM of two images (H, W), place by place, with variances as means of squared deviations."""
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    side = min(11, *x.shape)
    side -= 1 - side % 2
    bell = [
        [math.exp(-((i - side // 2) ** 2 + (j - side // 2) ** 2) / (2 * 1.5**2)) for j in range(side)]
        for i in range(side)
    ]
    weights = torch.tensor(bell, dtype=torch.float64)
    weights /= weights.sum()
    found = []
    for i in range(x.shape[0] - side + 1):
        for j in range(x.shape[1] - side + 1):
            a, b = x[i : i + side, j : j + side], y[i : i + side, j : j + side]
            ma, mb = (weights * a).sum(), (weights * b).sum()
            va, vb, c = (
                (weights * (a - ma) ** 2).sum(),
                (weights * (b - mb) ** 2).sum(),
                (weights * (a - ma) * (b - mb)).sum(),
            )
            found.append((2 * ma * mb + c1) * (2 * c + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2)))
    return float(torch.stack(found).mean())


@pytest.mark.parametrize(("height", "width"), [(14, 17), (11, 11), (8, 12), (5, 5), (1, 3)])
def test_ssim_equals_a_plain_loop(height, width):
    """Also below 11 pixels, where the window is the largest odd one that fits: 7 for 8 pixels, 5 for 5, 1 for 1."""
    x, y = images(2, 1, height, width), images(2, 1, height, width, seed=1) * 0.5 + images(2, 1, height, width) * 0.5
    got = ssim(x, y, data_range=1.0)
    assert got.tolist() == pytest.approx([loop_ssim(x[i, 0], y[i, 0], 1.0) for i in range(2)], rel=1e-9)


def test_equal_images_have_an_ssim_of_1_in_either_precision():
    x = images(3, 3, 20, 20)
    assert torch.allclose(ssim(x, x, data_range=1.0), torch.ones(3).double(), atol=1e-12)
    assert ssim(x.float(), x.float(), data_range=1.0).dtype == torch.float64


def test_constant_images_differ_in_luminance_alone():
    """0.2 against 0.6, C1 = (0.01)^2: (2 * 0.12 + C1) / (0.04 + 0.36 + C1)."""
    x, y = (torch.full((1, 1, 16, 16), value, dtype=torch.float64) for value in (0.2, 0.6))
    assert float(ssim(x, y, data_range=1.0)) == pytest.approx((0.24 + 1e-4) / (0.4 + 1e-4), rel=1e-9)


def test_ssim_depends_on_values_over_the_data_range_alone():
    x, y = images(2, 1, 16, 16), images(2, 1, 16, 16, seed=1)
    assert torch.allclose(ssim(255 * x, 255 * y, data_range=255), ssim(x, y, data_range=1), rtol=1e-9)
    assert not torch.allclose(ssim(x, y, data_range=255), ssim(x, y, data_range=1), rtol=1e-2)


def test_images_are_scored_one_by_one_whatever_the_blocks(monkeypatch):
    x, y = images(5, 2, 16, 16), images(5, 2, 16, 16, seed=1)
    whole = ssim(x, y, data_range=1.0)
    monkeypatch.setattr(_ssim, "BLOCK", 8 * 2 * 2 * 16 * 16)  # two images
    assert torch.allclose(ssim(x, y, data_range=1.0), whole, rtol=1e-12)
    assert torch.allclose(ssim(x[3:4], y[3:4], data_range=1.0), whole[3:4], rtol=1e-12)


@pytest.mark.parametrize(
    ("x", "y"), [((0, 1, 8, 8), (0, 1, 8, 8)), ((1, 1, 8, 8), (1, 1, 8, 9)), ((1, 8, 8), (1, 8, 8))]
)
def test_ssim_refuses_what_are_no_pairs_of_images(x, y):
    with pytest.raises(UserError, match="ssim: it compares two equally many images"):
        ssim(torch.zeros(x), torch.zeros(y), data_range=1.0)


def test_ssim_refuses_values_that_are_not_finite():
    with pytest.raises(UserError, match="not finite"):
        ssim(torch.full((1, 1, 8, 8), math.inf), torch.zeros(1, 1, 8, 8), data_range=1.0)


# --- luminance and PSNR -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("colour", "want"),
    [
        ((255, 255, 255), 235),
        ((0, 0, 0), 16),
        ((255, 0, 0), 81.481),
        ((0, 255, 0), 144.553),
        ((0, 0, 255), 40.966),
        ((51, 51, 51), 16 + 219 / 5),
    ],
)
def test_luminance_of_colours_by_hand(colour, want):
    x = torch.tensor(colour).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    assert luminance(x).flatten().tolist() == pytest.approx([want] * 4, rel=1e-9)


def test_grey_images_are_luminance_already_and_other_channels_have_none():
    assert luminance(torch.tensor([0.0, 255.0]).view(1, 1, 1, 2)).flatten().tolist() == [0, 255]
    with pytest.raises(UserError, match="2 channels.*channel: rgb"):
        luminance(torch.zeros(1, 2, 4, 4))


def test_psnr_worked_by_hand():
    """Errors 3 and 4 of two pixels: mse 12.5, 10 log10(255^2 / 12.5)."""
    got = psnr(torch.tensor([[[[3.0, 0.0]]]]), torch.tensor([[[[0.0, 4.0]]]]))
    assert got.tolist() == pytest.approx([10 * math.log10(65025 / 12.5)])


@pytest.mark.parametrize("error", [1, 5, 100])
def test_a_uniform_error_of_e_levels_scores_20_log10_of_255_over_e(error):
    """On grey and on RGB images; on Y it is an error of 219/255 e, because Y spans 16 to 235."""
    want = 20 * math.log10(255 / error)
    for channels, channel, more in ((1, "y", 0), (3, "rgb", 0), (3, "y", 20 * math.log10(255 / 219))):
        got, _ = fidelity(levels(50 + error, channels, 12, 12), levels(50, channels, 12, 12), channel=channel)
        assert float(got) == pytest.approx(want + more, rel=1e-6)


def test_rgb_takes_all_channels_together():
    """An error of 6 levels in one of three channels: mse 12."""
    x = levels(50, 3, 12, 12).clone()
    x[:, 1] = 56 / 127.5 - 1
    got, _ = fidelity(x, levels(50, 3, 12, 12), channel="rgb")
    assert float(got) == pytest.approx(10 * math.log10(65025 / 12), rel=1e-6)


@pytest.mark.parametrize(
    ("asked", "channels", "want"),
    [
        (None, 1, "y"),
        ("rgb", 1, "y"),
        ("y", 1, "y"),
        (None, 3, "rgb"),
        ("rgb", 3, "rgb"),
        ("y", 3, "y"),
        (None, 4, "rgba"),
        (None, 2, "2-channels"),
    ],
)
def test_a_score_says_what_it_looked_at(asked, channels, want):
    assert channel_of(asked, channels) == want


def test_grey_in_place_of_colours_of_its_luminance_is_an_error_unless_luminance_is_asked_for():
    """Red, and the grey of its luminance: (81.481 - 16) / 219 of 255, 76 levels. On Y they differ by rounding alone."""
    truth = torch.tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1).expand(1, 3, 12, 12)
    grey = levels(76, 3, 12, 12)
    want = 10 * math.log10(65025 / ((179**2 + 76**2 + 76**2) / 3))
    assert float(fidelity(grey, truth)[0]) == pytest.approx(want, rel=1e-6)
    assert float(fidelity(grey, truth, channel="y")[0]) > 50


def test_images_are_rounded_to_256_levels_and_clipped_first():
    x = levels(100, 1, 12, 12)
    assert fidelity(x + 0.4 / 127.5, x)[0].tolist() == [math.inf]
    assert float(fidelity(x + 0.6 / 127.5, x)[0]) == pytest.approx(20 * math.log10(255))
    assert fidelity(levels(255, 1, 12, 12) + 5, levels(255, 1, 12, 12))[0].tolist() == [math.inf]


def test_the_border_is_not_looked_at():
    """One pixel is wrong, the fourth from the edge: it counts with a border of 3, of 18 x 18 pixels, and not with one
    of 4.
    """
    truth = levels(100, 1, 24, 24)
    made = truth.clone()
    made[0, 0, 3, 12] = 110 / 127.5 - 1
    assert fidelity(made, truth, border=4)[0].tolist() == [math.inf]
    assert float(fidelity(made, truth, border=4)[1]) == pytest.approx(1)
    ratio, likeness = fidelity(made, truth, border=3)
    assert float(ratio) == pytest.approx(10 * math.log10(65025 / (100 / 18**2)), rel=1e-5)
    assert float(likeness) < 1


def test_ssim_is_of_the_same_crop_with_a_range_of_255():
    x, y = (images(2, 3, 24, 24, seed=seed) * 255 for seed in (0, 1))
    x, y = x.round(), (0.7 * x + 0.3 * y).round()
    crop = (slice(None), slice(None), slice(5, 19), slice(5, 19))
    want = ssim(luminance(x)[crop] / 255, luminance(y)[crop] / 255, data_range=1.0)
    got = fidelity(x / 127.5 - 1, y / 127.5 - 1, channel="y", border=5)[1]
    assert torch.allclose(got, want, rtol=1e-6)


def test_the_mean_is_of_decibels_and_not_of_errors():
    """Errors of 1 and 10 levels: the mean of 20 log10(255) and 20 log10(25.5) is 10 dB less than the first."""
    made, truth = torch.cat([levels(51, 1, 12, 12), levels(60, 1, 12, 12)]), levels(50, 1, 12, 12).repeat(2, 1, 1, 1)
    assert mean_psnr(fidelity(made, truth)[0]).value == pytest.approx(20 * math.log10(255) - 10, rel=1e-6)


def test_equal_pairs_are_left_out_of_the_mean_and_counted():
    got = mean_psnr(torch.tensor([30.0, math.inf, 40.0, math.inf]))
    assert got.value == 35
    assert got.low < 35 < got.high
    assert "2 of 4 pairs are equal and left out" in got.method
    got = mean_psnr(torch.tensor([math.inf, math.inf]))
    assert (got.value, got.low, got.method) == (math.inf, None, "all 2 pairs are equal")


@pytest.mark.parametrize(
    ("made", "truth", "why"),
    [
        ((0, 1, 12, 12), (0, 1, 12, 12), "equally many"),
        ((1, 1, 12, 12), (1, 1, 12, 16), "of one size"),
        ((1, 1, 8, 12), (1, 1, 8, 12), "border of 4 leaves nothing of 8 x 12.*border: 0"),
    ],
)
def test_degenerate_pairs_are_refused(made, truth, why):
    with pytest.raises(UserError, match=f"psnr-ssim: .*{why}"):
        fidelity(torch.zeros(made), torch.zeros(truth))


def test_pixels_that_are_not_finite_are_refused():
    with pytest.raises(UserError, match="not finite"):
        fidelity(torch.full((1, 1, 12, 12), math.nan), torch.zeros(1, 1, 12, 12))


# --- in a run -------------------------------------------------------------------------------------------------------


def scores_of(run, samples=6):
    run.evaluation.samples = samples
    return run.experiment.evaluators[0].evaluate(run.evaluation)


@pytest.fixture
def translating(small_cyclegan, make_run):
    def make(**parameters):
        return make_run(
            small_cyclegan(dataset={"restyled-digits": {"size": 16}}, evaluators=[{"psnr-ssim": parameters}])
        )

    return make


def test_every_kind_of_pair_is_scored_under_its_name(translating):
    """The way there and back, which the variant pairs, and the hidden pairs of the data; of images that the networks
    made.
    """
    run = translating()
    got = scores_of(run)
    names = ("rec_a", "rec_b", "a-to-b", "b-to-a")
    assert set(got) == {f"{name}.{key}.y" for name in names for key in ("psnr", "ssim")}
    pairs = run.evaluation.hidden_pairs(6)
    with torch.no_grad():
        made = run.engine.modules["generator_ab"].eval()(pairs["a"])
    ratios, likeness = fidelity(made, pairs["b"])
    assert got["a-to-b.psnr.y"].value == pytest.approx(float(ratios.mean()), rel=1e-4)
    assert got["a-to-b.ssim.y"].value == pytest.approx(float(likeness.mean()), rel=1e-4)
    assert all(score.low < score.value < score.high for score in got.values())
    assert got["a-to-b.ssim.y"].method.endswith("; a window of 7 pixels"), "what is left of 16 pixels is 8"


def test_what_answers_a_hidden_pair_is_scored_once_under_the_way_that_it_went(make_run):
    """pix2pix pairs its output b with b, and so do the data: once it was b and a-to-b."""
    small = {
        "variant": "pix2pix",
        "dataset": {"paired-digits": {"size": 16}},
        "generator": {"unet": {"width": 2}},
        "discriminator": {"patchgan": {"width": 2, "layers": 1}},
        "train": {"steps": 1, "batch_size": 2, "device": "cpu"},
        "evaluators": [{"psnr-ssim": {}}],
    }
    assert set(scores_of(make_run(small))) == {"a-to-b.psnr.y", "a-to-b.ssim.y"}


def test_true_answers_are_infinitely_good(translating):
    run = translating(border=0)
    run.evaluation.generate = lambda pairs, wanted: pairs[wanted]
    got = scores_of(run)
    assert (got["a-to-b.psnr.y"].value, got["a-to-b.ssim.y"].value) == (math.inf, pytest.approx(1))


def test_fakes_that_are_not_finite_score_nan_and_end_no_run(translating):
    run = translating()
    with torch.no_grad():
        next(run.engine.modules["generator_ab"].parameters()).fill_(math.nan)
    got = scores_of(run)
    assert math.isnan(got["a-to-b.psnr.y"].value)
    assert math.isnan(got["a-to-b.ssim.y"].value)
    assert math.isfinite(got["b-to-a.psnr.y"].value)


def test_psnr_and_ssim_without_pairs_are_refused_before_training(tiny, make_run):
    with pytest.raises(
        RefusedError, match=r"evaluator psnr-ssim: .*neither this variant nor this data set has such pairs"
    ):
        make_run(tiny(dataset={"digits": {"size": 16}}, evaluators=["psnr-ssim"]))


def test_hidden_pairs_of_samples_from_latents_are_refused_before_training(tiny, make_run):
    """A sample from a latent answers no item, so there is nothing that it ought to equal: its PSNR against any is
    chance.
    """

    class Hiding(Digits):
        provides = frozenset({"hidden-pairs"})

        def hidden_pairs(self):
            return {}

    recipe = tiny(dataset={"hiding": {"size": 16}}, evaluators=["psnr-ssim"])
    with pytest.raises(RefusedError, match=r"evaluator psnr-ssim: the hidden pairs are true answers to given images"):
        make_run(recipe, {"dataset.hiding": Hiding})


def test_a_border_that_leaves_nothing_is_refused_before_training(small_cyclegan, make_run):
    """Of pictures of 8 pixels, 4 on every side are all."""
    with pytest.raises(
        RefusedError, match=r"evaluator psnr-ssim: a border of 4 pixels on every side leaves nothing of .*\n.*border: 0"
    ):
        make_run(small_cyclegan(evaluators=["psnr-ssim"]))
    make_run(small_cyclegan(evaluators=[{"psnr-ssim": {"border": 3}}]))


def test_sets_without_pairs_are_told_what_would_be_some():
    """Two folders whose files have other names: nothing is built there, so it is said when they are scored."""
    for pairs in ({}, {"x": (torch.zeros(3, 2), torch.zeros(3, 2))}):
        with pytest.raises(UserError, match="psnr-ssim: there are no pairs of images.*files of the same names"):
            PsnrSsim().evaluate(SimpleNamespace(samples=None, pairs=lambda n, pairs=pairs: pairs))
