"""Data set array: numpy's files as they lie on the disk."""

import warnings

import numpy as np
import pytest
import torch
from numpy.lib.npyio import NpzFile

from ganrun.errors import DataError
from ganrun.randomness import ItemDraws
from ganrun.words.spaces import DataFiles, Space
from ganrun_plugins.datasets._arrays import opened
from ganrun_plugins.datasets.array import Array


def array(folder, split="train", **parameters):
    return Array(DataFiles(folder, folder / "cache"), split, **parameters)


def items(data, *indices):
    chosen = np.asarray(indices or range(len(data)))
    return data.batch(torch.from_numpy(chosen), ItemDraws(("test",), np.asarray(0), chosen))


def test_uint8_images_keep_every_value(tmp_path):
    pictures = np.arange(10 * 4 * 6, dtype=np.uint8).reshape(10, 4, 6)
    np.save(tmp_path / "pictures.npy", pictures)
    train, test = (array(tmp_path, split, root="pictures.npy", test_fraction=0.2) for split in ("train", "test"))
    assert (len(train), len(test)) == (8, 2)
    assert train.spaces == {"x": Space("image", (1, 4, 6))}
    together = torch.cat([items(train)["x"], items(test)["x"]])
    assert together.dtype == torch.uint8
    assert sorted(map(bytes, together.numpy().reshape(10, -1))) == sorted(map(bytes, pictures.reshape(10, -1)))


@pytest.mark.parametrize(
    ("shape", "layout", "space"),
    [
        ((5, 3, 8, 6), "auto", (3, 8, 6)),
        ((5, 8, 6, 3), "auto", (3, 8, 6)),
        ((5, 13, 8, 6), "channels-first", (13, 8, 6)),
        ((5, 8, 6, 13), "channels-last", (13, 8, 6)),
    ],
)
def test_channels_come_first_wherever_they_lie(tmp_path, shape, layout, space):
    values = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    np.save(tmp_path / "a.npy", values)
    data = array(tmp_path, root="a.npy", layout=layout, test_fraction=0)
    assert data.spaces["x"].shape == space
    wanted = values if shape[1:] == space else values.transpose(0, 3, 1, 2)
    assert np.array_equal(items(data)["x"].numpy(), wanted)


def test_an_axis_of_channels_that_cannot_be_told_is_asked_for(tmp_path):
    for number, shape in enumerate([(5, 13, 8, 6), (5, 3, 8, 3)]):
        np.save(tmp_path / f"{number}.npy", np.zeros(shape, np.uint8))
        with pytest.raises(DataError, match="layout: channels-first"):
            array(tmp_path, root=f"{number}.npy")


def test_images_are_fitted_to_a_size_with_all_their_levels_and_channels(tmp_path):
    """13 channels of 12 bits: one is 1234 throughout, which no filter changes, and lies between two of 256 levels."""
    values = np.random.default_rng(0).integers(0, 4096, (5, 13, 12, 16), dtype=np.uint16)
    values[:, 7] = 1234
    np.save(tmp_path / "a.npy", values)
    how = {"root": "a.npy", "layout": "channels-first", "range": (0.0, 4095.0), "test_fraction": 0}
    padded = array(tmp_path, size=(16, 16), resize="fit", pad="white", **how)
    assert padded.spaces["x"] == Space("image", (13, 16, 16))
    assert "scaled to fit into 16 x 16 (bicubic, antialiased); padded with white" in padded.preparation
    x = items(padded)["x"]
    assert torch.equal(x[:, :, 2:14], items(array(tmp_path, **how))["x"])
    assert (x[:, :, :2] == 1).all()
    middle = items(array(tmp_path, size=(6, 8), **how))["x"]
    assert middle.dtype == torch.float32
    assert (middle[:, 7] - (1234 / 2047.5 - 1)).abs().max() < 1e-6
    assert middle.shape == (5, 13, 6, 8)
    marks = {array(tmp_path, **size, **how).fingerprint() for size in ({}, {"size": 8}, {"size": (6, 8)})}
    assert len(marks) == 3


def test_a_size_of_points_and_a_rule_without_a_size_are_refused(tmp_path):
    np.save(tmp_path / "points.npy", np.zeros((5, 2)))
    with pytest.raises(DataError, match="it holds points, which have no size to be fitted to"):
        array(tmp_path, root="points.npy", size=8)
    with pytest.raises(DataError, match="say how images are fitted to a `size`"):
        array(tmp_path, root="points.npy", resize="fit")


def test_twelve_bits_lose_no_level(tmp_path):
    values = np.arange(4096, dtype=np.uint16).reshape(4, 32, 32)
    np.save(tmp_path / "deep.npy", values)
    data = array(tmp_path, root="deep.npy", range=(0.0, 4095.0), test_fraction=0)
    x = items(data)["x"]
    assert (x.dtype, float(x.min()), float(x.max()), len(x.unique())) == (torch.float32, -1.0, 1.0, 4096)
    assert data.ranges == {"x": (0.0, 4095.0)}


@pytest.mark.parametrize(
    ("values", "range_"),
    [
        (np.array([0.25, 0.5]), (0.0, 1.0)),
        (np.array([-0.5, 0.5]), (-1.0, 1.0)),
        (np.array([-3.0, 5.0]), (-3.0, 5.0)),
        (np.array([100, 900], np.uint16), (100.0, 900.0)),
        (np.array([False, True]), (0.0, 1.0)),
    ],
)
def test_a_range_that_is_not_given_is_measured_and_said(tmp_path, values, range_):
    np.save(tmp_path / "a.npy", np.tile(values, 8).reshape(4, 2, 2))
    with pytest.warns(UserWarning, match=f"{range_[0]:g} to {range_[1]:g} become -1 to 1"):
        assert array(tmp_path, root="a.npy", test_fraction=0).range == range_


