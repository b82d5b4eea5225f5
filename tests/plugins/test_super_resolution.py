"""Super-resolution: small pictures by the bicubic filter, crops, grained contours, and the scores."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from ganrun.errors import UserError
from ganrun.randomness import ItemDraws
from ganrun.words.spaces import DataFiles
from ganrun_plugins.datasets._bicubic import shrunk
from ganrun_plugins.datasets.super_resolution import SuperResolution as Crops
from ganrun_plugins.datasets.super_resolution_digits import SuperResolutionDigits, grained, sharp
from ganrun_plugins.evaluators.super_resolution import enlarged, gains

# --- data -----------------------------------------------------------------------------------------------------


def draws(indices, epoch: int = 0) -> ItemDraws:
    return ItemDraws(("test",), np.asarray(epoch), np.asarray(indices))


def test_small_pictures_are_those_of_pillows_bicubic_filter():
    noise = np.random.default_rng(0).integers(0, 256, (16, 16), dtype=np.uint8)
    for factor in (2, 4):
        ours = shrunk(torch.from_numpy(noise)[None, None], factor)[0, 0].numpy().astype(int)
        pillows = np.array(
            Image.fromarray(noise).resize((16 // factor, 16 // factor), Image.Resampling.BICUBIC)
        ).astype(int)
        assert abs(ours - pillows).max() <= 1


@pytest.fixture
def folder(tmp_path):
    """Pictures of 20 x 14 pixels, every pixel of which is another grey, and one that is smaller than a crop."""
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        Image.fromarray(np.arange(280).reshape(20, 14).clip(0, 255).astype(np.uint8)).save(tmp_path / split / "a.png")
    Image.fromarray(np.full((4, 6), 77, np.uint8)).save(tmp_path / "train" / "b.png")
    return tmp_path


def test_training_crops_are_windows_of_the_picture_at_its_own_scale(folder):
    data = Crops(DataFiles(folder, folder), "train", root=".", size=8, factor=2, channels=1)
    whole, places = np.arange(280).reshape(20, 14).clip(0, 255), set()
    for epoch in range(6):
        batch = data.batch(torch.tensor([0]), draws([0], epoch))
        x = batch["x"][0, 0].numpy()
        top, left = divmod(int(x[0, 0]), 14)
        assert (x == whole[top : top + 8, left : left + 8]).all()
        assert torch.equal(batch["low"], shrunk(batch["x"], 2))
        places.add((top, left))
    assert len(places) > 2, "the window moves"
    small = data.batch(torch.tensor([1]), draws([1]))["x"]
    assert torch.equal(small, torch.full((1, 1, 8, 8), 77, dtype=torch.uint8)), "enlarged to one crop"


def test_test_crops_are_the_middle(folder):
    data = Crops(DataFiles(folder, folder), "test", root=".", size=8, factor=2, channels=1)
    x = data.batch(torch.tensor([0]), draws([0]))["x"][0, 0].numpy()
    assert (x == np.arange(280).reshape(20, 14).clip(0, 255)[6:14, 3:11]).all()


def test_a_size_that_the_factor_does_not_divide_is_an_error(folder):
    with pytest.raises(UserError, match="take 9 or 12"):
        Crops(DataFiles(folder, folder), "test", root=".", size=10, factor=3)


def test_contours_are_as_sharp_as_pixels_allow_and_the_grain_alternates():
    """Left half 1, right half 0: the half-way line of the surface is the middle. Without grain, pixels are 1 or 0."""
    scans = torch.tensor([[1.0, 1.0, 0.0, 0.0]]).expand(1, 4, 4)
    x = sharp(scans, 8)
    assert torch.equal(x[0, 0], torch.tensor([1.0, 1, 1, 1, 0, 0, 0, 0]).double().expand(8, 8))
    for phase in (0, 1):
        rough = grained(x, 0.3, torch.tensor([phase]))[0, 0]
        assert rough[0, :4].tolist() == pytest.approx([0.7, 1, 0.7, 1] if phase else [1, 0.7, 1, 0.7])
        assert rough[1, :4].tolist() == pytest.approx([1, 0.7, 1, 0.7] if phase else [0.7, 1, 0.7, 1])


def test_of_the_grain_nothing_is_left_in_the_small_picture(tmp_path):
    """Inside a stroke the small picture is an even grey of 1 - 0.3 / 2 of white, whatever the phase."""
    flat = grained(torch.ones(2, 1, 16, 16), 0.3, torch.tensor([0, 1]))
    small = shrunk((flat * 255).round().to(torch.uint8), 4)
    assert (small.int() - round(255 * 0.85)).abs().max() <= 1
    kinds = SuperResolutionDigits(DataFiles(tmp_path, tmp_path), "train", size=16, factor=4)
    assert kinds.tensors["low"].shape[1:] == (1, 4, 4)


# --- scores ---------------------------------------------------------------------------------------------------


def level(x: float) -> float:
    return x / 127.5 - 1


def test_gain_by_hand_with_the_border_removed():
    """Inside a border of 2 the truth is 51, the filter says 0 and the generator 41: 20 log10(255 / 51) and 20 log10(255
    / 10) dB.

    What lies in the border, 255 in the truth, is nobody's business; without the crop it is most of the error.
    """
    truth = torch.full((1, 1, 8, 8), level(255))
    truth[:, :, 2:6, 2:6] = level(51)
    made, low = torch.full((1, 1, 8, 8), level(41)), torch.full((1, 1, 4, 4), level(0))
    scores = gains(made, truth, low, border=2)
    assert scores["bicubic.psnr.y"].value == pytest.approx(20 * math.log10(5))
    assert scores["gain.y"].value == pytest.approx(20 * math.log10(25.5) - 20 * math.log10(5))
    all_of_it = gains(made, truth, low, border=0)
    error = (48 * 255**2 + 16 * 51**2) / 64
    assert all_of_it["bicubic.psnr.y"].value == pytest.approx(10 * math.log10(255**2 / error))


def test_gain_of_colours_is_that_of_their_luminance():
    """An error of 10 levels in all channels is 10 (65.481 + 128.553 + 24.966) / 255 in Y, one of the same size in blue
    alone a ninth of it.
    """
    low = torch.full((1, 3, 4, 4), level(100))
    truth = torch.full((1, 3, 8, 8), level(110))
    made = truth.clone()
    made[:, 2] = level(100)
    scores = gains(made, truth, low, channel="y", border=2)
    assert scores["bicubic.psnr.y"].value == pytest.approx(20 * math.log10(255 / (10 * 219 / 255)))
    assert scores["gain.y"].value == pytest.approx(20 * math.log10(219 / 24.966))


def test_scores_of_colours_are_of_all_channels_and_named_so():
    low, truth = torch.full((1, 3, 4, 4), level(100)), torch.full((1, 3, 8, 8), level(110))
    assert gains(truth, truth, low, border=2).keys() == {"bicubic.psnr.rgb", "bicubic.ssim.rgb", "gain.rgb"}


def test_the_filter_is_that_of_pillow():
    noise = np.random.default_rng(1).integers(60, 196, (6, 6), dtype=np.uint8)
    ours = (enlarged(torch.from_numpy(noise)[None, None] / 127.5 - 1, 12, 12)[0, 0] + 1) * 127.5
    pillows = torch.from_numpy(np.array(Image.fromarray(noise).resize((12, 12), Image.Resampling.BICUBIC)))
    assert (ours - pillows).abs().max() <= 1


def test_what_is_not_finite_has_no_gain_and_the_filters_scores_stand():
    made = torch.full((1, 1, 8, 8), math.nan)
    scores = gains(made, torch.zeros(1, 1, 8, 8), torch.full((1, 1, 4, 4), 0.5), border=2)
    assert math.isnan(scores["gain.y"].value)
    assert math.isfinite(scores["bicubic.psnr.y"].value)
