"""InfoGAN's networks: parameters of the authors' code, sides, and Q beside the logits."""

import pytest
import torch

from ganrun.words.spaces import Interface, Refusal, Space
from ganrun_plugins.networks.infogan import InfoGANDiscriminator, InfoGANGenerator

IMAGE = Space("image", (1, 28, 28))
CODES = (Space("labels", (), 10), Space("latent", (2,)))


def count(module) -> int:
    return sum(p.numel() for p in module.parameters())


def on_meta(factory, interface, **parameters):
    with torch.device("meta"):
        return factory(interface, **parameters)


def test_generator_has_the_parameters_of_the_authors_code():
    """74 numbers in: 62 of noise, 10 for one label, 2 continuous."""
    network = on_meta(InfoGANGenerator, Interface(takes=Space("latent", (62,)), makes=IMAGE, given=CODES))
    assert count(network) == 6_652_481


def test_discriminator_and_q_have_the_parameters_of_the_authors_code():
    """Q's 14 outputs: 10 logits, and mean and log variance of two codes."""
    network = on_meta(InfoGANDiscriminator, Interface(takes=IMAGE, heads={"code": 10, "continuous": 4}))
    assert count(network) - count(network.heads) == 6_559_169
    assert count(network.heads) == 133_262


def test_without_heads_there_is_no_q():
    network = on_meta(InfoGANDiscriminator, Interface(takes=IMAGE))
    assert count(network) == 6_559_169
    assert list(network.heads.parameters()) == []


def test_q_reads_the_trunk_and_the_logits_do_not_read_q():
    network = InfoGANDiscriminator(
        Interface(takes=Space("image", (1, 8, 8)), heads={"code": 3, "continuous": 2}), width=2
    )
    output = network(torch.rand(4, 1, 8, 8))
    heads, rest = set(network.heads.parameters()), set(network.parameters()) - set(network.heads.parameters())
    of_logits = torch.autograd.grad(
        output.logits.sum(), list(network.parameters()), retain_graph=True, allow_unused=True
    )
    assert {p for p, g in zip(network.parameters(), of_logits) if g is not None} == rest
    of_heads = torch.autograd.grad(
        sum(h.sum() for h in output.heads.values()), list(network.parameters()), allow_unused=True
    )
    assert {p for p, g in zip(network.parameters(), of_heads) if g is not None} == heads | set(
        network.trunk.parameters()
    )


@pytest.mark.parametrize(("height", "width"), [(28, 28), (32, 32), (12, 20)])
def test_any_sides_divisible_by_4(height, width):
    image = Space("image", (3, height, width))
    made = InfoGANGenerator(Interface(takes=Space("latent", (5,)), makes=image), width=2)(torch.randn(3, 5))
    assert made.shape == (3, 3, height, width)
    output = InfoGANDiscriminator(Interface(takes=image, logits=2), width=2)(made)
    assert output.logits.shape == (3, 2)
    assert [tuple(f.shape[1:]) for f in output.features] == [
        (2, height // 2, width // 2),
        (4, height // 4, width // 4),
        (32,),
    ]


@pytest.mark.parametrize("network", [InfoGANGenerator, InfoGANDiscriminator])
def test_other_sides_are_refused(network):
    image = Space("image", (1, 30, 28))
    interface = (
        Interface(takes=Space("latent", (5,)), makes=image) if network is InfoGANGenerator else Interface(takes=image)
    )
    with pytest.raises(Refusal, match="divisible by 4"):
        network(interface)
