"""Images in files that hold them wholly."""

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from ganrun.data import image_grid, image_writing
from ganrun.data.image_values import read_frames
from ganrun.data.image_writing import form_of, type_of, values_of, write_image


def ramp(channels, height=4, width=8):
    return torch.linspace(-1, 1, channels * height * width).view(channels, height, width)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_grey_colour_and_alpha_of_8_bits_are_png(tmp_path, channels, mode):
    file = write_image(ramp(channels), tmp_path / "a.png")
    assert file == tmp_path / "a.png"
    assert form_of(channels).why == ""
    with Image.open(file) as picture:
        assert picture.mode == mode
        expected = (ramp(channels) + 1).mul(127.5).round().permute(1, 2, 0).numpy()
        assert np.array_equal(np.asarray(picture).reshape(4, 8, channels), expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_what_png_held_before_has_the_same_bytes(tmp_path, channels):
    image = torch.rand(channels, 5, 7) * 2 - 1
    image_grid.save(image_grid.single(image), tmp_path / "before.png")
    assert write_image(image, tmp_path / "now.png").read_bytes() == (tmp_path / "before.png").read_bytes()


@pytest.mark.parametrize("channels", [2, 13])
def test_other_numbers_of_channels_are_tiff_bands(tmp_path, channels):
    file = write_image(ramp(channels), tmp_path / "a.png")
    assert file == tmp_path / "a.tif"
    bands = tifffile.imread(file)
    assert (bands.shape, bands.dtype) == ((4, 8, channels), np.uint8)
    assert np.array_equal(bands.transpose(2, 0, 1), (ramp(channels) + 1).mul(127.5).round().numpy())
    assert form_of(channels).why == f"{channels} channels of 8 bits, as TIFF, since PNG does not hold them"


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 13])
@pytest.mark.parametrize("values", [None, (0, 4095), (-2.0, 3.5)])
def test_ganrun_reads_what_it_writes(tmp_path, channels, values):
    file = write_image(ramp(channels), tmp_path / "new/a.png", values)
    (back,) = read_frames(file, channels=channels)  # (H, W, C)
    assert back.dtype == type_of(values)
    assert np.array_equal(back.transpose(2, 0, 1), values_of(ramp(channels), type_of(values), values))


def test_twelve_bits_come_back_as_they_were(tmp_path):
    levels = np.arange(4096, dtype=np.uint16).reshape(1, 64, 64)
    image = torch.from_numpy(levels.astype(np.float32) / 4095 * 2 - 1)
    file = write_image(image, tmp_path / "a.jpg", (0, 4095))
    assert file == tmp_path / "a.png"
    with Image.open(file) as picture:
        assert np.array_equal(np.asarray(picture), levels[0])
    colours = write_image(image.expand(3, -1, -1), tmp_path / "b.tif", (0, 4095))
    assert np.array_equal(tifffile.imread(colours), levels.repeat(3, 0).transpose(1, 2, 0))
    assert form_of(3, (0, 4095)).why == "RGB of 16 bits (0 to 4095)"


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (None, "uint8"),
        ((0, 255), "uint8"),
        ((0, 65535), "uint16"),
        ((0, 65536), "float32"),
        ((0.0, 1.0), "float32"),  # two whole numbers would be left
        ((-1000, 3000), "float32"),
        ((0.5, 4095), "float32"),
    ],
)
def test_the_range_of_values_decides_their_type(values, dtype):
    assert type_of(values) == dtype


def test_small_ranges_are_floats(tmp_path):
    file = write_image(ramp(1), tmp_path / "a.png", (0.0, 0.5))
    assert file.suffix == ".tif"
    values = tifffile.imread(file)
    assert values.dtype == np.float32
    assert (float(values.min()), float(values.max())) == (0.0, 0.5)


def test_without_its_packages_it_is_numpys_format_and_said(tmp_path, monkeypatch):
    monkeypatch.setattr(image_writing, "find_spec", lambda name: None)
    file = write_image(ramp(13), tmp_path / "a.png")
    assert file.suffix == ".npy"
    assert np.array_equal(np.load(file), (ramp(13) + 1).mul(127.5).round().numpy())
    assert form_of(13).why.endswith('; for other formats: pip install "ganrun[images]"')
    assert form_of(3, (0, 4095)).suffix == ".npy"
    assert form_of(1, (0, 4095)).suffix == ".png"


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("a.jpg", "JPEG"),
        ("a.jfif", "JPEG"),
        ("a.jp2", "JPEG2000"),
        ("a.webp", "WEBP"),
        ("a.avif", "AVIF"),
        ("a.bmp", "BMP"),
        ("a.pgm", "PPM"),
        ("a.TIFF", "TIFF"),
    ],
)
def test_a_name_keeps_a_format_that_holds_the_image(tmp_path, name, form):
    file = write_image(ramp(3), tmp_path / name)
    assert file == tmp_path / name
    with Image.open(file) as picture:
        assert picture.format == form


def test_alpha_does_not_go_into_a_jpeg(tmp_path):
    assert write_image(ramp(4), tmp_path / "a.jpg") == tmp_path / "a.png"
    assert form_of(4, suffix=".jpg").why == "RGB and alpha of 8 bits, as PNG, since .jpg does not hold them"
    assert write_image(ramp(4), tmp_path / "step.10") == tmp_path / "step.10.png"
    assert form_of(3, suffix=".gif").why == "256 colours, as GIF holds no more"


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.webp"])
def test_how_a_file_has_to_be_turned_stands_in_it(tmp_path, name):
    with Image.open(write_image(ramp(3), tmp_path / name, orientation=6)) as picture:
        assert picture.getexif()[image_writing.ORIENTATION] == 6


def test_what_is_no_number_is_dark(tmp_path):
    with Image.open(write_image(torch.full((1, 2, 2), float("nan")), tmp_path / "a.png")) as picture:
        assert np.asarray(picture).max() == 0
