"""Picture files: which are found, every mode of pixels, and what is refused by name."""

import os

import numpy as np
import pytest
from PIL import Image

from ganrun.data.image_files import find_pictures, list_pictures, read_picture
from ganrun.errors import DataError


def save(path, image=None, **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    (image or Image.new("RGB", (10, 8), (90, 20, 30))).save(path, **how)
    return path


def test_pictures_are_found_in_subfolders_sorted_and_without_hidden_ones(tmp_path):
    wanted = [save(tmp_path / name) for name in ("a/2.png", "a/10.JPG", "b.png")]
    for name in (".hidden.png", ".cache/x.png"):
        save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("none")
    assert find_pictures(tmp_path) == sorted(wanted)


def test_a_link_to_a_folder_above_it_is_followed_once(tmp_path):
    path = save(tmp_path / "a" / "1.png")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    assert find_pictures(tmp_path) == [path]


def test_a_folder_that_is_not_there_or_empty_is_refused(tmp_path):
    with pytest.raises(DataError, match="there is no such folder"):
        find_pictures(tmp_path / "gone")
    with pytest.raises(DataError, match=r"no images in it or its subfolders; known suffixes are .*\.bmp \.gif"):
        find_pictures(tmp_path)


def test_names_of_images_are_many_and_arrays_are_found_where_they_are_wanted(tmp_path):
    names = ["a.jfif", "b.JPE", "c.jp2", "d.npy", "e.npz"]
    for name in names:
        (tmp_path / name).touch()
    with pytest.warns(UserWarning, match=r"left out, as these are not read as images: 1 \.npy, 1 \.npz"):
        assert [path.name for path in find_pictures(tmp_path)] == names[:3]
    assert [path.name for path in list_pictures(tmp_path, arrays=True)] == names


def test_what_looks_like_data_and_is_not_read_is_counted_by_suffix(tmp_path):
    save(tmp_path / "1.png")
    for name in ("a.heic", "b.HEIC", "in/c.dcm", "notes.txt", "labels.csv", ".hidden.zip"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.warns(UserWarning, match=r": 1 \.dcm, 2 \.heic$"):
        find_pictures(tmp_path)
    (tmp_path / "1.png").unlink()
    with pytest.raises(DataError, match=r"no images in it or its subfolders, but 1 \.dcm, 2 \.heic; known"):
        find_pictures(tmp_path)


def palette(**how):
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 200, 100, 50])
    return image, how


@pytest.mark.parametrize(
    ("image", "name", "how", "rgb"),
    [
        (Image.new("L", (4, 4), 77), "a.png", {}, (77, 77, 77)),
        (Image.new("1", (4, 4), 1), "a.png", {}, (255, 255, 255)),
        (Image.new("RGB", (4, 4), (1, 2, 3)), "a.bmp", {}, (1, 2, 3)),
        (Image.new("RGBA", (4, 4), (1, 2, 3, 255)), "a.png", {}, (1, 2, 3)),
        (Image.new("RGBA", (4, 4), (1, 2, 3, 0)), "a.png", {}, (255, 255, 255)),
        (Image.new("RGBA", (4, 4), (0, 0, 0, 51)), "a.png", {}, (204, 204, 204)),
        (Image.new("LA", (4, 4), (9, 0)), "a.png", {}, (255, 255, 255)),
        (Image.new("RGB", (4, 4), (1, 2, 3)), "a.png", {"transparency": (1, 2, 3)}, (255, 255, 255)),
        (palette()[0], "a.png", {}, (200, 100, 50)),
        (palette()[0], "a.png", {"transparency": 1}, (255, 255, 255)),
        (palette()[0], "a.gif", {}, (200, 100, 50)),
        (Image.fromarray(np.full((4, 4), 65535, np.uint16)), "a.png", {}, (255, 255, 255)),
        (Image.fromarray(np.full((4, 4), 100 * 257, np.uint16)), "a.png", {}, (100, 100, 100)),
        (Image.fromarray(np.full((4, 4), 300, np.uint16)), "a.tiff", {}, (1, 1, 1)),
        (Image.new("CMYK", (4, 4), (0, 255, 255, 0)), "a.tiff", {}, (255, 0, 0)),
    ],
)
def test_every_mode_becomes_rgb(tmp_path, image, name, how, rgb):
    picture = read_picture(save(tmp_path / name, image, **how), 3)
    assert picture.mode == "RGB"
    assert picture.getpixel((0, 0)) == rgb


def test_a_picture_can_be_read_grey_or_with_its_alpha(tmp_path):
    path = save(tmp_path / "a.png", Image.new("RGBA", (4, 4), (10, 20, 30, 40)))
    assert read_picture(path, 4).getpixel((0, 0)) == (10, 20, 30, 40)
    assert read_picture(save(tmp_path / "b.png", Image.new("RGB", (4, 4), (255, 0, 0))), 1).getpixel((0, 0)) == 76


def test_the_exif_orientation_is_applied(tmp_path):
    image = Image.new("RGB", (4, 2))
    image.putpixel((0, 0), (255, 0, 0))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side: turn by 90 degrees clockwise
    turned = read_picture(save(tmp_path / "a.png", image, exif=exif), 3)
    assert turned.size == (2, 4)
    assert turned.getpixel((1, 0)) == (255, 0, 0)


@pytest.mark.parametrize(
    "image", [Image.fromarray(np.full((4, 4), 0.5, np.float32)), Image.fromarray(np.full((4, 4), 70000, np.int32))]
)
def test_values_without_a_known_range_are_refused_by_name(tmp_path, image):
    with pytest.raises(DataError, match=r"a\.tiff.*no known range.*8 or 16 bits"):
        read_picture(save(tmp_path / "a.tiff", image), 3)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_truncated_picture_is_refused_by_name(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = save(tmp_path / f"cut.{suffix}", Image.fromarray(noise))
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(DataError, match=rf"cut\.{suffix}: cannot be read as an image \(.+\); repair"):
        read_picture(path, 3)


@pytest.mark.parametrize(
    "content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 50, b"\xff\xd8\xff\xe0" + b"x" * 30]
)
def test_a_corrupt_picture_is_refused_by_name(tmp_path, content):
    (tmp_path / "bad.png").write_bytes(content)
    with pytest.raises(DataError, match=r"bad\.png: cannot be read as an image"):
        read_picture(tmp_path / "bad.png", 3)


@pytest.mark.parametrize("limit", [70, 30])
def test_a_decompression_bomb_is_refused_by_name(tmp_path, monkeypatch, limit):
    """Above the limit of pixels pillow warns, above twice the limit it raises: both are refused here."""
    path = save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(DataError, match=rf"bomb\.png: more than {limit} pixels"):
        read_picture(path, 3)


def test_a_pipe_among_images_is_left_out_with_a_warning_and_not_waited_for(tmp_path):
    path = save(tmp_path / "a.png")
    os.mkfifo(tmp_path / "b.png")
    with pytest.warns(UserWarning, match=r"b\.png: left out: this is a pipe, not a file"):
        assert find_pictures(tmp_path) == [path]
    with pytest.raises(DataError, match=r"b\.png: this is a pipe, not an image"):
        read_picture(tmp_path / "b.png", 3)


def test_links_that_lead_nowhere_are_found_and_refused_when_they_are_read(tmp_path):
    (tmp_path / "gone.png").symlink_to("nothing.png")
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "folder").symlink_to("folder")
    found = find_pictures(tmp_path)
    assert [path.name for path in found] == ["gone.png", "loop.png"]
    for path in found:
        with pytest.raises(DataError, match=path.name):
            read_picture(path, 3)
