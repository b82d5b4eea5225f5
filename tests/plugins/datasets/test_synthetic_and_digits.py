"""Data sets that need no files: ring, grid, digits, restyled-digits."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from ganrun.data.reader import Reader, read_items
from ganrun.errors import DataError
from ganrun.randomness import ItemDraws
from ganrun.words.spaces import DataFiles
from ganrun_plugins.datasets import _scans
from ganrun_plugins.datasets._scans import load_scans
from ganrun_plugins.datasets.digits import Digits
from ganrun_plugins.datasets.grid import Grid
from ganrun_plugins.datasets.restyled_digits import RestyledDigits, restyled
from ganrun_plugins.datasets.ring import Ring

FILES = DataFiles(Path("."), Path("."))
EVERY = [Ring, Grid, Digits, RestyledDigits]


def everything(data):
    batches = list(read_items(data))
    return {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}


@pytest.mark.parametrize("make", EVERY)
def test_batches_are_what_the_spaces_declare(make):
    for split in ("train", "test"):
        data = make(FILES, split)
        batch = data.batch(torch.arange(3), ItemDraws((), np.asarray(0), np.arange(3)))
        assert set(batch) == set(data.spaces)
        for name, space in data.spaces.items():
            assert batch[name].shape == (3, *space.shape)
            assert (
                batch[name].dtype == {"image": torch.uint8, "labels": torch.int64, "points": torch.float32}[space.kind]
            )


@pytest.mark.parametrize("make", EVERY)
def test_the_same_parameters_give_the_same_data_and_fingerprint(make):
    first, again, test = make(FILES, "train"), make(FILES, "train"), make(FILES, "test")
    assert first.fingerprint() == again.fingerprint() != test.fingerprint()


@pytest.mark.parametrize("make", EVERY)
def test_another_split_is_refused(make):
    with pytest.raises(DataError, match="no split 'valid'"):
        make(FILES, "valid")


def test_the_ring_has_as_many_distinct_modes_as_it_says():
    """Angles 0, 45, ... 315 degrees: the end of the circle is not a mode of its own."""
    ring = Ring(FILES, "train", count=8000)
    torch.testing.assert_close(
        ring.centres[:3], torch.tensor([[1.0, 0.0], [math.sqrt(0.5), math.sqrt(0.5)], [0.0, 1.0]])
    )
    assert torch.pdist(ring.centres).min() > 0.7
    assert ring.sd == 0.01
    assert ring.provides == {"modes"}


def test_the_grid_is_that_of_the_papers():
    grid = Grid(FILES, "train", count=100)
    assert sorted(map(tuple, grid.centres.tolist())) == [(x, y) for x in (-4, -2, 0, 2, 4) for y in (-4, -2, 0, 2, 4)]
    assert grid.sd == 0.05


@pytest.mark.parametrize("make", [Ring, Grid])
def test_points_lie_around_the_mode_of_their_label(make):
    """Standard deviation sd per coordinate, and 98.89 % within 3 sd, as for a Gaussian in the plane."""
    data = make(FILES, "train")
    off = (data.tensors["x"] - data.centres[data.tensors["label"]]) / data.sd
    assert off.std().item() == pytest.approx(1, abs=0.01)
    assert (off.norm(dim=1) < 3).float().mean().item() == pytest.approx(1 - math.exp(-4.5), abs=0.002)
    shares = data.tensors["label"].bincount() / len(data)
    assert shares.min() > 0.8 / len(data.centres)


def test_modes_can_be_selected():
    ring = Ring(FILES, "test", classes=[2, "0"], count=50)
    torch.testing.assert_close(ring.centres, torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    assert ring.classes == ["2", "0"]
    assert (ring.tensors["x"][ring.tensors["label"] == 0] - ring.centres[0]).norm(dim=1).max() < 0.1


def test_digits_are_split_into_halves_of_each_class_without_overlap():
    train, test = load_scans("train"), load_scans("test")
    assert (len(train[0]), len(test[0])) == (899, 898)
    assert (train[1].bincount() - test[1].bincount()).abs().max() <= 1
    seen = {scan.numpy().tobytes() for scan in train[0]}
    both = sum(scan.numpy().tobytes() in seen for scan in test[0])
    assert both == 0


def test_digits_are_scikit_learns(monkeypatch):
    """Reading the bundled file and asking scikit-learn give the same pictures."""
    direct = _scans._bundle()
    monkeypatch.setattr(_scans, "find_spec", lambda name: None)
    images, target = _scans._bundle()
    assert np.array_equal(direct[0], images)
    assert np.array_equal(direct[1], target)


def test_digits_at_their_own_size_are_the_scans():
    scans, label = load_scans("train")
    data = Digits(FILES, "train", size=8)
    assert torch.equal(data.tensors["x"][:, 0], (scans * 255).round().to(torch.uint8))
    assert torch.equal(data.tensors["label"], label)
    assert Digits(FILES, "train").tensors["x"].shape == (899, 1, 32, 32)


def test_digits_can_be_selected_and_are_numbered_in_that_order():
    data = Digits(FILES, "test", classes=["7", 3])
    assert data.classes == ["7", "3"]
    assert data.spaces["label"].classes == 2
    whole = Digits(FILES, "test")
    assert torch.equal(data.tensors["x"][data.tensors["label"] == 0], whole.tensors["x"][whole.tensors["label"] == 7])


def test_a_limit_keeps_some_training_pictures_evenly_spread_and_all_test_pictures():
    """Of 899 pictures every 17.98th: the second is number 17, the last number 49 * 899 // 50 = 881."""
    some, whole = (Digits(FILES, "train", size=8, limit=limit) for limit in (50, None))
    assert len(some) == 50
    assert [torch.equal(some.tensors["x"][i], whole.tensors["x"][j]) for i, j in ((0, 0), (1, 17), (49, 881))] == [
        True
    ] * 3
    assert torch.equal(some.tensors["label"][[1, 49]], whole.tensors["label"][[17, 881]])
    assert len(Digits(FILES, "test", size=8, limit=50)) == 898
    assert len(Digits(FILES, "train", size=8, limit=5000)) == 899


