"""Settings of a recipe as capabilities, and batch normalisation where it sees too little."""

import re

import pytest
from torch import nn

from ganrun.catalog.catalog import Catalog
from ganrun.data.splits import datasets
from ganrun.distributed import Processes
from ganrun.recipe import load_recipe
from ganrun.training.build import RefusedError, build
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
    with pytest.raises(RefusedError, match="network .*: a forward of it sees one row") as refused:
        make_run(tiny(**changes))
    (norms,) = set(re.findall(r"at least two rows \(or packs\), or norm: (.*)", str(refused.value)))
    assert "none" in norms.split(" or ")
    assert "batch" not in norms


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


@pytest.fixture
def as_two():
    """A function: the experiment of a recipe in one of two processes."""

    def make(recipe, *modules):
        loaded = load_recipe(recipe, catalog=Catalog(modules=modules))
        processes = Processes("cpu")
        processes.world = 2
        return build(loaded, datasets(loaded)("train"), processes, meta=True)

    return make


def test_batch_norm_warns_of_micro_batches(tiny, make_run):
    (warning,) = make_run(tiny(generator=BATCH_NORM, train={"accumulate": 2})).experiment.warnings
    assert warning.part == "network generator"
    assert "one micro-batch" in warning.why
    assert not make_run(tiny(generator=BATCH_NORM)).experiment.warnings
    assert not make_run(tiny(train={"accumulate": 2})).experiment.warnings


def test_batch_norm_warns_of_several_processes_unless_it_is_synchronised(tiny, as_two):
    def warnings(**train):
        return as_two(tiny(generator=BATCH_NORM, train=train)).warnings

    (warning,) = warnings()
    assert warning.part == "network generator"
    assert "the batch of one process" in warning.why
    assert warning.instead == "--set train.sync_batch_norm=true"
    assert not warnings(sync_batch_norm=True)
    assert not as_two(tiny()).warnings


def test_a_batch_norm_that_cannot_be_synchronised_is_refused(tiny, as_two, plugin_module):
    class Own(nn.BatchNorm1d):
        pass

    class Normed(nn.Sequential):
        def __init__(self, interface):
            super().__init__(nn.Linear(4, 2), Own(2))

    networks = plugin_module({"generator.normed": Normed})
    with pytest.raises(RefusedError, match=r"network generator: its Own is a BatchNorm of another kind"):
        as_two(tiny(generator="normed", train={"sync_batch_norm": True}), networks)
    assert len(as_two(tiny(generator="normed"), networks).warnings) == 1


def test_the_batch_size_that_a_refusal_suggests_is_accepted(tiny, as_two):
    """Of 449 items two processes with three micro-batches each can take 449 // 6 = 74 a micro-batch."""

    def of(**train):
        return as_two(tiny(dataset={"ring": {"count": 449}}, train=train)).clock.batch

    with pytest.raises(RefusedError, match=r"batch_size 256 x accumulate 1 x processes 2\)\n.*=224 or less"):
        of(batch_size=256)
    assert of(batch_size=224) == 448
    with pytest.raises(RefusedError, match=r"--set train.batch_size=74 or less"):
        of(batch_size=75, accumulate=3)
    assert of(batch_size=74, accumulate=3) == 444
    with pytest.raises(RefusedError, match=r"--set train.batch_size=1 --set train.accumulate=224 or less"):
        of(batch_size=1, accumulate=300)
    assert of(batch_size=1, accumulate=224) == 448
