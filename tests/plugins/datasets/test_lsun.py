"""LSUN: pictures of several classes from databases."""

import sys

import lmdb
import numpy as np
import pytest
import torch
from PIL import Image

from ganrun.data.order import sample_rows
from ganrun.errors import DataError
from ganrun.randomness import ItemDraws
from ganrun_plugins.datasets.lsun import LSUN


def test_lsun_without_its_package_says_how_to_get_it(files, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "lmdb", None)
    (tmp_path / "bedroom_train_lmdb").mkdir()
    with pytest.raises(DataError, match=r'needs the package lmdb; pip install "ganrun\[lsun\]"'):
        LSUN(files, "train", root=".")


def test_lsun_names_the_database_that_is_not_there(files):
    with pytest.raises(DataError, match=r"tower_val_lmdb: there is no such database; unpack tower_val_lmdb.zip"):
        LSUN(files, "test", root=".", classes=["tower"])


def test_lsun_reads_pictures_of_several_classes_and_keeps_the_keys(files, tmp_path):
    for start, name in ((0, "bedroom"), (100, "tower")):
        with (
            lmdb.open(str(tmp_path / f"{name}_train_lmdb"), map_size=1 << 20) as database,
            database.begin(write=True) as transaction,
        ):
            for number in range(3):
                picture = tmp_path / "one.png"
                Image.new("RGB", (12, 10), (start + number,) * 3).save(picture)
                transaction.put(f"key{number}".encode(), picture.read_bytes())
            if name == "tower":
                transaction.put(b"spoilt", b"no picture")
    data = LSUN(files, "train", root=".", classes=["bedroom", "tower"], size=8)
    rows = torch.tensor([4, 0, 2, 3])
    batch = data.batch(rows, ItemDraws((), np.asarray(0), rows.numpy()))
    assert batch["x"][:, 0, 0, 0].tolist() == [101, 0, 2, 100]
    assert batch["label"].tolist() == [1, 0, 0, 1]
    assert len(list((files.cache / "lsun").glob("*.npy"))) == 2
    assert len(LSUN(files, "train", root=".", classes=["bedroom"], size=8)) == 3
    assert set((sample_rows(data, range(3)) < 3).tolist()) == {True, False}, "few samples are of both classes"
    with pytest.raises(DataError, match="image spoilt cannot be read"):
        data.batch(torch.tensor([6]), ItemDraws((), np.asarray(0), np.array([6])))
