"""Files are looked at once: the facts are kept until a file changes."""

import os
import sqlite3

import numpy as np
import pytest
from PIL import Image

from ganrun.data import known_files as module
from ganrun.data.known_files import known_files, read_files


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty folder of downloads, where the facts are kept."""
    monkeypatch.setenv("GANRUN_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


def pictures(folder, count):
    folder.mkdir()
    values = np.random.default_rng(0).integers(0, 256, (count, 8, 8), dtype=np.uint8)
    for number, one in enumerate(values):
        Image.fromarray(one).save(folder / f"{number}.png")
    return sorted(folder.iterdir())


def test_a_second_look_reads_nothing_and_finds_the_same(tmp_path, monkeypatch):
    paths = pictures(tmp_path / "p", 3)
    first, known = read_files(paths)
    assert known == 0
    monkeypatch.setattr(module, "contents", None)  # it would fail if it were called
    assert read_files(paths) == (first, 3)
    assert known_files(paths) == first


def test_a_file_that_changed_is_looked_at_again_and_one_that_is_gone_is_not_known(tmp_path):
    paths = pictures(tmp_path / "p", 3)
    read_files(paths)
    before = paths[0].stat()
    Image.new("L", (9, 9)).save(paths[0])
    os.utime(paths[0], ns=(before.st_atime_ns, before.st_mtime_ns))  # its size tells
    paths[1].unlink()
    assert list(known_files(paths)) == [paths[2]]
    found, known = read_files(paths)
    assert known == 1
    assert found[paths[0]].facts.size == (9, 9)
    assert found[paths[1]].facts.error == "No such file or directory"


def test_asked_to_look_again_nothing_counts_as_known(tmp_path):
    paths = pictures(tmp_path / "p", 2)
    first, _ = read_files(paths)
    assert read_files(paths, again=True) == (first, 0)


def test_several_processes_find_what_one_finds_and_one_that_dies_names_its_file(tmp_path, monkeypatch):
    paths = pictures(tmp_path / "p", module.ALONE + 10)
    own = {path: module.contents(path) for path in paths}

    def deadly(path):
        if path == paths[70]:
            os._exit(9)
        return own[path]

    monkeypatch.setattr(module, "contents", deadly)
    monkeypatch.setattr(module, "workers", lambda: 2)
    found, _ = read_files(paths)
    assert list(found) == paths
    assert "the process that read it was ended" in found.pop(paths[70]).facts.error
    own.pop(paths[70])
    assert found == own


def test_facts_of_another_version_and_a_damaged_table_are_forgotten(tmp_path, cache):
    paths = pictures(tmp_path / "p", 1)
    read_files(paths)
    with sqlite3.connect(cache / "facts.sqlite") as base:
        base.execute("PRAGMA user_version = 99")
    assert known_files(paths) == {}
    read_files(paths)
    (cache / "facts.sqlite").write_bytes(b"no table of ours" * 100)
    assert known_files(paths) == {}
    read_files(paths)
    assert known_files(paths)[paths[0]].facts.size == (8, 8)


def test_where_nothing_can_be_kept_it_is_said_and_files_are_read(tmp_path, cache):
    paths = pictures(tmp_path / "p", 1)
    cache.write_text("a file where the folder would be")
    with pytest.warns(UserWarning, match="is not kept"):
        found, known = read_files(paths)
    assert (found[paths[0]].facts.size, known) == ((8, 8), 0)


def test_a_name_that_is_no_text_is_kept(tmp_path):
    (path,) = pictures(tmp_path / "p", 1)
    odd = path.rename(os.fsdecode(os.fsencode(path.parent) + b"/\xff.png"))
    read_files([odd])
    assert list(known_files([odd])) == [odd]