def test_too_few_digits_for_a_batch_are_refused():
    with pytest.raises(DataError, match=r"has \d\d items, fewer than one batch of 200"):
        Reader(Digits(FILES, "train", classes=[1]), (), batch_rows=200)


def test_restyling_inverts_shears_and_thickens_by_hand():
    """A vertical line of one pixel, 32 high: three pixels wide, dark on white, moved right at the top by about 15.5 tan
    15 degrees.
    """
    x = torch.zeros(1, 1, 32, 32, dtype=torch.uint8)
    x[..., 16] = 255
    y = 255 - restyled(x)[0, 0].double()
    torch.testing.assert_close(y.sum(1), torch.full((32,), 3 * 255.0, dtype=torch.float64), atol=2, rtol=0)
    middle = (y * torch.arange(32)).sum(1) / y.sum(1)
    expected = 16 + math.tan(math.radians(15)) * (15.5 - torch.arange(32, dtype=torch.float64))
    torch.testing.assert_close(middle, expected, atol=0.05, rtol=0)


@pytest.mark.parametrize("split", ["train", "test"])
def test_no_scan_is_on_both_sides_of_restyled_digits(split):
    data = RestyledDigits(FILES, split)
    images = Digits(FILES, split).tensors["x"]
    place = {image.numpy().tobytes(): i for i, image in enumerate(images)}
    styled = {image.numpy().tobytes(): i for i, image in enumerate(restyled(images))}
    a = {place[image.numpy().tobytes()] for image in data.tensors["a"]}
    b = {styled[image.numpy().tobytes()] for image in data.tensors["b"]}
    assert not a & b
    assert len(a) + len(b) == len(images) == len(Digits(FILES, split))


def test_hidden_pairs_hold_every_test_scan_with_its_true_counterpart():
    data = RestyledDigits(FILES, "test")
    pairs = data.hidden_pairs()
    assert torch.equal(pairs["b"], restyled(pairs["a"]))
    assert torch.equal(pairs["a"], Digits(FILES, "test").tensors["x"])
    assert torch.equal(pairs["label"], Digits(FILES, "test").tensors["label"])
    assert set(data.spaces) == {"a", "b"}
    assert data.provides == {"hidden-pairs"}


def test_the_partner_in_training_is_drawn_anew_each_epoch_and_fixed_in_tests():
    indices, numbers = torch.arange(40), np.arange(40)
    for split, same in (("train", False), ("test", True)):
        data = RestyledDigits(FILES, split)
        first, again, other = (data.batch(indices, ItemDraws((0,), np.asarray(epoch), numbers)) for epoch in (0, 0, 1))
        assert torch.equal(first["a"], other["a"])
        assert torch.equal(first["b"], again["b"])
        assert torch.equal(first["b"], other["b"]) is same
