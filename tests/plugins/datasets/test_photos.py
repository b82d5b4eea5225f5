"""Crops of photographs: windows of pictures whose licences are stated, and of other pictures for tests."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from prerequisites import needs
from torch.nn import functional as F

from ganrun.plugin.data import DataError, DataFiles
from ganrun_plugins.datasets import _photos
from ganrun_plugins.datasets._photos import PICTURES, opened
from ganrun_plugins.datasets.photos import Photos
from ganrun_plugins.datasets.super_resolution_photos import SuperResolutionPhotos

ROOT = Path(__file__).parents[3]
installed = needs(find_spec("skimage") is not None, "scikit-image")


@pytest.fixture
def files(tmp_path):
    return DataFiles(tmp_path, tmp_path)


def windows(picture, side):
    """All windows of a picture, one a row of bytes."""
    values = np.asarray(picture)
    found = np.lib.stride_tricks.sliding_window_view(values, (side, side, 3))[:, :, 0]  # (rows, columns, side, side, 3)
    return {window.tobytes() for row in found for window in row}


@pytest.mark.parametrize(("split", "file"), [("train", "flower.jpg"), ("test", "china.jpg")])
def test_crops_that_are_not_scaled_are_windows_of_a_picture(files, split, file):
    x = Photos(files, split, size=8, count=40, largest=1, source="scikit-learn").tensors["x"]
    there = windows(opened("scikit-learn", f"datasets/images/{file}"), 8)
    assert {crop.permute(1, 2, 0).numpy().tobytes() for crop in x} <= there
    assert len({crop.numpy().tobytes() for crop in x}) == 40


@installed
@pytest.mark.parametrize("size", [32, (64, 96), 128])
def test_there_are_as_many_crops_of_each_picture(files, size):
    train, test = (Photos(files, split, size=size, count=count) for split, count in (("train", 12), ("test", 8)))
    assert train.spaces["x"].shape == (3, *((size, size) if isinstance(size, int) else size))
    for data, split in ((train, "train"), (test, "test")):
        names = [Path(one.file).stem for one in PICTURES if one.split == split]
        assert ", ".join(names) in data.preparation
        alone = Photos(files, split, size=size, count=len(names)).tensors["x"]
        assert torch.equal(data.tensors["x"][: len(names)], alone)  # the first ones are of one picture each
    assert len(Photos(files, "train", size=8)) == 2000
    assert len(Photos(files, "test", size=8)) == 500


def test_the_splits_have_different_pictures():
    train, test = ({one.file for one in PICTURES if one.split == split} for split in ("train", "test"))
    assert len(train) == 6
    assert len(test) == 2
    assert not train & test


@installed
def test_few_crops_are_even(files):
    x = Photos(files, "train", size=32, count=300).tensors["x"].float()
    small = F.avg_pool2d(x, 4)  # (N, 3, 8, 8)
    assert (small.std((2, 3)).amax(1) < 10).float().mean() < 0.1


@pytest.mark.parametrize("size", [7, 129, (64, 200)])
def test_sides_beyond_the_pictures_are_refused(files, size):
    with pytest.raises(DataError, match=r"sides of 8 to 128 pixels"):
        Photos(files, "train", size=size)


def test_a_package_that_is_not_installed_is_named_with_its_cure(monkeypatch):
    monkeypatch.setattr(_photos, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"pip install 'ganrun\[photos\]', or set `source: scikit-learn`"):
        opened.__wrapped__("scikit-image", "data/coffee.png")


def test_the_licence_of_every_picture_is_written_down():
    page = (ROOT / "docs" / "licences.md").read_text()
    for one in PICTURES:
        row = next(line for line in page.splitlines() if line.startswith(f"| `{Path(one.file).name}` "))
        assert f"`{one.package}`" in row
        assert row.rstrip(" |").endswith(
            ("public domain", "CC0", "[CC BY 2.0](https://creativecommons.org/licenses/by/2.0/)")
        )


def test_small_images_are_the_large_ones_by_the_bicubic_filter(files):
    data = SuperResolutionPhotos(files, "test", size=(16, 24), count=10, source="scikit-learn")
    large = data.tensors["x"].float()
    small = F.interpolate(large, (4, 6), mode="bicubic", antialias=True).round().clamp(0, 255)
    assert data.tensors["low"].shape == (10, 3, 4, 6)
    assert torch.equal(data.tensors["low"].float(), small)
