"""The perceptrons of the first GANs: maxout by hand, and the parameters of the papers' networks."""

import pytest
import torch
from torch import nn

from ganrun.words.spaces import Interface, Space
from ganrun_plugins.networks.maxout_mlp import Maxout, MaxoutDiscriminator, RectifierGenerator

LATENT = Space("latent", (100,))
POINTS = Space("points", (2,))
MNIST = Space("image", (1, 28, 28))
LABELS = Space("labels", (), 10)
DISCRIMINATOR_OF_MIRZA = {"widths": (240,), "given_width": 50, "joint": (240,), "joint_pieces": 4}
GENERATOR_OF_MIRZA = {"widths": (200,), "given_width": 1000, "joint": (1200,)}


def count(factory, interface, **parameters):
    with torch.device("meta"):
        return sum(p.numel() for p in factory(interface, **parameters).parameters())


def test_a_maxout_unit_is_the_largest_of_its_pieces():
    """Pieces x and -x make |x|; pieces 2x and 1 make max(2x, 1)."""
    layer = Maxout(1, 2, 2)
    with torch.no_grad():
        layer.linear.weight.copy_(torch.tensor([[1.0], [-1.0], [2.0], [0.0]]))
        layer.linear.bias.copy_(torch.tensor([0.0, 0.0, 0.0, 1.0]))
    assert layer(torch.tensor([[-3.0], [0.25], [4.0]])).tolist() == [[3, 1], [0.25, 1], [4, 8]]


@pytest.mark.parametrize(
    ("factory", "interface", "parameters", "expected"),
    [
        # 784 * 1200 + 1200, 240 * 1200 + 1200, 240 + 1
        (MaxoutDiscriminator, Interface(MNIST), {}, 1_231_441),
        # 100 * 1200 + 1200, 1200 * 1200 + 1200, 1200 * 784 + 784
        (RectifierGenerator, Interface(LATENT, MNIST), {}, 2_503_984),
        # 784 * 1200 + 1200, 10 * 250 + 250, 290 * 960 + 960, 240 + 1
        (MaxoutDiscriminator, Interface(MNIST, given=(LABELS,)), DISCRIMINATOR_OF_MIRZA, 1_224_351),
        # 100 * 200 + 200, 10 * 1000 + 1000, 1200 * 1200 + 1200, 1200 * 784 + 784
        (RectifierGenerator, Interface(LATENT, MNIST, given=(LABELS,)), GENERATOR_OF_MIRZA, 2_413_984),
        # 2 * 1000 + 1000, twice 200 * 1000 + 1000, 200 + 1
        (MaxoutDiscriminator, Interface(POINTS), {"widths": (200, 200, 200)}, 405_201),
        # PacGAN2: 4 numbers instead of 2 go in
        (MaxoutDiscriminator, Interface(POINTS, pack=2), {"widths": (200, 200, 200)}, 407_201),
        # 2 * 400, three times 400 * 400, four BatchNorms of 2 * 400, 400 * 2 + 2
        (
            RectifierGenerator,
            Interface(Space("latent", (2,)), POINTS),
            {"widths": (400, 400, 400, 400), "norm": "batch"},
            484_802,
        ),
    ],
    ids=["Goodfellow D", "Goodfellow G", "Mirza D", "Mirza G", "PacGAN D", "PacGAN2 D", "PacGAN G"],
)
def test_networks_have_the_parameters_of_the_papers_layers(factory, interface, parameters, expected):
    assert count(factory, interface, **parameters) == expected


@pytest.mark.parametrize("given_width", [0, 3])
def test_labels_reach_both_networks(given_width):
    torch.manual_seed(0)  # of other weights, the largest of a few pieces may be one that no label moves
    x, z = torch.randn(2, 1, 28, 28), torch.randn(2, 100)
    discriminator = MaxoutDiscriminator(
        Interface(MNIST, given=(LABELS,)), widths=(4,), given_width=given_width, joint=(4,)
    )
    generator = RectifierGenerator(
        Interface(LATENT, MNIST, given=(LABELS,)), widths=(4,), given_width=given_width, joint=(4,)
    )
    first, second = (torch.full((2,), label) for label in (0, 7))
    assert not torch.equal(discriminator(x, first).logits, discriminator(x, second).logits)
    assert not torch.equal(generator(z, first), generator(z, second))


def test_a_packed_discriminator_takes_the_labels_of_its_pack():
    torch.manual_seed(0)
    network = MaxoutDiscriminator(Interface(MNIST, given=(LABELS,), pack=2), widths=(4,), given_width=3, joint=(4,))
    x = torch.randn(3, 2, 28, 28, generator=torch.Generator().manual_seed(0))
    one, other = torch.tensor([[0, 1], [2, 3], [4, 5]]), torch.tensor([[0, 1], [3, 2], [4, 5]])
    assert (network(x, one).logits != network(x, other).logits).tolist() == [False, True, False]


def test_dropout_is_behind_every_layer_and_off_unless_set():
    interface = Interface(MNIST, given=(LABELS,))
    settings = {"widths": (4,), "given_width": 3, "joint": (4,)}
    assert not any(isinstance(layer, nn.Dropout) for layer in MaxoutDiscriminator(interface, **settings).modules())
    dropped = MaxoutDiscriminator(interface, **settings, dropout=0.5)
    assert [layer.p for layer in dropped.modules() if isinstance(layer, nn.Dropout)] == [0.5, 0.5, 0.5]
