"""Image files as a run takes them: turned, with all their values, and with what reading changed."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from ganrun.data.image_writing import write_image
from ganrun.errors import DataError
from ganrun.inference.given_images import read_given, scaled, turned_back


def drawn(channels, height=5, width=7):
    return torch.rand(channels, height, width, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_turned_for_the_network_and_back_for_its_file(tmp_path, orientation):
    stored = drawn(3)
    place = write_image(stored, tmp_path / "a.png", orientation=orientation)
    given = read_given(place, 3)
    assert given.orientation == orientation
    with Image.open(place) as picture:
        shown = np.asarray(ImageOps.exif_transpose(picture)).transpose(2, 0, 1)
    assert np.array_equal((given.image + 1).mul(127.5).round().numpy(), shown)
    assert turned_back(given.image, orientation).shape == stored.shape
    assert (turned_back(given.image, orientation) - stored).abs().max() < 0.01


def test_what_reading_changes_is_said(tmp_path):
    write_image(drawn(4), tmp_path / "alpha.png")
    write_image(drawn(1), tmp_path / "deep.png", (0, 65535))
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "frames.gif", save_all=True, append_images=frames[1:])
    Image.new("RGBA", (4, 4), (1, 2, 3, 255)).save(tmp_path / "opaque.png")
    assert read_given(tmp_path / "alpha.png", 3).said == (
        "transparent parts lie on white, and the translation is opaque",
    )
    assert read_given(tmp_path / "alpha.png", 4).said == read_given(tmp_path / "opaque.png", 3).said == ()
    assert read_given(tmp_path / "deep.png", 1).said == ("more than 8 bits are read as 8, as the run was trained",)
    assert read_given(tmp_path / "frames.gif", 3).said == ("the first of several frames is translated",)


def test_twelve_bits_keep_their_levels_and_eight_are_0_to_255(tmp_path):
    levels = torch.arange(4096).view(1, 64, 64) / 4095 * 2 - 1
    write_image(levels, tmp_path / "deep.png", (0, 4095))
    given = read_given(tmp_path / "deep.png", 1, (0, 4095))
    assert len(given.image.unique()) == 4096
    assert torch.allclose(given.image, levels, atol=1e-6)
    plain = read_given(write_image(drawn(1), tmp_path / "plain.png"), 1, (0, 4095))
    assert (plain.image - drawn(1)).abs().max() < 0.01
    assert plain.said == ("8 bits are read as 0 to 255, beside the run's 0 to 4095",)


@pytest.mark.parametrize("name", ["a.tif", "a.npy"])
def test_many_channels_are_read_as_they_are(tmp_path, name):
    given = read_given(write_image(drawn(13), tmp_path / name, (0.0, 2.0)), 13, (0.0, 2.0))
    assert torch.allclose(given.image, drawn(13), atol=1e-6)


def test_other_channels_than_the_run_takes_are_refused(tmp_path):
    place = write_image(drawn(13), tmp_path / "a.npy")
    with pytest.raises(DataError, match="where 6 are wanted"):
        read_given(place, 6)


def test_scaling_is_pils_also_of_floats():
    x = drawn(3, 20, 10)
    levels = (x + 1).mul(127.5).round().byte().permute(1, 2, 0).numpy()
    expected = np.asarray(Image.fromarray(levels).resize((6, 8), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
    assert np.array_equal((scaled(x, (6, 8)) + 1).mul(127.5).round().numpy(), expected)
    assert (scaled(x, (6, 8), (0.0, 1.0)) - scaled(x, (6, 8))).abs().max() < 0.02
    assert scaled(x, (10, 20)) is x
