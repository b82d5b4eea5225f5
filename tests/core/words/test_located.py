"""Paths as people write them: of this system, of Windows, with control characters."""

import pytest

from ganrun.errors import UserError
from ganrun.words import located as places
from ganrun.words.located import located


def test_a_relative_path_starts_at_the_base_and_an_absolute_one_stays(tmp_path):
    assert located(tmp_path, "a/../b") == tmp_path / "b"
    assert located(tmp_path, str(tmp_path / "c")) == tmp_path / "c"


@pytest.mark.parametrize("path", [r"C:\Users\me\data", "C:/Users/me/data"])
def test_a_drive_is_looked_for_where_linux_inside_windows_has_it(tmp_path, monkeypatch, path):
    monkeypatch.setattr(places, "MOUNTS", tmp_path)
    with pytest.raises(UserError, match="a path of Windows, and this is another system"):
        located(tmp_path, path)
    (tmp_path / "c").mkdir()
    assert located(tmp_path / "elsewhere", path) == tmp_path / "c" / "Users" / "me" / "data"


def test_a_share_of_windows_is_refused(tmp_path):
    with pytest.raises(UserError, match="a path of Windows"):
        located(tmp_path, r"\\server\data")


def test_backslashes_separate_folders_unless_a_name_has_them(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert located(tmp_path, r"a\b") == tmp_path / "a" / "b"
    (tmp_path / r"a\b").mkdir()
    assert located(tmp_path, r"a\b") == tmp_path / r"a\b"
    with pytest.raises(UserError, match="on this system / separates folders"):
        located(tmp_path, r"a\c")


def test_a_backslash_that_yaml_took_for_an_escape_is_named(tmp_path):
    with pytest.raises(UserError, match=r"'C:\\new': a path with a control character; in double quotes"):
        located(tmp_path, "C:\new")
