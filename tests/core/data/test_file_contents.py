"""What one file holds: its facts, a hash of its bytes, and its small grey picture."""

import os

import numpy as np
import pytest
from PIL import Image

from ganrun.data.file_contents import SIDE, as_shown, contents
from ganrun.data.file_facts import look_at


@pytest.fixture
def picture():
    """A colour picture, 64 x 32, whose left half is dark and whose upper part is red."""
    values = np.zeros((32, 64, 3), np.uint8)
    values[:, 32:] = 200
    values[:8, :, 0] = 255
    return Image.fromarray(values)


def test_a_picture_of_that_size_is_its_own_small_grey_one(tmp_path):
    values = np.arange(SIDE * SIDE, dtype=np.uint8).reshape(SIDE, SIDE)
    Image.fromarray(values).save(tmp_path / "a.png")
    found = contents(tmp_path / "a.png")
    assert found.grey == bytes(range(256))
    assert (found.facts.size, found.facts.error, len(found.digest)) == ((16, 16), "", 32)


def test_one_value_throughout_looks_like_nothing(tmp_path):
    Image.new("RGB", (20, 20), (7, 7, 7)).save(tmp_path / "a.png")
    assert contents(tmp_path / "a.png").grey == b""


def test_the_same_bytes_have_the_same_digest(tmp_path, picture):
    picture.save(tmp_path / "a.png")
    (tmp_path / "b.jpg").write_bytes((tmp_path / "a.png").read_bytes())
    picture.save(tmp_path / "c.png", compress_level=0)
    a, b, c = (contents(tmp_path / name) for name in ("a.png", "b.jpg", "c.png"))
    assert a.digest == b.digest != c.digest
    assert a.grey == b.grey == c.grey


def test_a_turned_photograph_looks_as_it_is_shown(tmp_path, picture):
    picture.save(tmp_path / "upright.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise
    picture.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    assert contents(tmp_path / "turned.png").grey == contents(tmp_path / "upright.png").grey


def test_deep_values_are_spread_and_transparent_parts_are_white(tmp_path):
    ramp = np.linspace(100, 4095, 256).reshape(16, 16).round().astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    shown = np.asarray(as_shown(tmp_path / "deep.png", look_at(tmp_path / "deep.png"), 16))
    assert (shown.min(), shown.max()) == (0, 255)
    clear = Image.new("RGBA", (16, 16), (0, 0, 0, 0))
    clear.paste((10, 20, 30, 255), (0, 0, 8, 16))
    clear.save(tmp_path / "clear.png")
    shown = as_shown(tmp_path / "clear.png", look_at(tmp_path / "clear.png"), 16)
    assert [shown.getpixel(place) for place in ((0, 0), (15, 0))] == [(10, 20, 30), (255, 255, 255)]


def test_arrays_of_many_bands_are_shown_by_their_mean(tmp_path):
    values = np.zeros((20, 20, 13), np.float32)
    values[:, 10:] = 1
    np.save(tmp_path / "a.npy", values)
    shown = as_shown(tmp_path / "a.npy", look_at(tmp_path / "a.npy"), 16)
    assert (shown.mode, shown.getpixel((0, 0)), shown.getpixel((19, 0))) == ("L", 0, 255)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", "it is empty (0 bytes)"),
        (b"  <!DOCTYPE html><html></html>", "not an image: this is a web page"),
        (b"hello", "not an image: this is text"),
        (b"PK\x03\x04\x00\x00", "not an image: this is a zip archive"),
        (b"version https://git-lfs.github.com/spec/v1\n", "not an image: this is a pointer of Git LFS"),
        (b"\x89PNG\r\n\x1a\nxx", ""),
    ],
)
def test_what_a_file_is_instead_of_an_image(tmp_path, content, error):
    (tmp_path / "a.jpg").write_bytes(content)
    found = contents(tmp_path / "a.jpg").facts.error
    assert found.startswith(error)
    assert found
    assert str(tmp_path) not in found


def test_what_is_no_file_is_said(tmp_path):
    (tmp_path / "link.png").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe.png")
    assert contents(tmp_path / "link.png").facts.error == "this is a link to nothing"
    assert contents(tmp_path / "pipe.png").facts.error == "this is a pipe, not a file"


def test_a_cut_off_photograph_has_an_error_and_a_digest(tmp_path, picture):
    picture.resize((200, 200)).save(tmp_path / "a.jpg", quality=95)
    whole = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(whole[: len(whole) * 2 // 3])
    found = contents(tmp_path / "a.jpg")
    assert "truncated" in found.facts.error
    assert (found.facts.size, found.grey, len(found.digest)) == ((200, 200), b"", 32)


def test_pickled_objects_are_not_opened_and_are_called_so(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], object))
    assert contents(tmp_path / "a.npy").facts.error == "it holds pickled objects, which are never opened"
