"""Images of two sides: folders of any names, pairs whose names differ, rectangles, and other channels on each side."""

import numpy as np
import pytest
import torch
from PIL import Image

from ganrun.catalog.catalog import Catalog
from ganrun.errors import DataError
from ganrun.randomness import ItemDraws
from ganrun.recipe import load_recipe
from ganrun_plugins.datasets.horse2zebra import Horse2Zebra
from ganrun_plugins.datasets.paired_folders import PairedFolders
from ganrun_plugins.datasets.unpaired_folders import UnpairedFolders

PLAIN = {"size": 8, "load_size": 8, "flip": False}


def save(folder, names, first=0, size=(12, 10)):
    """Grey images of one value each: the first, the first plus 1, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        Image.new("RGB", size, (first + number,) * 3).save(folder / name)


def batch(data, rows, epoch=0):
    chosen = np.asarray(list(rows))
    return data.batch(torch.from_numpy(chosen), ItemDraws((0,), np.asarray(epoch), chosen))


def values(data, epoch=0):
    """The values of the images of each side, item by item."""
    return {name: x[:, 0, 0, 0].tolist() for name, x in batch(data, range(len(data)), epoch).items()}


# --- pairs whose names differ -----------------------------------------------------------------------------------


@pytest.fixture(params=["one root", "two roots with splits", "two roots", "one folder for both"])
def where(request, tmp_path):
    """Ten pairs 0_A.png and 0_B.jpg, ..., whose values are 0 and 100, ...; parameters that find them."""

    def pairs(a, b):
        save(a, [f"{i}_A.png" for i in range(10)])
        save(b, [f"{i}_B.png" for i in range(10)], 100)

    if request.param == "one root":
        for split in ("train", "test"):
            pairs(tmp_path / "set" / f"{split}A", tmp_path / "set" / f"{split}B")
        return {"root": "set"}
    if request.param == "two roots with splits":
        for split in ("train", "val"):
            pairs(tmp_path / "photos" / split, tmp_path / "maps" / split)
        return {"roots": {"a": "photos", "b": "maps"}}
    names = {"a": "photos", "b": "maps" if request.param == "two roots" else "photos"}
    pairs(tmp_path / names["a"], tmp_path / names["b"])
    return {"roots": names}


def test_pairs_are_what_is_left_of_names_without_their_suffixes(files, where):
    train, test = (PairedFolders(files, split, **where, suffixes=("_A", "_B"), **PLAIN) for split in ("train", "test"))
    apart = "root" in where or (files.base / "photos" / "train").is_dir()
    assert (len(train), len(test)) == ((10, 10) if apart else (9, 1))
    for data in (train, test):
        found = values(data)
        assert [b - a for a, b in zip(found["a"], found["b"])] == [100] * len(data)
    if not apart:
        assert sorted(values(train)["a"] + values(test)["a"]) == list(range(10))


def test_what_names_begin_with_may_differ_also_below_folders(files, tmp_path):
    for city in ("rome", "oslo"):
        save(tmp_path / "photos" / city, ["photo_1.png", "photo_2.png"], 7)
        save(tmp_path / "maps" / city, ["map_1.png", "map_2.png"], 107)
    parameters = {"roots": {"a": "photos", "b": "maps"}, "test_fraction": 0, **PLAIN}
    data = PairedFolders(files, "train", prefixes=("photo_", "map_"), **parameters)
    assert values(data) == {"a": [7, 8, 7, 8], "b": [107, 108, 107, 108]}
    with pytest.raises(DataError, match=r"8 images have no partner.*; set prefixes: \[photo_, map_\]"):
        PairedFolders(files, "train", **parameters)


def test_suffixes_that_would_pair_all_names_are_suggested(files, tmp_path):
    save(tmp_path / "set" / "trainA", ["1_real.png", "2_real.png"])
    save(tmp_path / "set" / "trainB", ["1_fake.jpg", "2_fake.jpg"])
    with pytest.raises(DataError, match=r"4 images have no partner.*; set suffixes: \[_real, _fake\]"):
        PairedFolders(files, "train", root="set", **PLAIN)
    with pytest.raises(DataError, match=r"trainB: 1_fake.jpg does not fit: names here have to end in '_B'"):
        PairedFolders(files, "train", root="set", suffixes=("_real", "_B"), **PLAIN)


def test_suffixes_of_halves_of_files_are_refused(files, tmp_path):
    save(tmp_path / "set" / "train", ["1.png"])
    with pytest.raises(DataError, match="are of images in two folders, and there is no folder trainA"):
        PairedFolders(files, "train", root="set", suffixes=("_A", "_B"), **PLAIN)


@pytest.mark.parametrize("kind", [PairedFolders, UnpairedFolders])
def test_one_root_or_two_roots_are_asked_for(files, tmp_path, kind):
    save(tmp_path / "photos", ["1.png", "2.png"])
    both = {"a": "photos", "b": "photos"}
    for parameters, why in (
        ({}, "set `root`, one folder that holds both sides, or `roots`"),
        ({"root": "photos", "roots": both}, "set `root`, one folder that holds both sides, or `roots`"),
        ({"roots": {"a": "photos"}}, "roots: b is missing"),
        ({"roots": {"a": "photos", "b": "none"}}, "none: there is no such folder; it has to hold train and test, or"),
    ):
        with pytest.raises(DataError, match=why):
            kind(files, "train", **parameters, **PLAIN)
    save(tmp_path / "maps" / "train", ["1.png"])
    with pytest.raises(DataError, match="maps has a folder train, and the other has none; both have to, or neither"):
        kind(files, "train", roots={"a": "photos", "b": "maps"}, **PLAIN)


# --- unpaired roots ---------------------------------------------------------------------------------------------


def test_two_folders_of_images_have_a_part_each_for_testing(files, tmp_path):
    save(tmp_path / "photos", [f"{i}.png" for i in range(20)])
    save(tmp_path / "paintings", [f"{i}.png" for i in range(10)], 100)
    roots = {"a": "photos", "b": "paintings"}
    train, test = (UnpairedFolders(files, split, roots=roots, **PLAIN) for split in ("train", "test"))
    assert (train.sizes, test.sizes) == ({"a": 18, "b": 9}, {"a": 2, "b": 1})
    assert sorted(values(train)["a"] + values(test)["a"]) == list(range(20))
    assert not {*values(test)["b"]} & {*values(train)["b"]}


def test_val_is_the_test_split_of_unpaired_folders_where_there_is_no_test(files, tmp_path):
    for ending, first in (("A", 0), ("B", 100)):
        save(tmp_path / "set" / f"train{ending}", ["1.png"], first)
        save(tmp_path / "set" / f"val{ending}", ["1.png"], first + 50)
    assert values(UnpairedFolders(files, "test", root="set", **PLAIN)) == {"a": [50], "b": [150]}


# --- shapes and channels ----------------------------------------------------------------------------------------


@pytest.fixture(params=["unpaired", "two folders", "side by side"])
def sides(request, tmp_path):
    """A data set's class, with coloured images of the other layout of pairs in ``set``."""
    noise = np.random.default_rng(0)
    for split in ("train", "test"):
        for i in range(4):
            picture = noise.integers(0, 256, (20, 30, 3), dtype=np.uint8)
            names = {"side by side": {split: np.concatenate([picture, picture], 1)}}
            for name, array in names.get(request.param, {f"{split}A": picture, f"{split}B": picture}).items():
                (tmp_path / "set" / name).mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(tmp_path / "set" / name / f"{i}.png")
    return UnpairedFolders if request.param == "unpaired" else PairedFolders


