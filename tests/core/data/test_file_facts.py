"""What one file is: types, bands, frames and ranges of every format, and why a file cannot be read."""

import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from ganrun.data.file_facts import look_at
from ganrun.data.image_values import read_frames

RAMP = np.arange(12, dtype=np.uint16).reshape(2, 2, 3) * 5000  # 0 to 55000


def png_of_16_bits(path, values):
    """A PNG file as the standard describes it: PIL writes none of several channels of 16 bits."""
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )
    return path


def tiff(path, values, **how):
    tifffile.imwrite(path, values, **how)
    return path


def test_a_png_of_three_channels_of_16_bits_keeps_all_values(tmp_path):
    path = png_of_16_bits(tmp_path / "a.png", RAMP)
    (values,) = read_frames(path)
    assert values.dtype == np.uint16
    assert (values == RAMP).all()
    facts = look_at(path)
    assert (facts.dtype, facts.channels, facts.low, facts.high, facts.bits) == ("uint16", 3, 0, 55000, 16)


@pytest.mark.parametrize(
    ("values", "how"),
    [
        (RAMP, {"photometric": "rgb"}),
        (RAMP[:, :, 0], {}),
        (RAMP.astype(np.int16)[:, :, 0] - 900, {}),
        (RAMP.astype(np.uint32)[:, :, 0] * 70000, {}),
        (RAMP.astype(np.float32)[:, :, 0] / 7, {}),
        (RAMP.astype(np.float64)[:, :, 0] / 7, {}),
        (np.arange(52, dtype=np.uint16).reshape(2, 2, 13), {"photometric": "minisblack", "planarconfig": "contig"}),
        (np.arange(28, dtype=np.uint8).reshape(2, 2, 7), {"photometric": "minisblack", "planarconfig": "contig"}),
    ],
)
def test_a_tiff_keeps_its_type_and_its_bands(tmp_path, values, how):
    path = tiff(tmp_path / "a.tif", values, **how)
    (found,) = read_frames(path)
    assert (found == values.reshape(found.shape)).all()
    facts = look_at(path)
    assert facts.error == ""
    assert facts.dtype == str(values.dtype)
    assert facts.size == (2, 2)
    assert facts.channels == (values.shape[2] if values.ndim == 3 else 1)
    assert (facts.low, facts.high) == (float(values.min()), float(values.max()))
    assert look_at(path, whole=False).dtype == str(values.dtype)


def test_bands_in_planes_of_their_own_become_the_last_axis(tmp_path):
    planes = np.arange(20, dtype=np.uint16).reshape(5, 2, 2)
    path = tiff(tmp_path / "a.tif", planes, photometric="minisblack", planarconfig="separate")
    (found,) = read_frames(path)
    assert (found == planes.transpose(1, 2, 0)).all()


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.tif", "a.avif"])
def test_frames_are_counted(tmp_path, name):
    pictures = [Image.new("RGB", (16, 8), (60 * k, 0, 0)) for k in range(4)]
    pictures[0].save(tmp_path / name, save_all=True, append_images=pictures[1:])
    facts = look_at(tmp_path / name, whole=False)
    assert (facts.frames, facts.size, facts.low) == (4, (16, 8), None)
    assert len(read_frames(tmp_path / name)) == 4


@pytest.mark.parametrize(
    ("shape", "channels", "found"),
    [
        ((4, 6), 0, (4, 6, 1)),
        ((4, 6, 3), 0, (4, 6, 3)),
        ((3, 4, 6), 0, (4, 6, 3)),
        ((13, 16, 16), 0, (16, 16, 13)),
        ((9, 11, 13), 13, (9, 11, 13)),
        ((13, 9, 11), 13, (9, 11, 13)),
        ((5, 4, 6, 3), 0, (4, 6, 3)),
    ],
)
def test_the_channels_of_an_array_are_found(tmp_path, shape, channels, found):
    np.save(tmp_path / "a.npy", np.zeros(shape))
    frames = read_frames(tmp_path / "a.npy", channels=channels)
    assert frames[0].shape == found
    assert len(frames) == (shape[0] if len(shape) == 4 else 1)


def test_an_npz_file_of_several_arrays_gives_the_one_called_x(tmp_path):
    np.savez(tmp_path / "a.npz", y=np.zeros(3), x=np.full((2, 2), True))
    assert (read_frames(tmp_path / "a.npz")[0] == 255).all()  # yes is white
    np.savez(tmp_path / "b.npz", left=np.zeros((2, 2)), right=np.zeros((2, 2)))
    assert "it holds left, right" in look_at(tmp_path / "b.npz").error


def test_what_cannot_be_read_has_a_reason_and_what_its_head_tells(tmp_path):
    values = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(values).save(tmp_path / "a.jpg")
    whole = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    cut = look_at(tmp_path / "cut.jpg")
    assert cut.error.startswith("image file is truncated")
    assert cut.size == (64, 64)
    assert look_at(tmp_path / "cut.jpg", whole=False).error == ""
    (tmp_path / "text.png").write_text("no image")
    assert look_at(tmp_path / "text.png").error == "not an image of a known format, or damaged at its beginning"
    assert look_at(tmp_path / "gone.png").error == "No such file or directory"
    np.save(tmp_path / "nan.npy", np.array([[1.0, np.nan]]))
    assert look_at(tmp_path / "nan.npy").error == "it holds numbers that are not finite"
    np.save(tmp_path / "row.npy", np.zeros(5))
    assert look_at(tmp_path / "row.npy").error.startswith("float64 (5,) is no image")


def test_without_the_extra_several_channels_of_16_bits_are_read_as_8_and_said_to_be(tmp_path, monkeypatch):
    path = png_of_16_bits(tmp_path / "a.png", RAMP)
    monkeypatch.setattr("ganrun.data.image_values.find_spec", lambda name: None)
    facts = look_at(path)
    assert (facts.cut, facts.dtype, facts.low, facts.high) == (True, "uint8", 0, 55000 >> 8)
    (values,) = read_frames(path)
    assert (values == RAMP >> 8).all()
