"""Unpaired folders, and the archive of horses and zebras that is downloaded."""

import hashlib
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from ganrun.data.download import DownloadError
from ganrun.data.reader import Reader
from ganrun.errors import DataError
from ganrun.randomness import ItemDraws
from ganrun.words.spaces import DataFiles
from ganrun_plugins.datasets import _archives
from ganrun_plugins.datasets._archives import Archive
from ganrun_plugins.datasets._fit import translation_fit
from ganrun_plugins.datasets.horse2zebra import Horse2Zebra
from ganrun_plugins.datasets.paired_folders import PairedFolders
from ganrun_plugins.datasets.unpaired_folders import UnpairedFolders


def save(path, image=None, **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    (image or Image.new("RGB", (10, 8), (len(path.name) * 9 % 256, 20, 30))).save(path, **how)
    return path


def draws(indices, epoch=0, key=(0,)):
    return ItemDraws(key, np.asarray(epoch), np.asarray(indices))


def batch(data, indices, epoch=0):
    return data.batch(torch.tensor(list(indices)), draws(indices, epoch))


# --- unpaired folders ------------------------------------------------------------------------------------------


def unpaired(folder, a=3, b=5):
    for split in ("train", "test"):
        for i in range(a):
            save(folder / f"{split}A" / f"{i}.png", Image.new("RGB", (12, 10), (i, 0, 0)))
        for i in range(b):
            save(folder / f"{split}B" / f"{i}.png", Image.new("RGB", (10, 12), (100 + i, 0, 0)))


def test_an_epoch_is_as_long_as_the_larger_folder_and_b_is_random(files, tmp_path):
    unpaired(tmp_path / "set")
    data = UnpairedFolders(files, "train", root="set", size=8, load_size=9)
    assert (len(data), data.sizes) == (5, {"a": 3, "b": 5})
    many = list(range(5)) * 40
    red = {
        name: x[:, 0, 0, 0]
        for name, x in data.batch(torch.tensor(many), ItemDraws((0,), np.arange(200) // 5, np.array(many))).items()
    }
    assert red["a"].tolist() == [i % 3 for i in many]
    assert set(red["b"].tolist()) == {100, 101, 102, 103, 104}
    assert batch(data, [0])["a"].shape == (1, 3, 8, 8)


@pytest.mark.parametrize(("size", "load"), [(256, 286), (128, 143), (512, 572), (8, 9)])
def test_without_a_load_size_pictures_are_stretched_as_in_the_paper_whatever_their_size(size, load):
    """It was 286 for every size: of 128 a fifth of each picture was seen, and 512 did not fit."""
    fit = translation_fit("test", "train", 3, size, None, flip=True)
    assert (fit.load, fit.size, fit.random) == (load, size, True)
    assert translation_fit("test", "test", 3, size, None, flip=True).load == size


def test_unpaired_test_pictures_come_in_order(files, tmp_path):
    unpaired(tmp_path / "set")
    red = {
        name: x[:, 0, 0, 0].tolist()
        for name, x in batch(UnpairedFolders(files, "test", root="set", size=8, load_size=9), range(5)).items()
    }
    assert red == {"a": [0, 1, 2, 0, 1], "b": [100, 101, 102, 103, 104]}


def test_unpaired_pictures_can_be_grey_and_kept_in_memory(files, tmp_path):
    unpaired(tmp_path / "set")
    how = {"root": "set", "size": 8, "load_size": 10, "channels": 1}
    streamed, kept = UnpairedFolders(files, "train", **how), UnpairedFolders(files, "train", **how, in_memory=True)
    assert streamed.spaces["a"].shape == (1, 8, 8)
    assert torch.equal(read_a(streamed), read_a(kept))


def read_a(data):
    return Reader(data, (0,), batch_rows=5).get(5)["a"]


def test_unpaired_folders_name_what_is_missing(files, tmp_path):
    unpaired(tmp_path / "set")
    with pytest.raises(DataError, match="trainA, trainB, testA and testB"):
        UnpairedFolders(files, "train", root="elsewhere")
    with pytest.raises(DataError, match="load_size 8 is smaller than size 16"):
        UnpairedFolders(files, "train", root="set", size=16, load_size=8)
    (tmp_path / "set" / "trainB").rename(tmp_path / "set" / "trainC")
    with pytest.raises(DataError, match="trainB: there is no such folder"):
        UnpairedFolders(files, "train", root="set")


# --- horse2zebra -----------------------------------------------------------------------------------------------


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """A small archive of the published layout, placed by hand, its hash recorded; nothing listens at the server."""
    unpaired(tmp_path / "made" / "horse2zebra")
    path = tmp_path / "cache" / "horse2zebra.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as zipped:
        for file in sorted((tmp_path / "made").rglob("*.png")):
            zipped.write(file, file.relative_to(tmp_path / "made"))
    facts = Archive("horse2zebra", path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest(), 2, 2)
    monkeypatch.setattr(Horse2Zebra, "archive", facts)
    monkeypatch.setattr(_archives, "SERVER", "http://127.0.0.1:9/")
    return path


def test_an_archive_placed_by_hand_is_verified_and_unpacked_once(files, archive):
    assert len(Horse2Zebra(files, "train", size=8, load_size=9)) == 5
    archive.unlink()
    assert len(Horse2Zebra(files, "test", size=8, load_size=9)) == 5


def test_an_archive_with_another_hash_is_not_unpacked(files, archive):
    archive.write_bytes(archive.read_bytes()[:-1] + b"!")
    with pytest.raises(DownloadError, match="SHA-256"):
        Horse2Zebra(files, "train")
    assert not archive.with_suffix("").exists()


def test_offline_the_error_says_what_to_place_where(files, archive):
    archive.unlink()
    with pytest.raises(DownloadError) as caught:
        Horse2Zebra(files, "train")
    assert str(caught.value).endswith(f"\n  {archive}")
    assert "http://127.0.0.1:9/horse2zebra.zip" in str(caught.value)


def test_pictures_at_hand_need_no_archive(files, archive, tmp_path):
    assert len(Horse2Zebra(files, "train", root="made/horse2zebra", size=8, load_size=9)) == 5
    assert not (tmp_path / "cache" / "horse2zebra").exists()


@pytest.mark.parametrize("kind", [PairedFolders, UnpairedFolders])
def test_thirteen_bands_become_three_colours_each_side_in_its_own_range(tmp_path, kind):
    """Both sides of a pair get one window and one mirror: a band of columns and a picture of columns agree."""
    (tmp_path / "cache").mkdir()
    for split in ("train", "test"):
        for side in "AB":
            (tmp_path / f"{split}{side}").mkdir()
        for number in range(3):
            columns = np.tile(np.arange(16), (16, 1))  # the value is the column
            np.save(tmp_path / f"{split}A/{number}.npy", np.repeat(columns[None] * 100.0, 13, 0).astype(np.float32))
            Image.fromarray(np.repeat(columns[..., None] * 10, 3, 2).astype(np.uint8)).save(
                tmp_path / f"{split}B/{number}.png"
            )
    data = kind(
        DataFiles(tmp_path, tmp_path / "cache"),
        "train",
        root=".",
        size=8,
        load_size=16,
        channels={"a": 13, "b": 3},
        range={"a": (0.0, 1500.0), "b": None},
    )
    assert {name: space.shape for name, space in data.spaces.items()} == {"a": (13, 8, 8), "b": (3, 8, 8)}
    assert data.ranges == {"a": (0.0, 1500.0)}
    rows = np.arange(3)
    batch = data.batch(torch.from_numpy(rows), ItemDraws(("t",), np.asarray(0), rows))
    assert (batch["a"].dtype, batch["b"].dtype) == (torch.float32, torch.uint8)
    a = (batch["a"][:, 0, 0] + 1) / 2 * 15  # (3, 8): which columns were taken
    b = batch["b"][:, 0, 0] / 10
    assert torch.allclose(a.round(), a, atol=1e-3)
    if kind is PairedFolders:
        assert torch.equal(a.round(), b.float())
    assert not torch.equal(a[0], a[1]) or not torch.equal(a[1], a[2]), "windows are random"


def test_a_test_split_may_be_there_alone(tmp_path):
    for side in "AB":
        (tmp_path / f"test{side}").mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / f"test{side}/0.png")
    assert len(UnpairedFolders(DataFiles(tmp_path, tmp_path / "cache"), "test", root=".", size=8)) == 1
