"""Tricks and variants on images that are no squares, and whose channels are many, or differ between the two sides."""

import re

import pytest
import torch

from ganrun.data.reader import InMemory
from ganrun.training.build import RefusedError
from ganrun.words.spaces import Space

TRAIN = {"steps": 2, "batch_size": 4, "device": "cpu"}


def data(**shapes):
    """A data set of random images, with an entry of each of these shapes."""

    class Random(InMemory):
        """Random images."""

        def __init__(self, files, split):
            draw = torch.Generator().manual_seed(0)
            images = {
                name: torch.randint(0, 256, (8, *shape), dtype=torch.uint8, generator=draw)
                for name, shape in shapes.items()
            }
            super().__init__(images, {name: Space("image", shape) for name, shape in shapes.items()})

    return {"dataset.random": Random}


@pytest.mark.parametrize(
    "trick",
    ["ada", "balanced-consistency", "diff-augment", "packing", "replay-buffer", "spectral-norm", "virtual-batch-norm"],
)
def test_tricks_take_rectangles_of_13_bands(make_run, trick):
    parameters = {"packing": {"m": 2}, "replay-buffer": {"size": 4}, "virtual-batch-norm": {"size": 4}}
    recipe = {
        "variant": "dcgan",
        "dataset": "random",
        "generator": {"dcgan": {"width": 2}},
        "discriminator": {"dcgan": {"width": 2, "norm": "none"}},
        "tricks": [{trick: parameters.get(trick, {})}],
        "train": TRAIN,
    }
    run = make_run(recipe, data(x=(13, 8, 12)))
    run.engine.step(0)
    run.engine.step(1)
    for network in run.engine.modules.values():
        assert all(bool(parameter.isfinite().all()) for parameter in network.parameters())


UNET = {"unet": {"width": 2}}


@pytest.mark.parametrize(
    ("variant", "generator", "discriminator", "shapes"),
    [
        ("pix2pix", UNET, {"patchgan": {"width": 2, "layers": 1}}, {"a": (13, 12, 20), "b": (3, 12, 20)}),
        ("discogan", {"discogan": {"width": 2}}, {"dcgan": {"width": 2}}, {"a": (13, 16, 24), "b": (1, 16, 24)}),
        (
            "srgan",
            {"srresnet": {"width": 2, "blocks": 1}},
            {"srgan": {"width": 2, "dense": 4}},
            {"low": (13, 6, 8), "x": (3, 24, 32)},
        ),
    ],
)
def test_variants_go_from_many_bands_to_others(make_run, variant, generator, discriminator, shapes):
    parts = {"generator": generator, "discriminator": discriminator, "train": TRAIN}
    run = make_run({"variant": variant, "dataset": "random", **parts}, data(**shapes))
    before = [p.clone() for p in run.engine.modules[next(iter(run.engine.modules))].parameters()]
    run.engine.step(0)
    run.engine.step(1)
    after = list(run.engine.modules[next(iter(run.engine.modules))].parameters())
    assert any(not torch.equal(old, new) for old, new in zip(before, after))
    assert all(bool(parameter.isfinite().all()) for parameter in after)


def test_patchgan_names_a_number_of_layers_that_works(make_run):
    recipe = {"variant": "pix2pix", "dataset": "random", "generator": UNET, "train": TRAIN}
    shapes = data(a=(1, 12, 20), b=(1, 12, 20))
    with pytest.raises(RefusedError, match="at least 24 pixels a side") as refused:
        make_run({**recipe, "discriminator": {"patchgan": {"width": 2, "layers": 3}}}, shapes)
    said = next(each.instead for each in refused.value.refusals if "patchgan" in each.why)
    layers = int(re.match(r"layers: (\d+)", said)[1])
    assert layers == 2
    make_run({**recipe, "discriminator": {"patchgan": {"width": 2, "layers": layers}}}, shapes).engine.step(0)
