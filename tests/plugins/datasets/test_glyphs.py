"""Glyphs: many classes of written figures, drawn by a program."""

import numpy as np
import torch

from ganrun.randomness import ItemDraws
from ganrun.words.spaces import DataFiles
from ganrun_plugins.datasets.glyphs import Glyphs, figures, inked, written


def glyphs(tmp_path, split="train", **parameters):
    return Glyphs(DataFiles(tmp_path, tmp_path), split, **parameters)


def test_classes_can_be_told_apart_by_their_mean_picture(tmp_path):
    """128 classes: the nearest class mean of the train split names 95 % of test pictures and more; one guess in 128 is
    0.8 %.
    """
    train, test = glyphs(tmp_path, items=12), glyphs(tmp_path, "test", items=4)
    assert train.spaces["label"].classes == len(train.classes) == 128
    means = torch.stack([train.tensors["x"][train.tensors["label"] == k].float().mean(0).flatten() for k in range(128)])
    nearest = torch.cdist(test.tensors["x"].float().flatten(1), means).argmin(1)
    assert (nearest == test.tensors["label"]).double().mean() > 0.95


def test_every_class_has_as_many_items_and_every_item_differs(tmp_path):
    data = glyphs(tmp_path, classes=10, items=6)
    assert torch.bincount(data.tensors["label"]).tolist() == [6] * 10
    assert len(torch.unique(data.tensors["x"].flatten(1), dim=0)) == 60


def test_more_classes_or_items_leave_the_others_as_they_were(tmp_path):
    small, large = glyphs(tmp_path, classes=3, items=2), glyphs(tmp_path, classes=7, items=5)

    def item(data, label, number):
        return data.tensors["x"][data.tensors["label"] == label][number]

    assert all(
        torch.equal(item(small, label, number), item(large, label, number)) for label in range(3) for number in range(2)
    )


def test_figures_have_strokes_between_different_points_of_the_grid():
    found = figures(50, 4)
    ends = np.round(np.stack([found[:, :, 0], found[:, :, 2]], axis=2), 3)  # (50, 4, 2, 2)
    assert set(np.unique(ends)) == {0.2, 0.5, 0.8}
    assert all(len({tuple(stroke.flatten()) for stroke in figure}) == 4 for figure in ends)
    straight = (found[:, :, 0] + found[:, :, 2]) / 2
    # the curve's middle lies half as far out as its control point
    out = np.linalg.norm(found[:, :, 1] - straight, axis=-1) / 2
    assert (out <= 0.3 * np.linalg.norm(found[:, :, 2] - found[:, :, 0], axis=-1) + 1e-12).all()


def test_ink_by_hand():
    """A line along y = 0.5 from x = 0.25 to 0.75 with a pen of 0.1, on 10 x 10 pixels.

    Pixel (5, 5) has its middle at (0.55, 0.55), 0.05 from the line: ink (0.1 - 0.05) * 10 + 0.5 = 1. Pixel (6, 5) is
    0.15 away: 0, and so is pixel (5, 9), whose nearest point is the end at 0.75, sqrt(0.2^2 + 0.05^2) = 0.206 away.
    With a pen of 0.12 pixel (6, 5) has (0.12 - 0.15) * 10 + 0.5 = 0.2.
    """
    line = torch.tensor([[[[0.25, 0.5], [0.5, 0.5], [0.75, 0.5]]]], dtype=torch.float64)
    thin, thick = (inked(line, torch.tensor([pen], dtype=torch.float64), 10)[0, 0] for pen in (0.1, 0.12))
    assert [int(thin[row, column]) for row, column in ((5, 5), (6, 5), (5, 9))] == [255, 0, 0]
    assert int(thick[6, 5]) == 51
    assert torch.equal(thin, thin.flip(0))


def test_without_jitter_hands_alone_differ():
    """Every point of a figure is moved by one affine map: the middles of three strokes' ends are where the map puts
    them.
    """
    figure = figures(1, 3).repeat(5, axis=0)  # (5, 3, 3, 2)
    curves, pen = written(figure, ItemDraws(("test",), np.zeros(5, np.int64), np.arange(5)), 0.0)
    assert ((pen >= 0.03) & (pen < 0.05)).all()
    for row in range(5):
        before = np.concatenate([figure[row, :, [0, 2]].reshape(-1, 2), np.ones((6, 1))], axis=1)
        after = curves[row][:, [0, -1]].transpose(1, 0, 2).reshape(-1, 2)
        fitted, *_ = np.linalg.lstsq(before, after, rcond=None)
        assert np.allclose(before @ fitted, after)
        assert np.abs(np.array([0.5, 0.5, 1]) @ fitted - 0.5).max() < 0.04 + 1e-9
