"""Files are looked at before training: what cannot be read is named, all of it."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from ganrun.data import file_check
from ganrun.data.file_check import check_files, facts_of, listed
from ganrun.errors import DataError
from ganrun.words.spaces import Space


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty folder of downloads, where facts are kept."""
    monkeypatch.setenv("GANRUN_DATA", str(tmp_path / "cache"))


def pictures(folder, count):
    folder.mkdir()
    for number in range(count):
        Image.new("L", (8, 8), number).save(folder / f"{number:02d}.png")
    return sorted(folder.iterdir())


def test_all_files_that_cannot_be_read_are_named_with_reasons(tmp_path):
    paths = pictures(tmp_path / "p", 5)
    check_files(SimpleNamespace(paths=paths))
    paths[1].write_bytes(paths[1].read_bytes()[:45])
    paths[3].write_text("no image")
    with pytest.raises(DataError) as caught:
        check_files(SimpleNamespace(paths=paths))
    lines = str(caught.value).splitlines()
    assert lines[0] == "2 of 5 images cannot be read; repair them or remove them:"
    assert [str(path) in line for path, line in zip((paths[1], paths[3]), lines[1:], strict=True)] == [True, True]
    with pytest.raises(DataError, match="or set `bad_images: skip`, which leaves them out"):
        check_files(SimpleNamespace(paths=paths, skipped={}))


def test_a_data_set_without_files_is_fine():
    check_files(SimpleNamespace())


def test_what_loses_bits_is_warned_of_unless_there_is_a_range(tmp_path):
    paths = pictures(tmp_path / "p", 2)
    Image.fromarray(np.full((8, 8), 4000, np.uint16)).save(paths[0])
    with pytest.warns(UserWarning, match="1 of 2 images have more than 8 bits, which are scaled to 8"):
        check_files(SimpleNamespace(paths=paths))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_files(SimpleNamespace(paths=paths, ranges={"x": (0, 4095)}, spaces={"x": Space("image", (1, 8, 8))}))


def test_what_a_range_cuts_off_is_warned_of(tmp_path):
    """Values of 1 and 4000, with a range up to 1000; of a side without a range 0 to 255 are allowed."""
    paths = pictures(tmp_path / "p", 2)
    Image.fromarray(np.full((8, 8), 4000, np.uint16)).save(paths[0])
    x = Space("image", (1, 8, 8))
    with pytest.warns(UserWarning, match="1 of 2 images have values outside the range of 0 to 1000, from 1 to 4000"):
        check_files(SimpleNamespace(paths=paths, ranges={"x": (0, 1000)}, spaces={"x": x}))
    Image.fromarray(np.full((8, 8), 100, np.uint16)).save(paths[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_files(SimpleNamespace(paths=paths, ranges={"a": (50, 200)}, spaces={"a": x, "b": x}))


def test_of_many_files_those_that_are_known_and_some_others_are_looked_at(tmp_path):
    paths = pictures(tmp_path / "p", 10)
    known = [path for path, _ in facts_of(paths[:3])]
    assert known == paths[:3]
    found = [path for path, _ in facts_of(paths, most=2)]
    assert found == [*paths[:4], paths[9]]
    assert [path for path, _ in facts_of(paths, most=0)] == found


def test_many_files_come_in_parts_in_their_order(tmp_path, monkeypatch):
    paths = pictures(tmp_path / "p", 5)
    monkeypatch.setattr(file_check, "_AT_ONCE", 2)
    assert [path for path, _ in facts_of(paths)] == paths


def test_a_long_list_is_cut_and_says_so(tmp_path):
    text = listed({tmp_path / str(n): "gone" for n in range(5)}, most=2)
    assert text.splitlines() == [f"  {tmp_path / '0'}: gone", f"  {tmp_path / '1'}: gone", "  and 3 more"]
