"""Plain folders of pictures as data: their order, their shape as they are seen, their fingerprint."""

import pytest
import torch
from PIL import Image

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


def test_a_picture_on_its_side_has_the_shape_that_it_is_seen_with(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = QUARTER_TURN
    save(tmp_path / "turned" / "a.jpg", 4, 2, exif=exif)
    folder = PictureFolder(tmp_path / "turned")
    (items,) = read_items(folder)
    assert folder.spaces["x"].shape == tuple(items["x"].shape[1:]) == (1, 4, 2)
    save(tmp_path / "turned" / "b.png", 4, 2)
    with pytest.raises(DataError, match="images of several sizes"):
        PictureFolder(tmp_path / "turned")


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


def test_transparent_parts_are_white(tmp_path):
    Image.new("RGBA", (2, 2), (0, 0, 0, 0)).save(tmp_path / "a.png")
    (items,) = read_items(PictureFolder(tmp_path))
    assert torch.equal(items["x"], torch.ones(1, 3, 2, 2))
