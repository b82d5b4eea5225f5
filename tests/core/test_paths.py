"""Paths as people write them: no error for a user who is not there, nor for a loop of links."""

from pathlib import Path

import pytest

from ganrun.data.download import DownloadError, data_cache
from ganrun.paths import expanded, resolved


def test_home_is_expanded_and_an_unknown_user_stays_as_written(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert expanded("~/data") == Path("/home/me/data")
    assert expanded("~no-such-user/data") == Path("~no-such-user/data")
    assert expanded("data/~") == Path("data/~")


def test_links_are_followed_and_a_loop_of_them_is_no_error(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert resolved(tmp_path / "link" / ".." / "x") == tmp_path / "x"
    assert resolved(tmp_path / "a").parent == tmp_path


def test_without_a_home_folder_the_variable_that_names_another_place_is_named(monkeypatch):
    for name in ("GANRUN_DATA", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("ganrun.paths.os.path.expanduser", lambda path: path)
    with pytest.raises(DownloadError, match="set GANRUN_DATA"):
        data_cache()
