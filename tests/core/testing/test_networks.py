"""The checks of networks, samplers and data sets find what is wrong, and nothing in what is right."""

from typing import Annotated

import pytest
import torch
from pydantic import Field
from torch import Tensor, nn
from wrong_plugins import failing, plugin_of

from ganrun.data.reader import InMemory
from ganrun.schedule import Scheduled
from ganrun.testing import made
from ganrun.words.game import DiscriminatorOutput, Layers
from ganrun.words.spaces import Space


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


def test_a_sampler_that_is_not_keyed_or_not_split_by_rows_fails():
    class Wrong:
        """Wrong."""

        def sample(self, draws, purpose, n, space):
            torch.manual_seed(draws.part)
            return torch.randn(n, *space.shape)

    found = failing(plugin_of("sampler", Wrong))
    assert {
        "check_depends_on_the_key_alone",
        "check_processes_share_one_draw",
        "check_a_purpose_used_twice_differs",
    } <= found


def test_a_sampler_whose_labels_are_not_split_by_rows_fails():
    class Wrong:
        """Wrong."""

        def sample(self, draws, purpose, n, space):
            return draws.normal(purpose, n, *space.shape)

        def labels(self, draws, purpose, n, space):
            return torch.randint(space.classes, (n, *space.shape), generator=draws.generator(purpose))

    assert failing(plugin_of("sampler", Wrong)) == {"check_labels"}


def test_a_data_set_whose_splits_are_one_fails():
    class Wrong(InMemory):
        """Wrong."""

        def __init__(self, files, split):
            super().__init__({"x": torch.arange(64.0).reshape(32, 2)}, {"x": Space("points", (2,))}, [])

    assert {"check_splits_differ", "check_refuses_other_splits", "check_fingerprint"} <= failing(
        plugin_of("dataset", Wrong)
    )


def test_a_class_is_made_as_a_recipe_makes_it():
    """Numbers become schedules, what is out of bounds is refused, and the core's arguments go in front."""

    class Stretched:
        def __init__(self, space, *, by: Annotated[Scheduled, Field(ge=0)], twice: bool = False):
            self.given = (space, by, twice)

    assert made(Stretched, "space", by=2).given == ("space", Scheduled(2), False)
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        made(Stretched, "space", by=-1)
