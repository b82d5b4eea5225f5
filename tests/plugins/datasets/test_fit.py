"""How images of any shape are fitted to one: scaled, cropped, padded, mirrored, and said in words."""

import numpy as np
import pytest
import torch
from PIL import Image

from ganrun.errors import DataError
from ganrun.plugin.data import DataFiles, read_picture
from ganrun.randomness import ItemDraws
from ganrun_plugins.datasets._centre import CentreFit
from ganrun_plugins.datasets._fit import Fit, load_sides
from ganrun_plugins.datasets.image_folder import ImageFolder
from ganrun_plugins.datasets.super_resolution import Unscaled


def save(path, image, **how):
    image.save(path, **how)
    return path


def draws(indices, epoch=0):
    return ItemDraws((0,), np.asarray(epoch), np.asarray(indices))


def ramp(width, height):
    """Red is the column, green the row."""
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    return Image.fromarray(np.stack([columns, rows, columns * 0], axis=-1).astype(np.uint8))


def test_a_picture_of_the_right_size_stays_as_it_is(tmp_path):
    path = save(tmp_path / "a.png", ramp(16, 16))
    x = Fit(3, 16, 16).scaled(path)
    assert np.array_equal(x[0], np.tile(np.arange(16), (16, 1)))
    assert np.array_equal(x[1].T, x[0])


def test_the_middle_is_cut_from_an_oblong_picture(tmp_path):
    x = Fit(3, 16, 16).scaled(save(tmp_path / "a.png", ramp(26, 16)))
    assert x.shape == (3, 16, 16)
    assert x[0, 0].tolist() == list(range(5, 21))


def test_stretching_keeps_everything(tmp_path):
    x = Fit(3, 16, 16, resize="squash").scaled(save(tmp_path / "a.png", ramp(64, 16)))
    assert x.shape == (3, 16, 16)
    assert x[0, 0, 0] < 3
    assert x[0, 0, -1] > 60


def test_random_crops_take_every_place_and_flips_half():
    """From 6 to 4 pixels there are 3 x 3 windows; the crop of an item does not depend on its batch."""
    picture = torch.arange(36, dtype=torch.uint8).reshape(1, 6, 6)
    fit = Fit(1, 4, 6, resize="squash", random=True, flip=True)
    many = np.arange(400)
    crops = fit.cropped([picture] * 400, draws(many), "x")
    corners = {(int(c[0, 0, 0]), int(c[0, 0, -1])) for c in crops}
    assert corners == {
        (6 * t + left + 3 * f, 6 * t + left + 3 * (1 - f)) for t in range(3) for left in range(3) for f in (0, 1)
    }
    mirrored = (crops[:, 0, 0, 0] > crops[:, 0, 0, 1]).float().mean().item()
    assert mirrored == pytest.approx(0.5, abs=0.1)
    assert torch.equal(fit.cropped([picture], draws([7]), "x")[0], crops[7])
    assert not torch.equal(fit.cropped([picture] * 400, draws(many, epoch=1), "x"), crops)


@pytest.mark.parametrize(
    ("size", "resize", "shape", "columns", "rows"),
    [
        # 32 x 16 -> 16 columns, 8 rows: every second one, two by two
        ((8, 16), "squash", (8, 16), (1, 30), (1, 14)),
        ((8, 16), "crop", (8, 16), (1, 30), (1, 14)),
        # scaled to 16 x 32, of which rows stay as they are and columns 8 to 23 are the middle
        ((16, 16), "crop", (16, 16), (8, 23), (0, 15)),
        # a width of 16 gives 8 rows; the middle 4 are 2 to 5
        ((4, 16), "scale-width", (4, 16), (1, 30), (5, 10)),
    ],
)
def test_images_of_one_aspect_become_those_of_another_by_the_rule(tmp_path, size, resize, shape, columns, rows):
    """The ends of a ramp of 32 columns and 16 rows; averaging two by two gives what is half-way between."""
    x = Fit(3, size, size, resize).scaled(save(tmp_path / "a.png", ramp(32, 16)))
    assert x.shape == (3, *shape)
    ends = [int(x[0, 0, 0]), int(x[0, 0, -1]), int(x[1, 0, 0]), int(x[1, -1, 0])]
    assert ends == pytest.approx([*columns, *rows], abs=1)


@pytest.mark.parametrize(
    ("pad", "outside"), [("black", (0, 0, 0)), ("grey", (128,) * 3), ("white", (255,) * 3), ("edge", (9, 20, 30))]
)
def test_an_image_that_is_fitted_lies_whole_in_the_middle_and_the_rest_has_the_colour(pad, outside):
    """32 x 16 pixels into 16 x 16: 8 rows in the middle, 4 padded above and below."""
    x = Fit(3, 16, 16, "fit", pad=pad).scaled_picture(Image.new("RGB", (32, 16), (9, 20, 30)))
    assert x.shape == (3, 16, 16)
    assert [tuple(x[:, row, 5].tolist()) for row in (3, 4, 11, 12)] == [outside, (9, 20, 30), (9, 20, 30), outside]


