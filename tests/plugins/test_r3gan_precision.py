"""R3GAN's precision by stage: which layers compute in float32 under mixed precision."""

import pytest
import torch

from ganrun.words.spaces import Interface, Space
from ganrun_plugins.networks.r3gan import Block, R3GANDiscriminator, R3GANGenerator, Resample

NARROW = {"width": 8, "cardinality": 2, "blocks": 1}
IMAGE = Space("image", (3, 16, 16))
HALF, FULL = torch.bfloat16, torch.float32


def networks(**settings):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return (
            R3GANGenerator(Interface(Space("latent", (4,)), IMAGE), **NARROW, **settings),
            R3GANDiscriminator(Interface(IMAGE), **NARROW, **settings),
        )


def precisions(network, x) -> list[torch.dtype]:
    """The formats of what convolutions inside blocks, resampling and the convolution at the image make, in order."""
    found = []
    kinds = (Block, Resample)
    watched = [
        module.first if isinstance(module, Block) else module
        for module in network.modules()
        if isinstance(module, kinds)
    ]
    watched.append(network.main[-1] if isinstance(network, R3GANGenerator) else network.extraction)
    handles = [module.register_forward_hook(lambda module, given, out: found.append(out.dtype)) for module in watched]
    with torch.autocast("cpu", dtype=HALF):
        network(x)
    for handle in handles:
        handle.remove()
    return found


@pytest.mark.parametrize(
    ("below", "up"),
    [
        (0, [HALF] * 6),
        (8, [FULL] + [HALF] * 5),  # the block of 4 x 4, then upwards to 8, its block, to 16, its block, the image
        (16, [FULL] * 3 + [HALF] * 3),
        (32, [FULL] * 6),
    ],
)
def test_stages_of_sides_below_compute_in_float32_in_both_networks(below, up):
    """The discriminator is the generator upside down: resampling goes with the larger side in both."""
    generator, discriminator = networks(float32_below=below)
    assert precisions(generator, torch.randn(2, 4)) == up
    assert precisions(discriminator, torch.randn(2, 3, 16, 16)) == up[::-1]


def test_without_mixed_precision_it_changes_no_bit_and_no_name():
    z, x = torch.randn(2, 4), torch.randn(2, 3, 16, 16)
    (generator, discriminator), (other, another) = networks(), networks(float32_below=16)
    assert generator.state_dict().keys() == other.state_dict().keys()
    assert torch.equal(generator(z), other(z))
    assert torch.equal(discriminator(x).logits, another(x).logits)
    hidden = generator(z, layers=True).hidden
    assert hidden.keys() == other(z, layers=True).hidden.keys()


def test_all_stages_in_float32_under_mixed_precision_are_those_without_it():
    generator, discriminator = networks(float32_below=32)
    z, x = torch.randn(2, 4), torch.randn(2, 3, 16, 16)
    plain = generator(z), discriminator(x).logits
    with torch.autocast("cpu", dtype=HALF):
        mixed = generator(z), discriminator(x).logits
    assert torch.equal(plain[0], mixed[0])
    assert torch.equal(plain[1], mixed[1])
