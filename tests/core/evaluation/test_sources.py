"""Samples as they are scored."""

import json
from types import SimpleNamespace

import pytest
import torch

from ganrun.evaluation.sources import loaded, stored
from ganrun.words.spaces import Space


def test_images_have_256_levels_as_if_they_had_been_saved(make_run, with_all_tricks):
    run = make_run(with_all_tricks())
    fakes = run.evaluation.fakes(n=10)
    assert torch.equal(fakes, fakes.add(1).mul(127.5).round().div(127.5).sub(1))
    assert json.dumps(run.evaluation.spaces["x"].shape) == "[1, 16, 16]"


def test_samples_are_kept_in_the_levels_that_they_have_when_they_are_saved():
    spaces = dict.fromkeys(("bytes", "whole", "floats"), Space("image", (1, 1, 3)))
    data = SimpleNamespace(spaces=spaces, ranges={"whole": (0, 4095), "floats": (0, 1)})
    x = torch.tensor([[[[-1.0, 0.0001, 1.0]]]])
    assert stored(x, data, "bytes").tolist() == [[[[0, 128, 255]]]]
    twelve = stored(x, data, "whole")
    assert twelve.dtype == torch.float32
    assert twelve[0, 0, 0].tolist() == pytest.approx([-1, 2 * 2048 / 4095 - 1, 1], abs=1e-6)
    assert (stored(x, data, "floats") == x).all()
    assert (loaded(twelve) == twelve).all()