def test_where_an_image_with_alpha_is_padded_it_is_transparent():
    x = Fit(4, 8, 8, "fit", pad="white").scaled_picture(Image.new("RGBA", (16, 8), (9, 20, 30, 255)))
    assert (x[:, 0, 0].tolist(), x[:, 4, 0].tolist()) == ([255, 255, 255, 0], [9, 20, 30, 255])


def test_a_lower_image_than_asked_for_is_stretched_by_scale_width():
    """As CycleGAN's option does: 32 x 4 become 16 x 8, not 16 x 2."""
    x = Fit(1, (8, 16), (8, 16), "scale-width").scaled_picture(Image.new("L", (32, 4), 7))
    assert x.shape == (1, 8, 16)
    assert (x == 7).all()


@pytest.mark.parametrize("resize", ["squash", "crop", "fit", "scale-width"])
@pytest.mark.parametrize("fit", [Fit, CentreFit])
def test_bytes_are_fitted_alike_as_an_image_and_as_an_array(fit, resize):
    noise = np.random.default_rng(0).integers(0, 256, (23, 41, 3), dtype=np.uint8)
    one = fit(3, (12, 16), (12, 16), resize)
    assert np.array_equal(
        one.scaled_picture(Image.fromarray(noise)), one.scaled_array(np.ascontiguousarray(noise.transpose(2, 0, 1)))
    )


def test_floats_of_thirteen_channels_keep_what_256_levels_lose_and_stay_in_range():
    """A step between -1 and 1 overshoots under a bicubic filter; halves of 1/1000 are no multiples of 1/127.5."""
    fine = np.linspace(0, 0.001, 13, dtype=np.float32)
    x = Fit(13, (4, 8), (4, 8), "squash").scaled_array(np.tile(fine[:, None, None], (1, 8, 16)))
    assert (x.shape, x.dtype) == ((13, 4, 8), np.float32)
    assert np.allclose(x[:, 2, 3], fine, atol=1e-7)
    step = np.where(np.arange(8) < 4, -1, 1).astype(np.float32)
    wide = Fit(1, (8, 24), (8, 24), "squash").scaled_array(np.tile(step, (1, 8, 1)))
    assert (wide.min(), wide.max()) == (-1, 1)
    padded = Fit(1, 8, 8, "fit", pad="white").scaled_array(np.zeros((1, 4, 8), np.float32))
    assert padded[0, :, 0].tolist() == [1, 1, 0, 0, 0, 0, 1, 1]


def test_a_random_window_of_a_rectangle_takes_every_place():
    picture = torch.arange(24, dtype=torch.uint8).reshape(1, 4, 6)
    crops = Fit(1, (3, 4), (4, 6), "squash", random=True).cropped([picture] * 200, draws(range(200)), "x")
    assert crops.shape == (200, 1, 3, 4)
    assert {int(c[0, 0, 0]) for c in crops} == {6 * top + left for top in range(2) for left in range(3)}


@pytest.mark.parametrize(
    ("size", "load_size", "resize", "expected"),
    [
        ((64, 96), None, "squash", (72, 107)),  # 286 / 256 of each
        ((64, 96), 72, "squash", (72, 108)),  # the short side, and the aspect of the size
        ((64, 96), 72, "crop", (72, 108)),
        ((64, 96), 120, "scale-width", (64, 120)),  # of that rule it is the width
        ((64, 96), (70, 100), "fit", (70, 100)),
        (256, None, "crop", (286, 286)),
    ],
)
def test_what_training_images_are_scaled_to_follows_from_the_load_size(size, load_size, resize, expected):
    assert load_sides("", size, load_size, resize) == expected


def test_a_colour_is_refused_where_nothing_is_padded():
    with pytest.raises(DataError, match="pad: white is for resize: fit, and it is crop"):
        Fit(3, 8, 8, pad="white")


def test_a_load_size_below_a_side_of_the_size_is_refused():
    with pytest.raises(DataError, match=r"load_size \[64, 90\] is smaller than size \[64, 96\]"):
        load_sides("", (64, 96), (64, 90), "squash")


