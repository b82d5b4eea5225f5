"""Ranges, frames, arrays and bad files in every data set that reads image files."""

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from ganrun.data.file_check import check_files
from ganrun.errors import DataError
from ganrun.randomness import ItemDraws
from ganrun.words.spaces import DataFiles
from ganrun_plugins.datasets.attributes import Attributes
from ganrun_plugins.datasets.captions import Captions
from ganrun_plugins.datasets.image_folder import ImageFolder
from ganrun_plugins.datasets.paired_folders import PairedFolders
from ganrun_plugins.datasets.super_resolution import SuperResolution
from ganrun_plugins.datasets.unpaired_folders import UnpairedFolders

RAMP = np.arange(256, dtype=np.uint16).reshape(16, 16) * 16  # 0 to 4080
NAMES = [f"{number}.png" for number in range(6)]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty folder of downloads, where facts are kept."""
    monkeypatch.setenv("GANRUN_DATA", str(tmp_path / "cache"))


def items(dataset):
    every = np.arange(len(dataset))
    return dataset.batch(torch.from_numpy(every), ItemDraws(("a",), np.asarray(0), every))


def fill(folder, values=RAMP):
    folder.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        Image.fromarray(values).save(folder / name)


def opened(kind, root, split="train", **more):
    """A data set of one kind in a folder that has everything that any of them looks for."""
    files = DataFiles(root, root / "cache")
    square = {"size": 16, "channels": 1, "flip": False}
    if kind in ("unpaired", "paired", "halves"):
        what = UnpairedFolders if kind == "unpaired" else PairedFolders
        place = "sides" if kind != "halves" else "plain"
        return what(files, split, root=place, load_size=16, **square, **more)
    if kind == "attributes":
        return Attributes(files, split, root="listed", attributes=["Warm"], held_out=2, crop=None, **square, **more)
    if kind == "captions":
        return Captions(files, split, root="listed", test_fraction=0.3, load_size=16, **square, **more)
    what = SuperResolution if kind == "super-resolution" else ImageFolder
    return what(files, split, root="plain", **square, **more)


KINDS = ["folder", "unpaired", "paired", "halves", "attributes", "captions", "super-resolution"]


@pytest.fixture
def everything(tmp_path):
    for split in ("train", "test"):
        fill(tmp_path / "plain" / split)
        for side in "AB":
            fill(tmp_path / "sides" / f"{split}{side}")
    fill(tmp_path / "listed")
    rows = "".join(f"{name} 1\n" for name in NAMES)
    (tmp_path / "listed" / "list_attr_celeba.txt").write_text(f"{len(NAMES)}\nWarm\n{rows}")
    (tmp_path / "listed" / "captions.txt").write_text("".join(f"{name}\ta ramp\n" for name in NAMES))
    return tmp_path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("split", ["train", "test"])
def test_a_range_keeps_the_levels_of_files_of_more_than_8_bits(everything, kind, split):
    dataset = opened(kind, everything, split, range=(0, 4080))
    batch = items(dataset)
    for entry in dataset.ranges:
        assert dataset.ranges[entry] == (0, 4080)
        assert batch[entry].dtype == torch.float32
        assert batch[entry].min() >= -1
        assert batch[entry].max() <= 1
    entry = "a" if "a" in batch else "x"
    assert len(batch[entry].unique()) > (100 if kind == "halves" else 250)
    assert "0 to 4080 become -1 to 1" in dataset.preparation
    assert dataset.departs


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_range_it_is_measured_and_said(everything, kind):
    with pytest.warns(UserWarning, match="of uint16 with values 0 to 4080: 0 to 4095 become -1 to 1"):
        dataset = opened(kind, everything, "train")
    assert set(dataset.ranges.values()) == {(0, 4095)}
    assert items(dataset)["a" if "a" in dataset.spaces else "x"].dtype == torch.float32


@pytest.mark.parametrize("kind", KINDS)
def test_bad_images_can_be_skipped_and_are_named(everything, kind):
    bad = {"folder": "plain/train", "super-resolution": "plain/train", "halves": "plain/train"}.get(kind, "listed")
    bad = "sides/trainB" if kind in ("unpaired", "paired") else bad
    whole = opened(kind, everything, range=(0, 4095))
    name = whole.paths[-1].name
    (everything / bad / name).write_text("no image")
    with pytest.warns(UserWarning, match="cannot be read and are left out"):
        dataset = opened(kind, everything, range=(0, 4095), bad_images="skip")
    assert [path.name for path in dataset.skipped] == [name]
    assert len(dataset) == len(whole) - (kind != "unpaired")  # of which A has as many as before
    items(dataset)
    with pytest.raises(DataError, match=f"1 of .* images cannot be read; .* `bad_images: skip`.*\n.*{name}"):
        check_files(opened(kind, everything, range=(0, 4095)))


def test_bytes_stay_the_bytes_that_they_were(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (16, 16), dtype=np.uint8)
    fill(tmp_path / "plain" / "train", values)
    fill(tmp_path / "plain" / "test", values)
    dataset = opened("folder", tmp_path)
    assert dataset.ranges == {}
    assert (items(dataset)["x"].numpy() == values).all()


def test_frames_are_items_and_labels_follow(tmp_path):
    for name, frames in (("a", 2), ("b", 3)):
        (tmp_path / "plain" / name).mkdir(parents=True)
        pictures = [Image.new("L", (16, 16), 10 * k) for k in range(frames)]
        pictures[0].save(tmp_path / "plain" / name / "1.tif", save_all=True, append_images=pictures[1:])
    dataset = opened("folder", tmp_path, frames="all", test_fraction=0.5)
    other = opened("folder", tmp_path, "test", frames="all", test_fraction=0.5)
    found = {len(one): items(one) for one in (dataset, other)}
    assert found[2]["x"][:, 0, 0, 0].tolist() == [0, 10]
    assert found[3]["x"][:, 0, 0, 0].tolist() == [0, 10, 20]
    assert (found[2]["label"].tolist(), found[3]["label"].tolist()) == ([0, 0], [1, 1, 1])


def test_files_of_13_bands_are_read(tmp_path):
    values = np.arange(16 * 16 * 13, dtype=np.uint16).reshape(16, 16, 13)
    (tmp_path / "plain").mkdir()
    for number in range(3):
        tifffile.imwrite(tmp_path / "plain" / f"{number}.tif", values, photometric="minisblack", planarconfig="contig")
        np.save(tmp_path / "plain" / f"{number}.npy", values)
    dataset = ImageFolder(DataFiles(tmp_path, tmp_path), "train", root="plain", size=16, channels=13, range=(0, 4095))
    x = items(dataset)["x"]
    assert x.shape == (5, 13, 16, 16)
    assert (((x.double() + 1) * 2047.5).round().numpy() == values.transpose(2, 0, 1)).all()


@pytest.mark.parametrize("name", ["validation", "Valid", "Val", "Test"])
def test_the_test_split_is_found_by_many_names(tmp_path, name):
    fill(tmp_path / "plain" / "Train", np.zeros((16, 16), np.uint8))
    fill(tmp_path / "plain" / name, np.ones((16, 16), np.uint8))
    for kind in ("folder", "super-resolution"):
        assert items(opened(kind, tmp_path, "test"))["x"].min() == 1
        assert len(opened(kind, tmp_path, "train")) == len(NAMES)


def test_folders_beside_the_splits_are_named(tmp_path):
    for name in ("train", "test", "holdout"):
        fill(tmp_path / "plain" / name, np.zeros((16, 16), np.uint8))
    with pytest.warns(UserWarning, match="not read: holdout"):
        opened("folder", tmp_path)
