"""The splits of a recipe's data set: each is made once, and what cannot be read by number is refused."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from ganrun.data.reader import DataDescription
from ganrun.data.splits import datasets_described, datasets_of_part
from ganrun.errors import DataError
from ganrun.recipe import Part


def splits_of(make):
    return datasets_of_part(SimpleNamespace(name="river", make=make), Path())


def test_each_split_is_made_once():
    made = []
    splits = splits_of(lambda files, split: made.append(split) or [split])
    assert splits("train") is splits("train")
    assert splits("test") == ["test"]
    assert made == ["train", "test"]


def test_a_length_that_fails_is_no_missing_length():
    class River:
        def __len__(self):
            return len(None)

    assert isinstance(splits_of(lambda files, split: River())("train"), River)


def test_a_stream_without_a_length_is_refused_with_what_to_do():
    with pytest.raises(DataError, match=r"dataset river: it has no length .* found again by its number.* 10\*\*12"):
        splits_of(lambda files, split: iter([]))("train")


def test_a_description_of_no_items_is_one_and_nothing_is_opened():
    class Empty:
        """Data that would have to be fetched."""

        def __init__(self, files, split):
            raise AssertionError("opened")

        @classmethod
        def describe(cls, split):
            return DataDescription({}, 0)

    part = Part("dataset", "empty", {}, SimpleNamespace(factory=Empty), ("dataset",))
    assert len(datasets_described(SimpleNamespace(dataset=part, base=Path()))("test")) == 0
