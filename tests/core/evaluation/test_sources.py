"""Samples as they are scored."""

import json

import torch


def test_images_have_256_levels_as_if_they_had_been_saved(make_run, with_all_tricks):
    run = make_run(with_all_tricks())
    fakes = run.evaluation.fakes(n=10)
    assert torch.equal(fakes, fakes.add(1).mul(127.5).round().div(127.5).sub(1))
    assert json.dumps(run.evaluation.spaces["x"].shape) == "[1, 16, 16]"
