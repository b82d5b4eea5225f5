"""Data set hf-dataset: what the datasets library reads of this machine's disk."""

import sys

import datasets
import numpy as np
import pytest
import torch
from PIL import Image

from ganrun.data.reader import read_items
from ganrun.errors import DataError
from ganrun.words.spaces import DataFiles
from ganrun_plugins.datasets.hf_dataset import HFDataset


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path):
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets.disable_progress_bars()


def table(numbers, classes=("cat", "dog")):
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=list(classes))})
    pictures = [Image.new("RGB", (8, 8), (number, 0, 0)) for number in numbers]
    rows = {"image": pictures, "label": [number % len(classes) for number in numbers]}
    return datasets.Dataset.from_dict(rows, features=features)


def hf(folder, split="train", **parameters):
    return HFDataset(DataFiles(folder, folder / "cache"), split, size=8, **parameters)


def reds(data):
    (batch,) = read_items(data)
    return batch["x"][:, 0, 0, 0].add(1).mul(127.5).round().int().tolist(), batch.get("label")


def test_what_save_to_disk_wrote_brings_its_splits_and_classes(tmp_path):
    datasets.DatasetDict({"train": table(range(10)), "validation": table(range(10, 14))}).save_to_disk(tmp_path / "d")
    train, test = (hf(tmp_path, split, path="d") for split in ("train", "test"))
    assert reds(train)[0] == list(range(10))
    found, label = reds(test)
    assert found == list(range(10, 14))
    assert label.tolist() == [0, 1, 0, 1]
    assert test.classes == ["cat", "dog"]


def test_a_parquet_file_is_cut_into_splits(tmp_path):
    table(range(20)).to_parquet(tmp_path / "all.parquet")
    train, test = (hf(tmp_path, split, path="all.parquet", test_fraction=0.25) for split in ("train", "test"))
    assert (len(train), len(test)) == (15, 5)
    assert sorted(reds(train)[0] + reds(test)[0]) == list(range(20))


def test_a_folder_of_parquet_files_has_the_splits_of_their_names(tmp_path):
    (tmp_path / "data").mkdir()
    table(range(6)).to_parquet(tmp_path / "data" / "train-00000-of-00001.parquet")
    table(range(6, 9)).to_parquet(tmp_path / "data" / "test-00000-of-00001.parquet")
    assert reds(hf(tmp_path, "test", path="data"))[0] == [6, 7, 8]


def test_a_folder_of_images_is_read_by_its_classes(tmp_path):
    for number, name in enumerate(("bold", "thin")):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for each in range(4):
            Image.new("RGB", (8, 8), (10 * number + each, 0, 0)).save(tmp_path / "pictures" / name / f"{each}.png")
    data = hf(tmp_path, path="pictures", test_fraction=0)
    found, label = reds(data)
    assert data.classes == ["bold", "thin"]
    assert label.tolist() == [int(red >= 10) for red in found]


def test_labels_may_be_words_or_left_out(tmp_path):
    with_words = table(range(4)).cast_column("label", datasets.Value("string"))
    with_words.to_parquet(tmp_path / "words.parquet")
    named = hf(tmp_path, path="words.parquet", label="label", test_fraction=0)
    assert named.classes == ["0", "1"]
    assert reds(named)[1].tolist() == [0, 1, 0, 1]
    assert "label" not in hf(tmp_path, path="words.parquet", test_fraction=0).spaces
    table(range(4)).to_parquet(tmp_path / "classes.parquet")
    assert "label" not in hf(tmp_path, path="classes.parquet", label="none", test_fraction=0).spaces


def test_columns_that_cannot_be_told_are_listed(tmp_path):
    datasets.Dataset.from_dict({"text": ["a", "b"]}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"which column holds the images\?; its columns are text \(Value\)"):
        hf(tmp_path, path="a.parquet")
    table(range(3)).to_parquet(tmp_path / "b.parquet")
    with pytest.raises(DataError, match="there is no column 'klass'"):
        hf(tmp_path, path="b.parquet", label="klass")


def test_a_row_without_an_image_is_named(tmp_path):
    rows = table(range(3)).to_dict()
    rows["image"][1] = None
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet, row 1: it holds no image"):
        reds(hf(tmp_path, path="a.parquet", test_fraction=0))


def test_what_is_neither_here_nor_on_the_hub_is_said(tmp_path):
    with pytest.raises(DataError, match="no/such: neither a data set at .*no/such nor one on the hub"):
        hf(tmp_path, path="no/such")


def test_without_its_package_it_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r'pip install "ganrun\[hf\]"'):
        hf(tmp_path, path="x")


def test_items_do_not_depend_on_what_was_read_before(tmp_path):
    table(range(8)).save_to_disk(tmp_path / "d")
    data = hf(tmp_path, path="d", test_fraction=0)
    together = next(iter(read_items(data)))["x"]
    alone = next(iter(read_items(data, np.array([5]))))["x"]
    assert torch.equal(together[5], alone[0])
