"""Losses of energies on every stage of a run, and what they are refused with."""

import pytest
import torch
from energies import SMALL, make_round, values

from ganrun.preflight.stages import STAGES
from ganrun.testing.runs import weights
from ganrun.training.build import RefusedError
from ganrun_plugins.losses.began import BEGAN
from ganrun_plugins.losses.ebgan import EBGAN
from ganrun_plugins.losses.magan import MAGAN

TRAINED = ["began", "ebgan", {"magan": {"pretrain": 1}}]


@pytest.mark.parametrize("loss", [BEGAN(), EBGAN(), MAGAN()], ids=lambda loss: type(loss).__name__)
def test_the_score_is_minus_the_energy(loss):
    energies = torch.tensor([0.0, 2.0])
    assert torch.equal(loss.score(make_round("discriminator", [1.0], [1.0]), energies), -energies)


@pytest.mark.parametrize("loss", TRAINED, ids=str)
@pytest.mark.parametrize("stage", ["points", "images", "translation"])
def test_every_loss_trains_on_every_stage(make_run, loss, stage):
    run = make_run({**STAGES[stage], "loss": loss, "discriminator": SMALL})
    before = weights(run)
    for step in range(3):
        run.engine.step(step)
    changed = {
        name.split(".")[0].split("_")[0] for name, value in weights(run).items() if not torch.equal(value, before[name])
    }
    assert changed == {"generator", "discriminator"}
    assert all(value.isfinite() for terms in run.engine.terms.values() for value in terms.values())


@pytest.mark.parametrize("loss", TRAINED, ids=str)
def test_a_discriminator_without_an_energy_is_refused(make_run, tiny, loss):
    with pytest.raises(RefusedError, match="instead: discriminator: autoencoder"):
        make_run(tiny(loss=loss))


def test_without_a_floor_the_losses_have_no_least_value():
    """What the refusal prevents: on a discriminator of free logits, real samples' logits of -c cost -c, for any c."""
    for loss in (BEGAN(), EBGAN(), MAGAN()):
        assert sum(sum(v) for v in values(loss, "discriminator", [-1e6], [2.0]).values()) == pytest.approx(
            -1e6, rel=1e-5
        )
