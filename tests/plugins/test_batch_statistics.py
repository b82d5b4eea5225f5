"""Minibatch-stddev and minibatch-discrimination: values by hand, where they stand, what they depend on."""

import copy
from math import exp

import pytest
import torch
from networks_alone import IMAGE, POINTS, SMALL_DCGAN, experiment_of
from torch import nn

from ganrun.catalog.catalog import Catalog
from ganrun.preflight.check import check
from ganrun.recipe import load_recipe
from ganrun.testing.runs import steps
from ganrun.training.build import RefusedError
from ganrun.words.game import DiscriminatorOutput
from ganrun.words.spaces import Interface, Space
from ganrun_plugins._group_deviation import GroupDeviation, group_size
from ganrun_plugins.networks.dcgan import DCGANDiscriminator
from ganrun_plugins.networks.mlp import MLPDiscriminator
from ganrun_plugins.networks.patchgan import PatchGAN
from ganrun_plugins.tricks._layers import Addition, join, output_layer
from ganrun_plugins.tricks.minibatch_discrimination import Closeness

TRICKS = ("minibatch-stddev", "minibatch-discrimination")


# --- the statistics -------------------------------------------------------------------------------------------


def test_the_standard_deviation_of_a_group_is_averaged_over_features():
    """Feature 1 is 1, 1, 3, 3: deviation 1. Feature 2 is 5 throughout: deviation 0.

    Their mean is 0.5, for all four samples.
    """
    x = torch.tensor([[1.0, 5.0], [1.0, 5.0], [3.0, 5.0], [3.0, 5.0]])
    assert GroupDeviation(4)(x).squeeze(1).tolist() == pytest.approx([0.5] * 4, abs=1e-4)


def test_groups_are_taken_across_the_batch():
    """In a batch of 4, groups of 2 are samples 0 and 2, 1 and 3: values 0, 1 and 4, 9 give the deviations 2 and 4."""
    x = torch.tensor([0.0, 1.0, 4.0, 9.0]).view(4, 1, 1, 1).expand(4, 3, 2, 2)
    assert GroupDeviation(2)(x).squeeze(1).tolist() == pytest.approx([2.0, 4.0, 2.0, 4.0])


@pytest.mark.parametrize(("rows", "size"), [(64, 4), (6, 3), (9, 3), (10, 2), (7, 7), (25, 5), (2, 2), (1, 1)])
def test_the_group_is_the_largest_divisor_of_the_batch_up_to_4(rows, size):
    assert group_size(rows, 4) == size
    assert GroupDeviation(4)(torch.randn(rows, 3)).shape == (rows, 1)


def test_equal_samples_have_a_finite_gradient():
    x = torch.ones(4, 3, requires_grad=True)
    GroupDeviation(4)(x).sum().backward()
    assert torch.equal(x.grad, torch.zeros(4, 3))


def test_closeness_is_a_sum_over_the_others():
    """Features 0, 1, 3 through one kernel of one dimension, T = 1: distances 1, 3 and 2 between them."""
    statistic = Closeness(1, 1, 1, last=True)
    nn.init.ones_(statistic.T)
    expected = [exp(-1) + exp(-3), exp(-1) + exp(-2), exp(-3) + exp(-2)]
    assert statistic(torch.tensor([[0.0], [1.0], [3.0]])).squeeze(1).tolist() == pytest.approx(expected)


def test_distance_is_absolute_and_summed_over_dimensions_of_each_kernel():
    """f = (0, 0) and (1, 2), T the identity: one kernel of 2 dimensions is 1 + 2 apart, two of 1 dimension are 1 and 2
    apart.
    """
    f = torch.tensor([[0.0, 0.0], [1.0, 2.0]])
    for kernels, dims, expected in ((1, 2, [exp(-3)]), (2, 1, [exp(-1), exp(-2)])):
        statistic = Closeness(2, kernels, dims, last=True)
        with torch.no_grad():
            statistic.T.copy_(torch.eye(2))
        assert statistic(f)[0].tolist() == pytest.approx(expected)


