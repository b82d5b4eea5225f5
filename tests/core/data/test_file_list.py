"""Many files by their names alone: the same paths in the same order as a list of them, in little memory."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from ganrun.data.file_list import FileList
from ganrun.randomness import stable_hash

NAMES = ["b/ü 1.png", "a/2.png", "3.png", "b/c/\udcff.png"]


def test_files_are_paths_below_the_root_in_the_order_of_their_names():
    files = FileList(Path("/data"), iter(NAMES))
    assert len(files) == 4
    assert list(files) == [Path("/data") / name for name in NAMES]
    assert list(files.names()) == NAMES
    assert files[-1] == Path("/data/b/c/\udcff.png")
    assert list(files[1:3]) == [Path("/data/a/2.png"), Path("/data/3.png")]
    assert Path("/data/3.png") in files
    with pytest.raises(IndexError):
        files[4]


def test_some_of_the_files_may_be_taken_more_than_once():
    some = FileList(Path("/data"), NAMES).take(np.array([2, 0, 0]))
    assert list(some.names()) == ["3.png", "b/ü 1.png", "b/ü 1.png"]
    assert list(some.take(np.array([1, 0])).names()) == ["b/ü 1.png", "3.png"]


def test_files_are_mixed_by_a_hash_of_their_names():
    files = FileList(Path("/data"), NAMES)
    assert list(files.mixed("zoo").names()) == sorted(NAMES, key=lambda name: stable_hash("zoo", name))


def test_the_first_folders_are_sorted_and_numbered():
    folders, number = FileList(Path("/data"), NAMES).folders()
    assert folders == ["a", "b"]
    assert number.tolist() == [1, 0, -1, 1]


def test_names_cross_the_borders_of_blocks():
    names = [f"{i}.png" for i in range((1 << 16) + 3)]
    assert list(FileList(Path("/data"), names).names()) == names


def test_a_file_takes_little_more_memory_than_its_name():
    tracemalloc.start()
    try:
        files = FileList(Path("/data"), (f"class/{i:08}.jpg" for i in range(20_000)))  # of 18 bytes each
        held, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held / len(files) < 32
    assert most / len(files) < 120
