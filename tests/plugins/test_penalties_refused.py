"""Penalties that are refused or warned of: batch normalisation, clipping, probabilities, lazy targets."""

import pytest
import torch

from ganrun.training.build import RefusedError

NAMES = ["gradient-penalty", "zero-centred-penalty", "r1", "r2", "dragan-penalty", "roth-penalty"]


class Clipped:
    strength = ""
    provides = frozenset({"clipped"})


@pytest.mark.parametrize("name", NAMES)
def test_batch_norm_in_the_discriminator_is_refused_before_training(tiny, make_run, name):
    with pytest.raises(RefusedError, match="parts of all other samples' logits"):
        make_run(tiny(discriminator={"mlp": {"widths": [16, 16], "norm": "batch"}}, tricks=[name]))
    make_run(tiny(discriminator={"mlp": {"widths": [16, 16], "norm": "layer"}}, tricks=[name]))


def test_norms_with_a_target_are_refused_beside_clipping_and_others_are_not(tiny, make_run):
    plugins = {"trick.clip": Clipped}
    for name in ("gradient-penalty", "dragan-penalty"):
        with pytest.raises(RefusedError, match="flatter than the target"):
            make_run(tiny(tricks=[name, "clip"]), plugins)
    for name in ("zero-centred-penalty", "r1", "r2", "roth-penalty"):
        assert not make_run(tiny(tricks=[name, "clip"]), plugins).experiment.warnings
    run = make_run(tiny(tricks=[{"gradient-penalty": {"one_sided": True}}, "clip"]), plugins)
    assert ["the penalty is 0" in warning.why for warning in run.experiment.warnings] == [True]


def test_what_clipping_and_a_target_do_to_each_other():
    """In the box of 0.01 the steepest w of 2 numbers has norm 0.0141: GP is at least (1 - 0.0141)^2, and pushes w to a
    corner.
    """
    w = torch.tensor([0.004, -0.001], requires_grad=True)
    sgd = torch.optim.SGD([w], lr=1e-3)
    for _ in range(200):
        sgd.zero_grad()
        penalty = 10 * (w.norm() - 1).square()
        penalty.backward()
        sgd.step()
        w.data.clamp_(-0.01, 0.01)
    assert torch.allclose(w, torch.tensor([0.01, -0.01]))
    assert penalty.item() > 9.7


def test_roth_needs_a_probability(tiny, make_run):
    with pytest.raises(RefusedError, match="probabilities"):
        make_run(tiny(loss="least-squares", tricks=["roth-penalty"]))


def test_penalties_with_a_target_warn_when_lazy_or_beside_another(tiny, make_run):
    def warnings(*tricks):
        return [warning.why for warning in make_run(tiny(tricks=list(tricks))).experiment.warnings]

    assert not warnings("gradient-penalty")
    assert not warnings({"r1": {"every": 16}})
    assert len(warnings({"gradient-penalty": {"every": 4}})) == 1
    assert len(warnings({"dragan-penalty": {"every": 4}})) == 1
    assert "other points" in warnings("gradient-penalty", "dragan-penalty")[0]
    assert "pulls slopes to 0" in warnings("gradient-penalty", "r1")[0]