def test_feature_maps_are_averaged_over_positions():
    statistic = Closeness(3, 4, 2, last=False)
    x = torch.randn(5, 3, 2, 6)
    assert torch.allclose(statistic(x), statistic(x.mean((2, 3))))
    assert statistic.T.norm(dim=0).tolist() == pytest.approx([1.0] * 8)


@pytest.mark.parametrize("trick", TRICKS)
def test_statistics_of_a_single_sample_say_nothing_and_are_refused(tiny, make_run, plugin_module, trick):
    """Whatever the sample, its standard deviation is sqrt(1e-8), and the sum over the others is empty."""
    for _ in range(3):
        assert GroupDeviation(4)(torch.randn(1, 5)).item() == pytest.approx(1e-4)
        assert Closeness(5, 2, 3, last=True)(torch.randn(1, 5)).tolist() == [[0.0, 0.0]]
    with pytest.raises(RefusedError, match="one sample at a time"):
        make_run(tiny(tricks=[trick], train={"batch_size": 1}))


# --- where they stand -----------------------------------------------------------------------------------------


class Energy(nn.Module):
    """Its logits are errors of a reconstruction: no layer makes them."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.act, self.decoder = (
            nn.Conv2d(1, 3, 4, 2, 1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.ConvTranspose2d(3, 1, 4, 2, 1),
        )
        self.idle = nn.Linear(3, 3)

    def forward(self, x):
        h = self.act(self.encoder(x))
        self.idle(h.mean((2, 3)))
        return DiscriminatorOutput((self.decoder(h) - x).square().mean((1, 2, 3)))


DISCRIMINATORS = {
    "mlp with heads": (
        lambda: MLPDiscriminator(Interface(POINTS, heads={"class": 3}), widths=(8, 8)),
        POINTS,
        "output",
        {},
    ),
    "dcgan with heads": (
        lambda: DCGANDiscriminator(Interface(IMAGE, heads={"class": 3}), width=4),
        IMAGE,
        "main.5",
        {},
    ),
    "dcgan of packs": (lambda: DCGANDiscriminator(Interface(IMAGE, pack=2), width=4), IMAGE, "main.5", {"pack": 2}),
    "patchgan": (lambda: PatchGAN(Interface(IMAGE), layers=1, width=4), IMAGE, "model.5", {}),
    "energy": (Energy, IMAGE, "decoder", {}),
}


@pytest.mark.parametrize("name", DISCRIMINATORS)
@pytest.mark.parametrize("parametrised", [False, True])
def test_the_last_layer_on_the_way_to_the_logits_is_found(name, parametrised):
    make, takes, expected, changes = DISCRIMINATORS[name]
    network = make()
    if parametrised:
        for layer in [
            layer for layer in network.modules() if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)
        ]:
            nn.utils.parametrizations.spectral_norm(layer)
    for _ in range(2):  # found again after something was joined to it
        layer, _ = output_layer(network, Interface(takes, **changes), "discriminator")
        assert layer is network.get_submodule(expected)
        join(
            experiment_of(network, takes, **changes),
            "discriminator",
            "statistic",
            lambda channels, last: GroupDeviation(4),
            1,
        )


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_strength_0_leaves_output_gradients_and_names_as_they_are(name):
    make, takes, _, changes = DISCRIMINATORS[name]
    plain = make()
    network = copy.deepcopy(plain)
    experiment = experiment_of(network, takes, **changes)
    addition = join(
        experiment, "discriminator", "closeness", lambda channels, last: Closeness(channels, 5, 2, last=last), 5
    )
    x = torch.randn(4, changes.get("pack", 1) * takes.shape[0], *takes.shape[1:])
    assert not torch.equal(network(x).logits, plain(x).logits)
    assert network(x).logits.shape == plain(x).logits.shape
    addition.strength = 0.0
    assert torch.equal(network(x).logits, plain(x).logits)
    for each in (network, plain):
        each.zero_grad()
        each(x).logits.square().sum().backward()
    mine = dict(network.named_parameters())
    for key, parameter in plain.named_parameters():
        assert (parameter.grad is None) == (mine[key].grad is None)
        assert parameter.grad is None or torch.equal(mine[key].grad, parameter.grad)


LAYERS = {
    "linear": (nn.Linear(6, 2), nn.Linear(9, 2), (4, 6)),
    "conv": (nn.Conv2d(6, 2, 3, 2, 1), nn.Conv2d(9, 2, 3, 2, 1), (4, 6, 5, 7)),
    "transposed": (nn.ConvTranspose2d(6, 2, 3, 2, 1, 1), nn.ConvTranspose2d(9, 2, 3, 2, 1, 1), (4, 6, 5, 7)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_what_is_added_is_what_the_layer_would_make_of_joined_channels(name):
    """A layer of 6 + 3 channels, its weight cut in two, on an input joined with constant planes of the statistic."""
    layer, wide, shape = LAYERS[name]
    layer = copy.deepcopy(layer)
    experiment = experiment_of(layer, Space("image", shape[1:]) if len(shape) > 2 else Space("points", shape[1:]))
    addition = join(
        experiment, "discriminator", "statistic", lambda channels, last: Closeness(channels, 3, 2, last=last), 3
    )
    axis = 0 if name == "transposed" else 1
    with torch.no_grad():
        wide.weight.copy_(torch.cat([layer.weight, addition.map.weight], axis))
        wide.bias.copy_(layer.bias)
    h = torch.randn(shape)
    o = addition.statistic(h)
    planes = o if len(shape) == 2 else o[:, :, None, None].expand(-1, -1, *shape[2:])
    assert torch.allclose(layer(h), wide(torch.cat([h, planes], 1)), atol=1e-5)


def test_a_copy_of_a_network_has_an_addition_of_its_own():
    network = MLPDiscriminator(Interface(POINTS), widths=(8,))
    join(experiment_of(network, POINTS), "discriminator", "statistic", lambda channels, last: GroupDeviation(4), 1)
    twin, x = copy.deepcopy(network), torch.randn(4, 2)
    nn.init.constant_(network.output.statistic.map.weight, 100.0)
    assert not torch.equal(twin(x).logits, network(x).logits)


@pytest.mark.parametrize("trick", TRICKS)
def test_the_discriminators_player_trains_it_and_it_is_counted_without_allocation(tiny, make_run, trick):
    recipe = tiny(**SMALL_DCGAN, tricks=[trick, trick, "spectral-norm"])
    run = make_run(recipe)
    additions = [module for module in run.experiment.modules["discriminator"].modules() if isinstance(module, Addition)]
    assert len(additions) == 2
    before = [copy.deepcopy(addition.state_dict()) for addition in additions]
    assert not torch.equal(*(state["map.parametrizations.weight.original"] for state in before))
    run.engine.step(0)
    for addition, state in zip(additions, before):
        assert [key for key, value in addition.named_parameters() if torch.equal(value, state[key])] == []
    _, lines = check(load_recipe(recipe, catalog=Catalog()))
    counted = {line.name: line.parameters for line in lines}
    assert counted["discriminator"] == sum(p.numel() for p in run.experiment.modules["discriminator"].parameters())


@pytest.mark.parametrize("trick", TRICKS)
@pytest.mark.parametrize(
    "train", [{"precision": "bfloat16"}, {"precision": "float64"}, {"batches": "joint"}, {"accumulate": 2}]
)
def test_every_way_to_train_works_and_doubtful_ones_warn(tiny, make_run, trick, train):
    run = steps(make_run(tiny(**SMALL_DCGAN, tricks=[trick], train=train)), 1)
    assert all(value == value for value in run.metrics().values())
    assert any(warning.part == f"trick {trick}" for warning in run.experiment.warnings) == ("precision" not in train)


@pytest.mark.parametrize("trick", TRICKS)
def test_each_discriminator_of_a_cyclegan_gets_a_statistic(small_cyclegan, make_run, trick):
    run = make_run(
        small_cyclegan(tricks=[trick], without=["progress", "samples", "replay-buffer", "checkpoints", "metrics-log"])
    )
    run.engine.step(0)
    for network in run.experiment.networks("discriminator").values():
        assert sum(isinstance(module, Addition) for module in network.modules()) == 1
