"""Decoded images in a file: the same as those that are decoded each time, made once, whatever is killed or changed."""

import multiprocessing
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from ganrun.data.reader import Reader
from ganrun.plugin.data import DataError, DataFiles, ItemDraws
from ganrun_plugins.datasets import _decoded
from ganrun_plugins.datasets._decoded import Decoded, decoded
from ganrun_plugins.datasets.image_folder import ImageFolder
from ganrun_plugins.datasets.paired_folders import PairedFolders

MAKE = """
import sys
from pathlib import Path
import numpy as np
from ganrun_plugins.datasets._decoded import decoded

def compute(row):
    print("row", row, flush=True)
    if row == int(sys.argv[2]):
        sys.stdin.read()
    return np.full((1, 2, 2), row, np.uint8)

decoded(Path(sys.argv[1]), compute, 3, "images")
print("made", flush=True)
"""


def picture(path, width=30, height=20, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng([seed, width, height]).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(values).save(path)


@pytest.fixture
def files(tmp_path):
    """Folders of images of several sizes."""
    for i in range(6):
        picture(tmp_path / "zoo" / ["cat", "dog"][i % 2] / f"{i}.png", 20 + 3 * i, 24, i)
        for name in ("trainA", "trainB", "testA", "testB"):
            picture(tmp_path / "pairs" / name / f"{i}.png", 20 + i, 24, i + ord(name[-1]))
    return DataFiles(tmp_path, tmp_path / "cache")


def batch(data):
    rows = np.arange(len(data))
    return data.batch(torch.from_numpy(rows), ItemDraws(("key",), np.asarray(0), rows))


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("dataset", "parameters"),
    [
        (ImageFolder, {"root": "zoo"}),
        (ImageFolder, {"root": "zoo", "crop": "random", "flip": True}),
        (ImageFolder, {"root": "zoo", "in_memory": True, "channels": 1}),
        (PairedFolders, {"root": "pairs"}),
    ],
)
def test_images_are_those_that_are_decoded_anew(files, dataset, parameters):
    plain, kept = (dataset(files, "train", size=16, cache=cache, **parameters) for cache in (False, True))
    assert same(batch(plain), batch(kept))
    assert plain.fingerprint() == kept.fingerprint()


def test_it_is_said_where_they_lie_and_how_large_they_are(files, capsys):
    for word in ("decoded and kept as", "kept as"):
        ImageFolder(files, "train", root="zoo", size=16, test_fraction=0, cache=True)
        said = capsys.readouterr().err
        path = next((files.cache / "decoded").glob("zoo-*.images"))
        assert f"images of zoo: {word} {path} (0.0 MB)" in said  # 6 x 3 x 16 x 16 bytes, and their shapes


def test_they_are_decoded_again_only_when_files_or_the_fit_change(files):
    def made(**parameters):
        before = set((files.cache / "decoded").glob("*.images"))
        data = ImageFolder(files, "train", root="zoo", cache=True, **parameters)
        return set((files.cache / "decoded").glob("*.images")) - before, batch(data)["x"]

    assert made(size=16)[0]
    assert not made(size=16)[0]
    assert made(size=20)[0]
    changed = next((files.base / "zoo").rglob("*.png"))
    picture(changed, 40, 30, 99)
    new, images = made(size=16)
    assert new
    assert torch.equal(images, batch(ImageFolder(files, "train", root="zoo", size=16))["x"])


def test_they_are_read_without_workers(files):
    kept, plain = (ImageFolder(files, "train", root="zoo", size=16, cache=cache) for cache in (True, False))
    found = Reader(kept, ("key",), batch_rows=2, workers=2)
    wanted = Reader(plain, ("key",), batch_rows=2)
    for _ in range(4):
        assert same(found.get(2), wanted.get(2))
        found.advance(2)
        wanted.advance(2)
    assert not multiprocessing.active_children()


def test_arrays_of_several_shapes_and_of_floats_come_back_bit_for_bit(tmp_path):
    arrays = [np.random.default_rng(i).random((2, 3 + i, 4)).astype(np.float32) for i in range(3)]
    kept = decoded(tmp_path / "some.images", arrays.__getitem__, 3, "images")
    found = pickle.loads(pickle.dumps(kept)).take(np.array([2, 0, 2]))
    assert [x.shape for x in found] == [(2, 5, 4), (2, 3, 4), (2, 5, 4)]
    assert all(np.array_equal(x.numpy(), arrays[i]) for x, i in zip(found, [2, 0, 2]))
    assert found[0].dtype == torch.float32


def test_what_is_kept_is_not_computed_again_unless_it_is_damaged(tmp_path):
    path = tmp_path / "some.images"
    zeros = lambda row: np.zeros((1, 2, 2), np.uint8)  # noqa: E731
    decoded(path, zeros, 3, "images")
    assert len(decoded(path, None, 3, "images")) == 3
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(TypeError):
        decoded(path, None, 3, "images")
    assert decoded(path, zeros, 3, "images").take(np.arange(3)).shape == (3, 1, 2, 2)


def start(path, stop):
    return subprocess.Popen(
        [sys.executable, "-c", MAKE, str(path), str(stop)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_of_two_processes_one_decodes_and_of_one_that_is_killed_nothing_stays(tmp_path):
    path = tmp_path / "some.images"
    killed, first = start(path, 1), None
    try:
        assert [killed.stdout.readline() for _ in range(2)] == ["row 0\n", "row 1\n"]
        first = start(path, -1)  # it waits for the other
        assert first.stderr.readline() == "waiting: another process decodes the images\n"
        killed.kill()
        killed.communicate()
        said, _ = first.communicate()
        assert said == "row 0\nrow 1\nrow 2\nmade\n"
    finally:
        for process in (killed, first):
            if process is not None and process.poll() is None:
                process.kill()
                process.communicate()
    assert sorted(os.listdir(tmp_path)) == ["some.images", "some.images.lock"]
    assert Decoded(path).take(np.arange(3))[:, 0, 0, 0].tolist() == [0, 1, 2]


def test_a_disk_that_is_too_small_is_refused_before_it_is_full(tmp_path, monkeypatch):
    usage = _decoded.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(_decoded.shutil, "disk_usage", lambda path: usage._replace(free=7_000))
    with pytest.raises(DataError, match=r"images take 8\.0 MB, and 0\.0 MB are free; set GANRUN_DATA"):
        decoded(tmp_path / "some.images", lambda row: np.zeros((1, 100, 100), np.uint8), 800, "images")
    assert os.listdir(tmp_path) == ["some.images.lock"]


def test_an_image_that_cannot_be_decoded_is_named(files):
    next((files.base / "zoo").rglob("5.png")).write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"5\.png: cannot be read as an image"):
        ImageFolder(files, "train", root="zoo", size=16, test_fraction=0, cache=True)
