"""Everything in a folder: images, other files, links, what is no file, hidden ones."""

import os

import pytest

from ganrun.errors import DataError
from ganrun.inspection.listing import described, listing


def test_all_that_is_there_is_sorted_by_what_it_is(tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    for name in ("z.PNG", "a/y.jpg", "a/b/x.tif", "notes.txt", "a/more.txt", "README", ".hidden.png"):
        (tmp_path / name).write_bytes(b"?")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "broken.png").symlink_to("nowhere")
    (tmp_path / "a/b/loop").symlink_to(tmp_path)
    found = listing(tmp_path)
    names = [path.relative_to(tmp_path).as_posix() for path in found.pictures]
    assert names == ["a/b/x.tif", "a/y.jpg", "broken.png", "z.PNG"]
    assert {suffix: len(paths) for suffix, paths in found.others.items()} == {"": 1, ".txt": 2}
    assert found.left_out == {tmp_path / "pipe.png": "this is a pipe, not a file"}
    assert found.hidden == 1


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(DataError, match="there is no such folder"):
        listing(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("suffix", "begins", "words"),
    [
        (".dat", b"\xff\xd8\xff\xe0", "JPEG images under another name"),
        ("", b"\x89PNG\r\n\x1a\n", "PNG images under another name"),
        (".heic", b"????", "photographs of phones"),
        (".h5", b"\x89HDF\r\n\x1a\n", "HDF5 files; convert them to .npy"),
        (".txt", b"hello", ""),
    ],
)
def test_what_files_of_other_suffixes_are(tmp_path, suffix, begins, words):
    (tmp_path / f"a{suffix}").write_bytes(begins)
    assert words in described(suffix, [tmp_path / f"a{suffix}"])
    assert bool(words) == bool(described(suffix, [tmp_path / f"a{suffix}"]))
