"""Files are written as a whole and through no link, and reading one neither waits nor takes more than a limit."""

import os

import pytest

from ganrun import files


@pytest.fixture
def precious(tmp_path):
    """A file beside the folder that is written."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "precious.txt").write_text("precious")
    return tmp_path / "precious.txt"


@pytest.mark.parametrize("name", ["a.txt", ".a.txt.writing"], ids=["name", "name until then"])
@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_link_is_replaced_and_not_written_through(precious, tmp_path, name, link):
    link(precious, tmp_path / "folder" / name)
    files.write(tmp_path / "folder/a.txt", "new")
    assert precious.read_text() == "precious"
    assert (tmp_path / "folder/a.txt").read_text() == "new"
    assert not (tmp_path / "folder/a.txt").is_symlink()
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["a.txt"]


def test_a_block_that_fails_leaves_the_file_as_it_was(tmp_path):
    files.write(tmp_path / "a.txt", "old")
    with pytest.raises(RuntimeError), files.writing(tmp_path / "a.txt") as file:
        file.write(b"half")
        raise RuntimeError
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.txt", "old")]


def test_what_cannot_be_written_is_named_by_its_own_name(tmp_path):
    (tmp_path / "a.txt").mkdir()
    for place in (tmp_path / "a.txt", tmp_path / "nowhere/a.txt"):
        with pytest.raises(OSError, match="directory") as caught:
            files.write(place, "new")
        assert caught.value.filename == str(place)
    with pytest.raises(OSError, match="No space left") as full, files.writing(tmp_path / "b.txt"):
        raise OSError(28, "No space left on device")  # which names no file
    assert full.value.filename == str(tmp_path / "b.txt")


def test_folders_on_the_way_are_made_and_the_first_is_not(tmp_path):
    assert files.below(tmp_path, "a/b/c.txt") == tmp_path / "a/b/c.txt"
    assert (tmp_path / "a/b").is_dir()
    assert not (tmp_path / "a/b/c.txt").exists()
    with pytest.raises(FileNotFoundError):
        files.below(tmp_path / "moved", "a/b.txt")
    assert not (tmp_path / "moved").exists()


@pytest.mark.parametrize("name", ["folder", "folder/inner", "folder/inner/a.txt"])
def test_no_part_of_a_path_below_may_be_a_link(precious, tmp_path, name):
    run = tmp_path / "run"
    (run / name).parent.mkdir(parents=True)
    (run / name).symlink_to(tmp_path / "folder")
    with pytest.raises(OSError, match="it is a link") as caught:
        files.below(run, "folder/inner/a.txt")
    assert caught.value.filename == str(run / name)
    assert not list((tmp_path / "folder").iterdir())


def test_the_folder_itself_may_be_a_link(precious, tmp_path):
    (tmp_path / "run").symlink_to(tmp_path / "folder")
    files.write(files.below(tmp_path / "run", "a/b.txt"), "new")
    assert (tmp_path / "folder/a/b.txt").read_text() == "new"


def test_only_files_are_read_and_nothing_is_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(OSError, match="not a file"):
            files.read_bytes(tmp_path / name)
        with pytest.raises(OSError, match="not a file|directory|No such device"):
            files.open_regular(tmp_path / name, os.O_WRONLY)
    with pytest.raises(FileNotFoundError):
        files.read_bytes(tmp_path / "nothing")


def test_a_file_larger_than_the_limit_is_not_read(tmp_path):
    (tmp_path / "a").write_bytes(b"123")
    assert files.read_bytes(tmp_path / "a", largest=3) == b"123"
    with pytest.raises(OSError, match="larger than 2 bytes"):
        files.read_bytes(tmp_path / "a", largest=2)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"a": ' * 100_000, "9" * 5000, "\ufeff{}"])
def test_what_is_no_json_is_a_value_error(tmp_path, text):
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="."):
        files.read_json(tmp_path / "a.json")


def test_bytes_that_are_no_text_are_a_value_error(tmp_path):
    (tmp_path / "a.json").write_bytes(b'{"a": "\xff"}')
    with pytest.raises(ValueError, match="utf-8"):
        files.read_json(tmp_path / "a.json")
