"""Folders of splits, as people name them."""

import pytest

from ganrun.data.split_folders import split_folder, warn_of_unread
from ganrun.errors import DataError


def folders(root, *names):
    for name in names:
        (root / name).mkdir()


@pytest.mark.parametrize("name", ["test", "Test", "testing", "val", "valid", "VALIDATION", "dev"])
def test_the_test_split_has_many_names(tmp_path, name):
    folders(tmp_path, "Train", name)
    assert split_folder(tmp_path, "train") == tmp_path / "Train"
    assert split_folder(tmp_path, "test") == tmp_path / name


def test_test_goes_before_validation_and_what_is_not_read_is_named(tmp_path):
    folders(tmp_path, "train", "validation", "test", "holdout")
    read = [split_folder(tmp_path, split) for split in ("train", "test")]
    assert [path.name for path in read] == ["train", "test"]
    with pytest.warns(UserWarning, match="test, train are read as splits; not read: holdout, validation"):
        warn_of_unread(tmp_path, read)


@pytest.mark.parametrize("name", ["trainA", "train_a", "Train-A"])
def test_a_side_may_follow(tmp_path, name):
    folders(tmp_path, name, "trainB")
    assert split_folder(tmp_path, "train", "A") == tmp_path / name
    assert split_folder(tmp_path, "train") is None


def test_two_folders_that_differ_in_case_alone_are_refused(tmp_path):
    folders(tmp_path, "val", "Val")
    with pytest.raises(DataError, match="which is the test split, Val or val"):
        split_folder(tmp_path, "test")