@pytest.mark.parametrize("keep", [False, True])
def test_one_side_may_be_grey_and_the_other_coloured(files, sides, keep):
    """Both channels of grey are as PIL makes them, and windows of a pair are the same."""
    data = sides(files, "train", root="set", size=(8, 12), channels={"a": 1, "b": 3}, in_memory=keep)
    assert {name: space.shape for name, space in data.spaces.items()} == {"a": (1, 8, 12), "b": (3, 8, 12)}
    assert data.spaces == sides.known_spaces(size=(8, 12), channels={"a": 1, "b": 3})
    assert data.preparation.count("a: ") == data.preparation.count("b: ") == 1
    found = batch(data, range(4))
    assert {name: tuple(x.shape) for name, x in found.items()} == {"a": (4, 1, 8, 12), "b": (4, 3, 8, 12)}
    if sides is PairedFolders:
        weights = torch.tensor([299, 587, 114]).reshape(1, 3, 1, 1) / 1000
        grey = (found["b"] * weights).sum(1, keepdim=True)
        assert (grey - found["a"].float()).abs().max() < 3, "grey of the same window; both are rounded when scaled"


def test_the_fingerprint_follows_the_channels_of_either_side(files, sides):
    marks = [
        sides(files, "train", root="set", channels=channels).fingerprint()
        for channels in (3, {"a": 3, "b": 3}, {"a": 1, "b": 3}, {"a": 3, "b": 1})
    ]
    assert marks[0] == marks[1]
    assert len({*marks}) == 3


@pytest.mark.parametrize("resize", ["squash", "crop", "fit", "scale-width"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_both_sides_are_rectangles_by_every_rule(files, sides, resize, split):
    data = sides(files, split, root="set", size=(12, 8), resize=resize)
    found = batch(data, range(4))
    assert {tuple(x.shape) for x in found.values()} == {(4, 3, 12, 8)}
    if sides is PairedFolders:
        assert torch.equal(found["a"], found["b"])


def test_a_side_without_channels_is_named():
    with pytest.raises(DataError, match="channels: b is missing"):
        UnpairedFolders.known_spaces(size=8, channels={"a": 1})


def test_an_archive_is_described_with_the_channels_of_its_sides():
    parameters = load_recipe(
        {"variant": "cyclegan", "dataset": {"horse2zebra": {"size": [64, 96], "channels": {"a": 1, "b": 3}}}},
        catalog=Catalog(),
    ).dataset.parameters
    spaces = Horse2Zebra.describe("train", **parameters).spaces
    assert {name: space.shape for name, space in spaces.items()} == {"a": (1, 64, 96), "b": (3, 64, 96)}
