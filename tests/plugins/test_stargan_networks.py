"""StarGAN's networks: the authors' parameters and names, normalisation, borders, and sides."""

import pytest
import torch
from torch import nn

from ganrun.words.spaces import Interface, Refusal, Space
from ganrun_plugins.networks.stargan import StarGANDiscriminator, StarGANGenerator

X = Space("image", (1, 16, 16))


def built(network, interface: Interface, **parameters) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return network(interface, **parameters)


@pytest.mark.parametrize(
    ("given", "classes", "generator", "discriminator"),
    [(5, 5, 8_430_528, 44_762_048), (8, 8, 8_439_936, 44_786_624), (5 + 8 + 2, 5 + 8, 8_461_888, 44_827_584)],
    ids=["CelebA", "RaFD", "both"],
)
def test_networks_at_128_pixels_have_the_authors_parameters(given, classes, generator, discriminator):
    x = Space("image", (3, 128, 128))
    with torch.device("meta"):
        g = StarGANGenerator(Interface(x, x, given=(Space("latent", (given,)),)))
        d = StarGANDiscriminator(Interface(x, heads={"class": classes}))
    assert sum(p.numel() for p in g.parameters()) == generator
    assert sum(p.numel() for p in d.parameters()) == discriminator
    output = d(torch.empty(2, 3, 128, 128, device="meta"))
    assert (output.logits.shape, output.heads["class"].shape) == ((2, 1, 2, 2), (2, classes))


def test_the_generators_names_are_the_authors_without_running_statistics():
    def norm(place):
        return [f"{place}.weight", f"{place}.bias"]

    found = list(built(StarGANGenerator, Interface(X, X), blocks=2, width=4).state_dict())
    outer = [f"main.{place}" for place in (0, 3, 6)]
    inner = [f"main.{block}.main.{place}" for block in (9, 10) for place in (0, 3)]
    back = ["main.11", "main.14"]
    expected = []
    for place in [*outer, *inner, *back]:
        stem, _, number = place.rpartition(".")
        expected += [f"{place}.weight", *norm(f"{stem}.{int(number) + 1}")]
    assert found == [*expected, "main.17.weight"]


def test_each_image_is_normalised_by_its_own_statistics_in_evaluation_too():
    network = built(StarGANGenerator, Interface(X, X), blocks=1, width=4)
    x = torch.randn(3, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        training, evaluating = network.train()(x), network.eval()(x)
        alone = network(x[:1])
    assert torch.equal(training, evaluating)
    assert torch.allclose(alone, evaluating[:1], atol=1e-6)
    assert not list(network.buffers())


def test_reflected_borders_would_erase_the_label_and_zeros_do_not():
    network = built(StarGANGenerator, Interface(X, X, given=(Space("latent", (2,)),)), blocks=1, width=4)
    x = torch.randn(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    one, other = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    with torch.no_grad():
        assert float((network(x, one) - network(x, other)).abs().max()) > 1e-2
        network.main[0].padding_mode = "reflect"
        assert float((network(x, one) - network(x, other)).abs().max()) < 1e-5


@pytest.mark.parametrize(("side", "layers", "left"), [(256, 6, 4), (128, 6, 2), (64, 5, 2), (16, 3, 2), (48, 4, 3)])
def test_the_discriminator_goes_down_to_two_pixels_in_at_most_six_halvings(side, layers, left):
    with torch.device("meta"):
        network = StarGANDiscriminator(Interface(Space("image", (3, side, side)), heads={"class": 5}), width=4)
    output = network(torch.empty(2, 3, side, side, device="meta"))
    assert (len(output.features), output.logits.shape) == (layers, (2, 1, left, left))


def test_a_side_that_cannot_be_halved_so_often_is_refused():
    with pytest.raises(Refusal, match="multiples of 8"):
        built(StarGANDiscriminator, Interface(Space("image", (1, 12, 12))), layers=3)
    with pytest.raises(Refusal, match="multiples of 4"):
        built(StarGANGenerator, Interface(Space("image", (1, 10, 10)), Space("image", (1, 10, 10))))
