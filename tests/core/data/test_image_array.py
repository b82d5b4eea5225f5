"""Values of files in [-1, 1]: ranges given and measured, channels, alpha, frames."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from ganrun.data.file_facts import FileFacts, look_at
from ganrun.data.image_array import ValueRange, measured_range, read_array
from ganrun.errors import DataError


def saved(path, values):
    if path.suffix == ".npy":
        np.save(path, values)
    elif path.suffix == ".tif":
        tifffile.imwrite(path, values, photometric="minisblack", planarconfig="contig" if values.ndim == 3 else None)
    else:
        Image.fromarray(values).save(path)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.npy"])
def test_a_range_keeps_all_levels_of_12_bits(tmp_path, name):
    values = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    found = read_array(saved(tmp_path / name, values), 1, ValueRange(0, 4095))
    assert found.shape == (1, 64, 64)
    assert found.dtype == np.float32
    assert len(np.unique(found)) == 4096
    assert (found[0, 0, 0], found[0, 63, 63]) == (-1, 1)
    assert (np.rint((found[0].astype(np.float64) + 1) * 2047.5) == values).all()


def test_values_outside_a_range_are_cut_off_and_floats_are_scaled(tmp_path):
    path = saved(tmp_path / "a.tif", np.array([[-1.0, 0.0], [0.25, 7.0]], np.float32))
    assert read_array(path, 1, ValueRange(0, 1))[0].tolist() == [[-1, -1], [-0.5, 1]]


def test_a_given_range_is_one_for_bytes_too_and_a_measured_one_leaves_them_theirs(tmp_path):
    path = saved(tmp_path / "a.png", np.array([[0, 1], [255, 51]], np.uint8))
    assert read_array(path, 1, ValueRange(0, 1))[0].tolist() == [[-1, 1], [1, 1]]
    assert read_array(path, 1, ValueRange(0, 4095, given=False))[0] == pytest.approx(
        np.array([[-1, -253 / 255], [1, -0.6]])
    )


def test_without_a_range_bytes_stay_as_they_are_and_others_are_refused(tmp_path):
    values = np.arange(52, dtype=np.uint8).reshape(2, 2, 13)
    assert (read_array(saved(tmp_path / "a.npy", values), 13) == values.transpose(2, 0, 1)).all()
    assert (read_array(saved(tmp_path / "a.tif", values), 13) == values.transpose(2, 0, 1)).all()
    with pytest.raises(DataError, match=r"b\.npy: float64 values have no known range; set `range: \[LOW, HIGH\]`"):
        read_array(saved(tmp_path / "b.npy", np.ones((2, 2))), 1)


def test_channels_are_made_others_where_that_loses_nothing_but_colour(tmp_path):
    colours = np.array([[[1000, 0, 0], [0, 1000, 0]]] * 5, np.uint16)
    path = saved(tmp_path / "a.npy", colours)
    assert read_array(path, 1, ValueRange(0, 1000))[0] == pytest.approx(np.array([[2 * 0.299 - 1, 2 * 0.587 - 1]] * 5))
    grey = saved(tmp_path / "b.npy", colours[:, :, 0])
    assert read_array(grey, 3, ValueRange(0, 1000))[:, 0].tolist() == [[1, -1]] * 3
    with pytest.raises(DataError, match="it has 3 channels where 2 are wanted; set `channels: 3`"):
        read_array(path, 2, ValueRange(0, 1000))


def test_one_of_several_frames_is_read(tmp_path):
    frames = [Image.new("L", (2, 2), value) for value in (0, 100, 200)]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    assert [read_array(tmp_path / "a.tif", 1, frame=k)[0, 0, 0] for k in range(3)] == [0, 100, 200]
    np.save(tmp_path / "a.npy", np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3))
    assert read_array(tmp_path / "a.npy", 3, frame=1)[:, 0, 0].tolist() == [12, 13, 14]


def test_what_cannot_be_read_is_named(tmp_path):
    (tmp_path / "a.npy").write_bytes(b"no array")
    with pytest.raises(DataError, match=r"a\.npy: cannot be read as an image"):
        read_array(tmp_path / "a.npy", 1)
    with pytest.raises(DataError, match=r"b\.npy: it holds numbers that are not finite"):
        read_array(saved(tmp_path / "b.npy", np.array([[np.nan, 1]])), 1, ValueRange(0, 1))


@pytest.mark.parametrize(
    ("kind", "low", "high", "found"),
    [
        ("uint16", 3, 3998, (0, 4095)),
        ("uint16", 0, 300, (0, 511)),
        ("uint16", 0, 65535, (0, 65535)),
        ("int16", -1000, 3000, (-1000, 3000)),
        ("uint32", 0, 70000, (0, 70000)),
        ("float32", 0.1, 0.9, (0, 1)),
        ("float32", -0.1, 0.9, (-1, 1)),
        ("float64", 0, 300, (0, 300)),
    ],
)
def test_a_range_is_measured(tmp_path, kind, low, high, found):
    facts = [FileFacts(dtype=kind, low=low, high=high), FileFacts(low=0, high=255)]
    values, words = measured_range(facts, tmp_path)
    assert values == ValueRange(*found, given=False)
    assert words == f"1 file of {kind} with values {low:g} to {high:g}"


def test_no_range_serves_floats_and_whole_numbers_or_a_single_value(tmp_path):
    with pytest.raises(DataError, match="files of float32 and uint16; say which values"):
        measured_range([FileFacts(dtype="uint16", low=0, high=9), FileFacts(dtype="float32", low=0, high=1)], tmp_path)
    with pytest.raises(DataError, match="all values are 7"):
        measured_range([look_at(saved(tmp_path / "a.npy", np.full((2, 2), 7, np.uint16)))], tmp_path)
