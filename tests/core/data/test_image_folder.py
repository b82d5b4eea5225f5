"""Plain folders of pictures as data: their order, how they are read, their fingerprint."""

import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from torch_fidelity.datasets import ImagesPathDataset

from ganrun.data.image_folder import PictureFolder
from ganrun.data.reader import read_items
from ganrun.errors import DataError

QUARTER_TURN = 6


def save(path, width=4, height=2, level=0, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (width, height), level).save(path, **options)


def test_the_first_pictures_are_of_all_subfolders(tmp_path):
    """Folders are often sorted by class, and 10,000 pictures are looked at: by path they would be of the first classes
    alone.
    """
    for name in ("cat", "dog"):
        for i in range(50):
            save(tmp_path / name / f"{i}.png")
    first = [name.split("/")[0] for name in PictureFolder(tmp_path).names[:50]]
    assert 15 < first.count("cat") < 35


def test_two_folders_of_the_same_names_have_the_same_order(tmp_path):
    for i in range(20):
        save(tmp_path / "one" / f"{i}.png")
        save(tmp_path / "other" / f"{i}.bmp")
    assert PictureFolder(tmp_path / "one").names == PictureFolder(tmp_path / "other").names


def test_a_picture_on_its_side_has_the_shape_that_it_is_read_with(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = QUARTER_TURN
    save(tmp_path / "a.jpg", 4, 2, exif=exif)
    for reading, shape in (("plain", (1, 2, 4)), ("shown", (1, 4, 2))):
        folder = quietly(tmp_path, reading=reading)
        (items,) = read_items(folder)
        assert folder.spaces["x"].shape == tuple(items["x"].shape[1:]) == shape
    save(tmp_path / "b.png", 4, 2)
    quietly(tmp_path)
    with pytest.raises(DataError, match="images of several sizes"):
        quietly(tmp_path, reading="shown")


def test_the_fingerprint_follows_bytes_and_names_one_file_at_a_time(tmp_path):
    save(tmp_path / "a.png", level=1)
    before = PictureFolder(tmp_path).fingerprint()
    assert PictureFolder(tmp_path).fingerprint() == before
    assert PictureFolder(tmp_path, channels=3).fingerprint() != before
    save(tmp_path / "a.png", level=2)
    changed = PictureFolder(tmp_path).fingerprint()
    (tmp_path / "a.png").rename(tmp_path / "ü.png")
    assert len({before, changed, PictureFolder(tmp_path).fingerprint()}) == 3
    folder = PictureFolder(tmp_path)
    (tmp_path / "ü.png").unlink()
    with pytest.raises(DataError, match="cannot be read"):
        folder.fingerprint()


def quietly(root, **settings):
    """A folder, whatever it warns of."""
    with warnings.catch_warnings(action="ignore"):
        return PictureFolder(root, **settings)


def odd(root):
    """A folder of four by four pixels: a palette, CMYK, transparency, 16 bits, two levels, and on its side."""
    random = np.random.default_rng(0)
    colours = Image.fromarray(random.integers(0, 256, (4, 4, 3), dtype=np.uint8))
    colours.save(root / "rgb.png")
    colours.convert("P").save(root / "palette.gif")
    colours.convert("CMYK").save(root / "cmyk.tif")
    colours.convert("1").save(root / "bits.png")
    Image.fromarray(random.integers(0, 256, (4, 4, 4), dtype=np.uint8)).save(root / "alpha.png")
    Image.fromarray(random.integers(0, 600, (4, 4), dtype=np.uint16)).save(root / "deep.png")
    exif = Image.Exif()
    exif[0x0112] = QUARTER_TURN
    colours.save(root / "turned.jpg", exif=exif)


def test_files_are_read_bit_for_bit_as_the_reference_code_of_fid_does(tmp_path):
    odd(tmp_path)
    folder = quietly(tmp_path)
    want = torch.stack([ImagesPathDataset([str(path)])[0] for path in folder.paths])
    got = folder.batch(torch.arange(len(folder)), None)["x"]
    assert torch.equal(got, want)


def test_grey_files_keep_one_channel_of_the_same_reading(tmp_path):
    Image.fromarray(np.arange(0, 512, 32, dtype=np.uint16).reshape(4, 4)).save(tmp_path / "a.png")
    got = quietly(tmp_path).batch(torch.tensor([0]), None)["x"]
    assert got.shape == (1, 1, 4, 4)
    assert torch.equal(got[0].expand(3, 4, 4), ImagesPathDataset([str(tmp_path / "a.png")])[0])


def test_what_is_read_otherwise_than_shown_is_warned_of_and_noted_with_numbers(tmp_path):
    odd(tmp_path)
    with pytest.warns(UserWarning, match=r"transparency dropped \(1 of 7\).*reference code of FID.*--reading shown"):
        plain = PictureFolder(tmp_path)
    shown = PictureFolder(tmp_path, reading="shown")
    assert plain.preparation == (
        "read as PIL's convert('RGB'); not turned as EXIF says (1 of 7); transparency dropped (1 of 7); "
        "values above 255 cut off (1 of 7); grey repeated (2 of 7); not scaled"
    )
    assert shown.preparation == (
        "read as shown; turned as EXIF says (1 of 7); transparent parts on white (1 of 7); "
        "16 bits scaled to 8 (1 of 7); grey repeated (2 of 7); not scaled"
    )
    assert (plain.departs, shown.departs) == (False, True)
    assert plain.fingerprint() != shown.fingerprint()


def test_scaling_is_noted_if_it_changes_an_image(tmp_path):
    save(tmp_path / "a.png", 4, 4)
    same, other = PictureFolder(tmp_path, side=4), PictureFolder(tmp_path, side=8)
    assert same.preparation == "read as PIL's convert('RGB'); not scaled"
    assert other.preparation == "read as PIL's convert('RGB'); scaled to 8 x 8 (bicubic, antialiased)"
    assert (same.departs, other.departs) == (False, True)


def test_both_readings_of_ordinary_files_are_one(tmp_path):
    save(tmp_path / "a.png", level=7)
    assert not PictureFolder(tmp_path, reading="shown").departs


def test_transparent_parts_are_white_where_files_are_read_as_shown(tmp_path):
    Image.new("RGBA", (2, 2), (0, 0, 0, 0)).save(tmp_path / "a.png")
    (items,) = read_items(PictureFolder(tmp_path, reading="shown"))
    assert torch.equal(items["x"], torch.ones(1, 3, 2, 2))


def test_floating_point_files_are_refused_in_either_reading(tmp_path):
    """PIL's conversion cuts them off to 0 and 1 of 255 levels without a word."""
    Image.fromarray(np.full((4, 4), 0.5, np.float32)).save(tmp_path / "a.tif")
    for reading in ("plain", "shown"):
        with pytest.raises(DataError, match="floating-point values have no known range"):
            list(read_items(quietly(tmp_path, reading=reading)))