def test_a_fit_that_uses_nothing_new_is_what_fingerprints_of_earlier_versions_hold():
    """Else a run that is resumed would say that its data changed."""
    held = "Fit(channels=3, size=8, load=9, stretch=True, random=True, flip=False)"
    assert repr(Fit(3, 8, 9, "squash", random=True)) == repr(Fit(3, (8, 8), (9, 9), "squash", random=True)) == held
    assert repr(Fit(3, 8, 8)) == "Fit(channels=3, size=8, load=8, stretch=False, random=False, flip=False)"
    new = [Fit(3, 8, 8), Fit(3, 8, 8, "fit"), Fit(3, 8, 8, "fit", pad="edge"), Fit(3, 8, 8, "scale-width")]
    assert len({*map(repr, new)}) == 4
    assert "size=(8, 6)" in repr(Fit(3, (8, 6), (8, 6)))


@pytest.mark.parametrize(
    ("fit", "words"),
    [
        (Fit(1, 8, 8, resize="squash"), "grey; scaled to 8 x 8 (bicubic, antialiased)"),
        (
            Fit(3, 8, 9, resize="squash", random=True, flip=True),
            "RGB; scaled to 9 x 9 (bicubic, antialiased); a random window of 8 x 8; half of them mirrored",
        ),
        (CentreFit(3, 8, 8, crop=20), "RGB; the middle square of 20 pixels; scaled to 8 x 8 (bicubic, antialiased)"),
        (
            CentreFit(3, 8, 8, interpolation="bilinear", flip=True),
            "RGB; the middle square of the short side; scaled to 8 x 8 (bilinear, antialiased); half of them mirrored",
        ),
        (CentreFit(3, 8, 8, crop=8, centre=(6, 4)), "RGB; the square of 8 pixels around column 6, row 4; not scaled"),
        (
            CentreFit(3, 8, 8, crop=9, centre=(6, 4)),
            "RGB; the square of 9 pixels around column 6, row 4; scaled to 8 x 8 (bicubic, antialiased)",
        ),
        (
            Fit(3, (8, 12), (9, 14), "squash", random=True),
            "RGB; scaled to 9 x 14 (height x width) (bicubic, antialiased); a random window of 8 x 12 (height x width)",
        ),
        (
            Fit(3, (8, 12), (8, 12)),
            "RGB; scaled to cover 8 x 12 (height x width) (bicubic, antialiased); "
            "a middle window of 8 x 12 (height x width)",
        ),
        (Fit(1, 8, 8, "fit"), "grey; scaled to fit into 8 x 8 (bicubic, antialiased); padded with black"),
        (
            Fit(13, (8, 12), (8, 12), "scale-width"),
            "13 channels; scaled to a width of 12, at least 8 high (bicubic, antialiased); "
            "a middle window of 8 x 12 (height x width)",
        ),
        (
            CentreFit(3, (8, 12), (8, 12), crop=20),
            "RGB; the middle square of 20 pixels; the middle of its aspect of 8 x 12 (height x width); "
            "scaled to 8 x 12 (height x width) (bicubic, antialiased)",
        ),
        (
            CentreFit(3, 8, 8, "fit", pad="edge"),
            "RGB; scaled to fit into 8 x 8 (bicubic, antialiased); padded with its edge",
        ),
        (
            Unscaled(4, 8, 8),
            "RGB and alpha; not scaled, unless it is smaller than the window; a middle window of 8 x 8",
        ),
    ],
)
def test_what_is_done_to_an_image_in_words(fit, words):
    assert fit.words() == words


# --- JPEGs decoded at a smaller scale ----------------------------------------------------------------------------


def test_a_large_jpeg_is_decoded_at_a_smaller_scale_if_that_is_asked_for(tmp_path):
    path = save(tmp_path / "a.jpg", ramp(200, 160).resize((400, 320)), quality=95)
    small = save(tmp_path / "b.jpg", ramp(120, 120), quality=95)
    assert read_picture(path, 3, at_least=64).size == (100, 80)  # a quarter: an eighth would be 50 x 40
    exact, draft = Fit(3, 32, 32), Fit(3, 32, 32, draft=True)
    difference = np.abs(exact.scaled(path).astype(int) - draft.scaled(path))
    assert 0 < difference.mean() < 2
    assert np.array_equal(exact.scaled(small), draft.scaled(small))
    assert "draft" not in repr(exact)
    assert "draft=True" in repr(draft)


def test_a_smaller_scale_is_said_and_no_score_is_called_fid(tmp_path):
    for i in range(3):
        save(tmp_path / f"{i}.jpg", ramp(200, 160))
    plain, draft = (
        ImageFolder(DataFiles(tmp_path, tmp_path), "train", root=".", size=16, draft=draft) for draft in (False, True)
    )
    assert (plain.departs, draft.departs) == (False, True)
    assert "large JPEGs decoded at a smaller scale" in draft.preparation
    assert plain.fingerprint() != draft.fingerprint()
