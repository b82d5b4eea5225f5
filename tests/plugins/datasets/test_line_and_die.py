"""Points on a line: where they lie, and how often a die with two fours shows a four."""

import pytest
import torch

from ganrun.errors import DataError
from ganrun_plugins.datasets.die import Die
from ganrun_plugins.datasets.line import Line


def test_a_die_with_two_fours_shows_a_four_once_in_three_throws(files):
    die = Die(files, "train", count=30_000)
    x, label = die.tensors["x"].flatten(), die.tensors["label"]
    assert die.classes == ["1", "2", "3", "4", "6"]
    shares = label.bincount() / 30_000
    assert torch.allclose(shares, torch.tensor([1, 1, 1, 2, 1]) / 6, atol=0.01)
    numbers = torch.tensor([1.0, 2, 3, 4, 6])[label]
    assert float((x - numbers).std()) == pytest.approx(0.1, rel=0.02)
    assert float((x - numbers).mean().abs()) < 0.002


def test_the_splits_of_a_die_are_other_throws(files):
    train, test = Die(files, "train", count=100), Die(files, "test", count=100)
    assert not torch.equal(train.tensors["x"], test.tensors["x"])
    with pytest.raises(DataError, match="there are train and test"):
        Die(files, "validation")


def test_a_line_holds_as_many_points_around_each_centre(files):
    line = Line(files, "train", centres=(-2.0, 5.0), sd=0.5, count=20_000)
    x, label = line.tensors["x"].flatten(), line.tensors["label"]
    assert line.centres.tolist() == [[-2.0], [5.0]]
    assert line.classes == ["-2", "5"]
    assert abs(float((label == 1).float().mean()) - 0.5) < 0.02
    assert float(x[label == 1].mean()) == pytest.approx(5, abs=0.03)
    assert float(x[label == 0].std()) == pytest.approx(0.5, rel=0.05)
