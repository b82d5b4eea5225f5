"""Settings of a recipe as capabilities, and batch normalisation where it sees too little."""

import pytest
from torch import nn

from ganrun.training.build import RefusedError
from ganrun.words.spaces import Reason


@pytest.mark.parametrize(
    ("capability", "changes"),
    [
        ("accumulated", {"train": {"accumulate": 2}}),
        ("joint-batches", {"train": {"batches": "joint"}}),
        ("single-sample", {"train": {"batch_size": 1}}),
    ],
)
def test_settings_are_capabilities_that_parts_may_refuse(tiny, make_run, capability, changes):
    class Careful:
        strength = ""
        refuses = {capability: Reason("it cannot", "do otherwise")}

    make_run(tiny(tricks=["careful"]), {"trick.careful": Careful})
    with pytest.raises(RefusedError, match="it cannot"):
        make_run(tiny(tricks=["careful"], **changes), {"trick.careful": Careful})


BATCH_NORM = {"mlp": {"widths": [16, 16], "norm": "batch"}}


@pytest.mark.parametrize(
    "changes",
    [
        {"generator": BATCH_NORM, "train": {"batch_size": 1}},
        {"discriminator": BATCH_NORM, "train": {"batch_size": 1}},
        {"discriminator": BATCH_NORM, "tricks": [{"packing": {"m": 8}}]},
    ],
)
def test_batch_norm_over_one_number_a_channel_is_refused(tiny, make_run, changes):
    with pytest.raises(RefusedError, match="network .*: a forward of it sees one row"):
        make_run(tiny(**changes))


def test_batch_norm_over_the_pixels_of_one_row_trains(tiny, make_run):
    """And so does a network whose BatchNorm a trick has taken out.

    torch itself refuses the others in the middle of a step.
    """
    images = {"variant": {"dcgan": {"latent": 4}}, "dataset": {"digits": {"size": 16}}}
    networks = {"generator": {"dcgan": {"width": 4}}, "discriminator": {"dcgan": {"width": 4}}}
    run = make_run(tiny(**images, **networks, train={"batch_size": 1}))
    assert any(isinstance(layer, nn.BatchNorm2d) for layer in run.engine.modules["generator"].modules())
    run.engine.step(0)
    make_run(tiny(generator=BATCH_NORM, tricks=["norm-swap"], train={"batch_size": 1})).engine.step(0)


def test_batch_norm_warns_of_micro_batches(tiny, make_run):
    (warning,) = make_run(tiny(generator=BATCH_NORM, train={"accumulate": 2})).experiment.warnings
    assert warning.part == "network generator"
    assert "one micro-batch" in warning.why
    assert not make_run(tiny(generator=BATCH_NORM)).experiment.warnings
    assert not make_run(tiny(train={"accumulate": 2})).experiment.warnings
