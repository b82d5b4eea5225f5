"""The checks of networks: a right one passes, wrong ones fail the check that is named."""

import pytest
import torch
from torch import Tensor, nn
from wrong_plugins import failing, plugin_of

from ganrun.words.game import DiscriminatorOutput, Layers


class Score(nn.Module):
    """A linear discriminator of points."""

    takes = frozenset({"points"})

    def __init__(self, interface):
        super().__init__()
        self.linear = nn.Linear(interface.pack * interface.takes.size, interface.logits)

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        return DiscriminatorOutput(self.finish(self.linear(x)))

    def finish(self, logits):
        return logits


@pytest.mark.parametrize(
    ("wrong", "check"),
    [
        ({"finish": lambda self, logits: logits.sigmoid()}, "check_returns_logits"),
        ({"finish": lambda self, logits: logits.mean(0)}, "check_returns_logits"),
        ({"finish": lambda self, logits: logits[:, :1]}, "check_number_of_logits"),
        ({}, "check_heads"),
        ({"finish": lambda self, logits: logits + torch.rand(1)}, "check_construction_is_seeded"),
        ({"finish": lambda self, logits: logits.detach() + 0 * logits}, "check_gradient_reaches_the_input"),
        ({"takes": frozenset({"pictures"})}, "check_declares_its_spaces"),
    ],
)
def test_a_wrong_discriminator_fails(wrong, check):
    broken = type("Broken", (Score,), {"__doc__": "Wrong.", **wrong})
    assert check in failing(plugin_of("discriminator", broken), check)


class Deep(nn.Module):
    """A generator of one hidden layer, which it offers."""

    takes = frozenset({"latent"})
    makes = frozenset({"points"})
    provides = frozenset({"layers"})

    def __init__(self, interface):
        super().__init__()
        self.first = nn.Sequential(nn.Linear(interface.takes.size, 3), nn.Tanh())
        self.output = nn.Linear(3, interface.makes.size)

    def forward(self, x: Tensor, layers: bool = False) -> Tensor | Layers:
        h = self.first(x)
        return self.offer(self.output(h), h) if layers else self.output(h)

    def offer(self, out, h):
        return Layers(out, {"first": h})


def test_a_generator_that_offers_its_layer_passes():
    assert failing(plugin_of("generator", Deep), "check_layers") == set()


@pytest.mark.parametrize(
    "offer",
    [
        lambda self, out, h: out,
        lambda self, out, h: Layers(out + 1, {"first": h}),
        lambda self, out, h: Layers(out, {}),
        lambda self, out, h: Layers(out, {"first": h.detach()}),
        lambda self, out, h: Layers(out, {"first": h[:1]}),
        lambda self, out, h: Layers(out, {f"first {float(h.detach().sum())}": h}),
        lambda self, out, h: Layers(out, {"first": self.output.weight.expand(len(h), -1, -1)}),
    ],
    ids=["no Layers", "another output", "no layers", "detached", "rows are missing", "names change", "not of x"],
)
def test_a_generator_that_offers_wrong_layers_fails(offer):
    broken = type("Broken", (Deep,), {"__doc__": "Wrong.", "offer": offer})
    assert failing(plugin_of("generator", broken), "check_layers") == {"check_layers"}
