"""Generator-dropout on hand-made turns: where dropout stands, when it is on, what it draws."""

import copy
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ganrun.engine.turn import Turn
from ganrun.randomness import Draws
from ganrun.sampling.sampling import Sampling
from ganrun.schedule import Clock, Scheduled
from ganrun.words.game import Phase, Player
from ganrun.words.spaces import Interface, Refusal, Space
from ganrun_plugins.networks.dcgan import DCGANGenerator
from ganrun_plugins.networks.mlp import MLPGenerator
from ganrun_plugins.networks.resnet_translator import ResnetTranslator
from ganrun_plugins.tricks.ema import EMA
from ganrun_plugins.tricks.generator_dropout import GeneratorDropout, ScheduledDropout

LATENT = Space("latent", (4,))


def make_turn(step: int = 0, player: str = "discriminator") -> Turn:
    engine = SimpleNamespace(clock=Clock(total=100, batch=4, dataset=100))
    return Turn(engine, Phase(player, player), step=step, draws=Draws(("test", step, player)), modules={}, batch_size=4)


# --- generator-dropout ----------------------------------------------------------------------------------------


class Stranger(nn.Module):
    """A generator with one shared activation, registered last, and an output block of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        self.act = nn.ReLU()
        self.squash = nn.Tanh()

    def forward(self, x):
        return self.squash(self.last(self.act(self.second(self.act(self.first(x))))))


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, x):
        return torch.tanh(self.last(F.relu(self.first(x))))


def experiment_of(network: nn.Module, takes: Space = LATENT, player: str = "generator"):
    description = SimpleNamespace(
        networks={"generator": SimpleNamespace(kind="generator", interface=Interface(takes, takes))}
    )
    return SimpleNamespace(
        modules={"generator": network},
        networks=lambda kind: {"generator": network},
        is_generator=lambda name: name == "generator",
        description=description,
        players={player: Player(player, ["generator"])},
        phases=[Phase(player, player)],
        clock=Clock(total=100, batch=4, dataset=100),
        games=[],
    )


IMAGE = Space("image", (1, 16, 16))
NETWORKS = {
    "mlp": (lambda: MLPGenerator(Interface(LATENT, IMAGE), widths=(8, 8, 8)), LATENT, 3),
    "mlp-tanh": (lambda: MLPGenerator(Interface(LATENT, IMAGE), widths=(8, 8), activation="tanh"), LATENT, 2),
    "dcgan": (lambda: DCGANGenerator(Interface(LATENT, IMAGE), width=4), LATENT, 2),
    "resnet": (lambda: ResnetTranslator(Interface(IMAGE, IMAGE), blocks=2, width=4), IMAGE, 7),
    "stranger": (Stranger, LATENT, 1),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_dropout_stands_behind_every_hidden_activation_and_not_in_the_output_block(name):
    make, takes, expected = NETWORKS[name]
    network, trick = make(), GeneratorDropout()
    parameters = [id(p) for p in network.parameters()]
    trick.build(experiment_of(network, takes))
    assert len(trick.dropouts) == expected
    assert [id(p) for p in network.parameters()] == parameters
    x = torch.randn(4, *takes.shape)
    network.train()
    assert not torch.equal(network(x), network(x))
    network.eval()
    assert torch.equal(network(x), network(x))


@pytest.mark.parametrize("name", NETWORKS)
def test_dropout_of_strength_0_gives_the_same_bits(name):
    make, takes, _ = NETWORKS[name]
    network = make().train()
    plain = copy.deepcopy(network)
    trick = GeneratorDropout(p=0.0)
    trick.build(experiment_of(network, takes))
    trick.phase_start(make_turn())
    x = torch.randn(4, *takes.shape)
    assert torch.equal(network(x), plain(x))


def test_dropout_drops_a_share_p_and_scales_the_rest():
    layer = ScheduledDropout(0.25)
    y = layer(torch.ones(100_000))
    assert (y == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)
    assert y.max().item() == pytest.approx(1 / 0.75)


def test_dropout_follows_its_schedule_and_its_state():
    trick = GeneratorDropout(p=Scheduled({"linear": [0.5, 0.0]}))
    trick.build(experiment_of(Stranger()))
    trick.phase_start(make_turn(step=50))
    assert trick.dropouts[0].p == 0.25
    twin = GeneratorDropout(p=Scheduled({"linear": [0.5, 0.0]}))
    twin.build(experiment_of(Stranger()))
    twin.load_state_dict(trick.state_dict())
    assert twin.dropouts[0].p == 0.25


def test_two_dropouts_in_one_recipe_stand_behind_each_other():
    network = Stranger()
    first, second = GeneratorDropout(p=0.1), GeneratorDropout(p=0.2)
    first.build(experiment_of(network))
    second.build(experiment_of(network))
    assert sorted(layer.p for layer in network.modules() if isinstance(layer, nn.Dropout)) == [0.1, 0.2]


def test_dropout_stays_on_when_sampling_only_if_asked():
    for asked in (False, True):
        trick = GeneratorDropout(at_sampling=asked)
        trick.build(experiment_of(Stranger()))
        sampling = Sampling({})
        trick.sampling(sampling)
        assert sampling.active == (trick.dropouts if asked else [])


def test_a_generator_without_activation_modules_is_refused():
    with pytest.raises(Refusal, match="no hidden activation"):
        GeneratorDropout().build(experiment_of(Functional()))


def test_the_average_includes_dropout_that_a_later_part_adds():
    network = Stranger()
    ema, dropout = EMA(decay=0.5), GeneratorDropout(at_sampling=True)
    experiment = experiment_of(network)
    ema.build(experiment)
    dropout.build(experiment)
    ema.phase_start(make_turn(player="generator"))
    ema.updated(make_turn(0, "generator"))
    sampling = Sampling({"generator": network})
    ema.sampling(sampling)
    dropout.sampling(sampling)
    average = sampling.modules["generator"].eval()
    for layer in sampling.active:
        layer.train()
    x = torch.randn(4, 4)
    assert not torch.equal(average(x), average(x))
