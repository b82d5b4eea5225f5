"""Features of a whole data set, for one that wraps it: those that evaluators see, kept on disk, refused by name."""

from pathlib import Path

import pytest
import torch

from ganrun.catalog.catalog import Catalog
from ganrun.data.reader import InMemory
from ganrun.errors import DataError, WrongResult
from ganrun.evaluation.evaluation import Evaluation
from ganrun.evaluation.item_features import item_features
from ganrun.evaluation.sources import Stored
from ganrun.recipe import load_part
from ganrun.words.spaces import DataFiles, Refusal, Space


@pytest.fixture
def files(tmp_path):
    return DataFiles(Path(), tmp_path)


def part(name="pixels", make=None):
    found = load_part(name, "features", catalog=Catalog(), origin="test")
    if make is not None:
        found.make = make
    return found


def images(n=300, seed=0):
    x = torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return InMemory({"x": x}, {"x": Space("image", (1, 4, 4))})


class Sums:
    """A sum of pixels as the only feature, and how often it was asked for."""

    size = 1
    mark = "sums"

    def __init__(self, context):
        self.context = context
        self.calls = 0

    def __call__(self, x):
        self.calls += 1
        return x.flatten(1).sum(1, keepdim=True)

    def fingerprint(self):
        return self.mark


def test_they_are_those_that_evaluators_see(files, tmp_path):
    """Rounded to 256 levels, row by row, of all 300 items."""
    data = images()
    found = item_features(part(), data, files)
    evaluation = Evaluation(Stored(data, "images"), lambda split: data, tmp_path)
    assert found.shape == (300, 16)
    rows = torch.from_numpy(evaluation.rows("train", range(300)))
    assert torch.equal(found[rows], evaluation.features_of(part(), "real", split="train"))


def test_they_are_computed_once_and_read_from_disk_then(files):
    made = []
    counting = part(make=lambda context: made.append(Sums(context)) or made[-1])
    first, second = (item_features(counting, images(), files) for _ in range(2))
    assert torch.equal(first, second)
    assert [extract.calls for extract in made] == [2, 0]  # 300 items in chunks of 256


def test_other_data_or_another_extractor_have_other_features(files):
    class Doubled(Sums):
        mark = "doubled sums"

        def __call__(self, x):
            return 2 * super().__call__(x)

    first = item_features(part(make=Sums), images(7), files)
    assert torch.equal(item_features(part(make=Doubled), images(7), files), 2 * first)
    assert not torch.equal(item_features(part(make=Sums), images(7, seed=1), files), first)
    assert len(item_features(part(make=Sums), images(5), files)) == 5


class Unmarked:
    """Seven images that have no fingerprint."""

    def __init__(self):
        self.spaces, self.batch = images(7).spaces, images(7).batch

    def __len__(self):
        return 7


@pytest.mark.parametrize(("data", "keep"), [(Unmarked(), True), (images(7), False)])
def test_without_a_fingerprint_or_if_the_extractor_says_so_they_are_not_kept(files, data, keep):
    made = []
    unkept = part(make=lambda context: made.append(type("Unkept", (Sums,), {"keep": keep})(context)) or made[-1])
    for _ in range(2):
        item_features(unkept, data, files)
    assert [extract.calls for extract in made] == [1, 1]


def test_features_of_another_shape_are_an_error_of_the_extractor(files):
    class Flat(Sums):
        def __call__(self, x):
            return x.flatten(1).sum(1)

    with pytest.raises(WrongResult, match=r"Flat.*\(7, 1\).*\(7,\)"):
        item_features(part(make=Flat), images(7), files)


def test_an_extractor_may_learn_from_another_split(files):
    seen = []
    train, test = images(8), images(5)
    remembering = part(make=lambda context: seen.append(context.data) or Sums(context))
    item_features(remembering, test, files, train=train)
    item_features(remembering, train, files)
    assert seen == [train, train]


def test_an_entry_that_is_not_there_is_refused(files):
    with pytest.raises(DataError, match="features pixels: the data have no entry 'y'; they have x"):
        item_features(part(), images(4), files, entry="y")


def test_what_the_extractor_refuses_is_an_error_of_the_data(files):
    def refuse(context):
        raise Refusal("it needs colour", "channels: 3")

    with pytest.raises(DataError, match="features pixels: it needs colour; channels: 3"):
        item_features(part(make=refuse), images(4), files)


def test_data_without_an_end_are_refused(files):
    class Endless(InMemory):
        def __len__(self):
            return 10**9

    data = Endless({"x": torch.zeros(1, 2)}, {"x": Space("points", (2,))})
    with pytest.raises(DataError, match="1,000,000,000 items are too many"):
        item_features(part(), data, files)