def test_both_splits_have_the_range_of_the_training_rows(tmp_path):
    np.savez(tmp_path / "a.npz", x_train=np.linspace(0, 8, 16).reshape(4, 2, 2), x_test=np.full((2, 2, 2), 99.0))
    with pytest.warns(UserWarning, match="0 to 8"):
        test = array(tmp_path, "test", root="a.npz")
    assert test.range == (0.0, 8.0)
    assert items(test)["x"].unique().tolist() == [1.0]


def test_numbers_that_are_not_finite_are_named_by_their_row(tmp_path):
    values = np.zeros((6, 2, 2))
    values[4, 1, 1], values[0] = np.nan, 1
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(DataError, match="row 4 holds a number that is not finite"):
        array(tmp_path, root="a.npy", test_fraction=0)
    np.savez(tmp_path / "a.npz", x_train=values[:4], x_test=values)
    with pytest.raises(DataError, match="row 4"):
        items(array(tmp_path, "test", root="a.npz", range=(0.0, 1.0)))


def test_what_a_range_cuts_off_is_said(tmp_path):
    np.save(tmp_path / "a.npy", np.array([0.0, 2, 4, 9]).reshape(1, 2, 2))
    with pytest.warns(UserWarning, match="values from 0 to 9; those outside the `range` of 2 to 4 are cut off"):
        data = array(tmp_path, root="a.npy", range=(2.0, 4.0), test_fraction=0)
    assert items(data)["x"].flatten().tolist() == [-1, -1, 1, 1]


@pytest.mark.parametrize(
    "names",
    [("x_train", "y_train", "x_test", "y_test"), ("train_images", "train_labels", "test_images", "test_labels")],
)
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_public_archives_bring_their_splits_and_labels(tmp_path, names, save):
    x, y = np.arange(60, dtype=np.uint8).reshape(15, 2, 2), np.arange(15).reshape(15, 1) % 3 + 4
    save(tmp_path / "a.npz", **dict(zip(names, (x[:9], y[:9], x[9:], y[9:]))))
    train, test = (array(tmp_path, split, root="a.npz") for split in ("train", "test"))
    assert train.classes == test.classes == ["4", "5", "6"]
    assert np.array_equal(items(train)["x"].numpy()[:, 0], x[:9])
    assert items(test)["label"].tolist() == [0, 1, 2, 0, 1, 2]


def test_a_folder_holds_a_file_a_split(tmp_path):
    x = np.arange(48, dtype=np.uint8).reshape(12, 2, 2)
    for name, part in {"x_train": x[:8], "x_test": x[8:], "y_train": np.arange(8) % 2, "y_test": np.ones(4)}.items():
        np.save(tmp_path / f"{name}.npy", part)
    test = array(tmp_path, "test", root=".")
    assert np.array_equal(items(test)["x"].numpy()[:, 0], x[8:])
    assert items(test)["label"].tolist() == [1, 1, 1, 1]
    assert test.classes == ["0", "1"]


def test_labels_may_be_a_file_of_their_own(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(40, dtype=np.uint8).reshape(10, 2, 2))
    np.save(tmp_path / "which.npy", np.array(["cat", "dog"] * 5))
    data = array(tmp_path, root="a.npy", label="which.npy", test_fraction=0)
    assert data.classes == ["cat", "dog"]
    assert items(data)["label"].tolist() == [0, 1] * 5


def test_points_stay_as_they_are(tmp_path):
    points = np.array([[0.5, 30.0], [-7.0, 2.0]])
    np.save(tmp_path / "points.npy", points)
    data = array(tmp_path, root="points.npy", test_fraction=0)
    assert data.spaces == {"x": Space("points", (2,))}
    assert items(data)["x"].tolist() == points.tolist()


def test_uncompressed_archives_are_memory_maps(tmp_path):
    x = np.arange(24.0).reshape(2, 3, 4)
    np.savez(tmp_path / "a.npz", x=x, columns=np.asfortranarray(x), empty=np.zeros(0))
    found = opened(tmp_path / "a.npz")
    assert isinstance(found["x"], np.memmap)
    assert isinstance(np.load(tmp_path / "a.npz"), NpzFile)
    assert all(np.array_equal(found[name], np.load(tmp_path / "a.npz")[name]) for name in ("x", "columns", "empty"))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda f: np.save(f / "a.npy", np.array([{}]), allow_pickle=True), "pickled objects"),
        (lambda f: (f / "a.npy").write_text("<html>"), "cannot be read"),
        (lambda f: np.save(f / "a.npy", np.zeros((3, 2, 2, 2, 2))), r"\(3, 2, 2, 2, 2\)"),
        (lambda f: np.save(f / "a.npy", np.zeros((3, 2, 2))), "all values are 0; give their `range`"),
        (lambda f: None, "there is no such file"),
    ],
)
def test_what_is_no_array_of_samples_is_refused_in_words(tmp_path, make, said):
    make(tmp_path)
    with pytest.raises(DataError, match=said):
        array(tmp_path, root="a.npy")


def test_a_compressed_archive_with_several_unknown_arrays_asks_which(tmp_path):
    np.savez(tmp_path / "a.npz", one=np.zeros((2, 2, 2)), two=np.zeros(3))
    with pytest.raises(DataError, match="set `x` to one of one, two"):
        array(tmp_path, root="a.npz")


def test_no_warning_where_nothing_was_guessed(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(40, dtype=np.uint8).reshape(10, 2, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        array(tmp_path, root="a.npy")
