"""mnist, fashion-mnist and cifar10, on small files of their formats."""

import gzip
import hashlib
import pickle
import struct

import numpy as np
import pytest
import torch
import torchvision.datasets

from ganrun.data.download import DownloadError
from ganrun.errors import DataError
from ganrun_plugins.datasets.cifar10 import Cifar10
from ganrun_plugins.datasets.fashion_mnist import FashionMnist
from ganrun_plugins.datasets.mnist import Mnist


def idx(array):
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_mnist(folder, *, zipped, count=20):
    folder.mkdir(parents=True)
    for part, seed in (("train", 0), ("t10k", 1)):
        images = np.random.default_rng(seed).integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = np.arange(count, dtype=np.uint8) % 10
        for name, array in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", labels)):
            (folder / (f"{name}.gz" if zipped else name)).write_bytes(
                gzip.compress(idx(array)) if zipped else idx(array)
            )


@pytest.mark.parametrize("place", ["mnist", "mnist/raw", "mnist/MNIST/raw"])
@pytest.mark.parametrize("zipped", [True, False])
def test_idx_files_are_found_where_people_have_them(files, tmp_path, place, zipped):
    write_mnist(tmp_path / place, zipped=zipped)
    data = Mnist(files, "train", root="mnist")
    expected = np.random.default_rng(0).integers(0, 256, (20, 28, 28), dtype=np.uint8)
    assert np.array_equal(data.tensors["x"][:, 0].numpy(), expected)
    assert data.tensors["label"].tolist() == [*range(10), *range(10)]
    assert Mnist(files, "test", root="mnist").fingerprint() != data.fingerprint()


def test_what_is_in_the_cache_is_not_downloaded(files, tmp_path):
    write_mnist(tmp_path / "cache" / "FashionMNIST" / "raw", zipped=True)
    data = FashionMnist(files, "test", size=32, classes=["bag", "coat"])
    assert data.tensors["x"].shape == (4, 1, 32, 32)
    assert data.tensors["label"].tolist() == [1, 0, 1, 0]
    assert data.classes == ["bag", "coat"]


@pytest.mark.parametrize(("data", "module"), [(Mnist, "_idx"), (FashionMnist, "_idx"), (Cifar10, "cifar10")])
def test_an_unknown_class_is_refused_before_the_download(data, module, files, monkeypatch):
    monkeypatch.setattr(f"ganrun_plugins.datasets.{module}.fetch", lambda *args, **kwargs: pytest.fail("a download"))
    with pytest.raises(DataError, match="unicorn"):
        data(files, "train", classes=["unicorn"])


def test_offline_the_error_names_all_four_files_and_their_place(files, tmp_path, monkeypatch):
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", ["http://127.0.0.1:9/"])
    with pytest.raises(DownloadError) as caught:
        Mnist(files, "train")
    for part in ("train-images", "train-labels", "t10k-images", "t10k-labels"):
        assert part in str(caught.value)
    assert str(tmp_path / "cache" / "MNIST" / "raw") in str(caught.value)


@pytest.mark.parametrize(
    "spoil", [lambda raw: raw[:-5], lambda raw: b"\x1f\x8b" + raw, lambda raw: b"", lambda raw: b"\0\0\x0d" + raw[3:]]
)
def test_a_broken_idx_file_is_named(files, tmp_path, spoil):
    write_mnist(tmp_path / "mnist", zipped=False)
    path = tmp_path / "mnist" / "train-images-idx3-ubyte"
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(DataError, match="train-images-idx3-ubyte"):
        Mnist(files, "train", root="mnist")


def test_a_folder_without_the_files_says_what_is_missing(files, tmp_path):
    with pytest.raises(DataError, match=r"no train-images-idx3-ubyte or train-images-idx3-ubyte\.gz"):
        Mnist(files, "train", root="nothing")


@pytest.fixture
def cifar(tmp_path, monkeypatch):
    """Files of CIFAR-10's layout, with their MD5 recorded in torchvision's class."""
    folder = tmp_path / "data" / "cifar-10-batches-py"
    folder.mkdir(parents=True)

    def write(name, content):
        (folder / name).write_bytes(pickle.dumps(content))
        return [name, hashlib.md5((folder / name).read_bytes()).hexdigest()]

    def some(seed):
        return {
            "data": np.random.default_rng(seed).integers(0, 256, (10, 3072), dtype=np.uint8),
            "labels": list(range(10)),
        }

    published = torchvision.datasets.CIFAR10
    monkeypatch.setattr(published, "train_list", [write("data_batch_1", some(0)), write("data_batch_2", some(1))])
    monkeypatch.setattr(published, "test_list", [write("test_batch", some(2))])
    monkeypatch.setattr(
        published,
        "meta",
        {
            "filename": "batches.meta",
            "key": "label_names",
            "md5": write("batches.meta", {"label_names": Cifar10.names})[1],
        },
    )
    return folder


def test_cifar10_holds_the_pictures_channels_first(files, cifar):
    data = Cifar10(files, "train", root="data")
    expected = np.random.default_rng(0).integers(0, 256, (10, 3072), dtype=np.uint8).reshape(10, 3, 32, 32)
    assert np.array_equal(data.tensors["x"][:10].numpy(), expected)
    assert data.tensors["label"].tolist() == [*range(10), *range(10)]
    cats = Cifar10(files, "test", root="data", classes=["cat", "ship"], size=16)
    assert cats.tensors["x"].shape == (2, 3, 16, 16)
    assert torch.equal(cats.tensors["label"], torch.tensor([0, 1]))


class Trap:
    """Unpickling it leaves a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("name", ["data_batch_2", "test_batch", "batches.meta"])
def test_a_cifar10_file_that_is_not_the_published_one_is_never_unpickled(files, cifar, tmp_path, name):
    (cifar / name).write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    with pytest.raises(DataError, match="not the published one, so none is opened"):
        Cifar10(files, "train", root="data")
    assert not (tmp_path / "sprung").exists()


def test_cifar10_names_a_missing_folder(files):
    with pytest.raises(DataError, match="cifar-10-batches-py: there is no such folder"):
        Cifar10(files, "train", root="nothing")


def test_cifar10_offline_says_what_to_place_where(files, tmp_path, monkeypatch):
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "url", "http://127.0.0.1:9/cifar-10-python.tar.gz")
    with pytest.raises(DownloadError, match=r"MD5 c58f30108f718f92721af3b95e74349a"):
        Cifar10(files, "train")
