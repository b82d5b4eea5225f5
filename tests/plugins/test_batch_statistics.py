"""Minibatch-stddev, minibatch-discrimination, virtual-batch-norm: values by hand, places, who depends on whom."""

import copy
from math import exp, sqrt
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.func import functional_call

from ganrun.catalog.catalog import Catalog
from ganrun.preflight.check import check
from ganrun.recipe import load_recipe
from ganrun.testing.runs import steps
from ganrun.training.build import RefusedError
from ganrun.words.game import DiscriminatorOutput
from ganrun.words.spaces import Interface, Refusal, Space
from ganrun_plugins._group_deviation import GroupDeviation, group_size
from ganrun_plugins.networks.dcgan import DCGANDiscriminator
from ganrun_plugins.networks.mlp import MLPDiscriminator, MLPGenerator
from ganrun_plugins.networks.patchgan import PatchGAN
from ganrun_plugins.tricks._layers import Addition, join, output_layer
from ganrun_plugins.tricks.minibatch_discrimination import Closeness
from ganrun_plugins.tricks.virtual_batch_norm import Reference, VirtualBatchNorm, VirtualBatchNormalisation

POINTS, LATENT, IMAGE = Space("points", (2,)), Space("latent", (4,)), Space("image", (1, 16, 16))
TRICKS = ("minibatch-stddev", "minibatch-discrimination")
SMALL_DCGAN = {
    "variant": {"dcgan": {"latent": 4}},
    "dataset": {"digits": {"size": 16}},
    "generator": {"dcgan": {"width": 4, "norm": "none"}},
    "discriminator": {"dcgan": {"width": 4, "norm": "none"}},
}


def experiment_of(network: nn.Module, takes: Space, kind: str = "discriminator", **interface):
    description = SimpleNamespace(
        networks={kind: SimpleNamespace(kind=kind, interface=Interface(takes, None, **interface))}, players=[]
    )
    return SimpleNamespace(
        modules={kind: network},
        networks=lambda wanted: {kind: network} if wanted == kind else {},
        description=description,
        recipe=SimpleNamespace(train=SimpleNamespace(seed=0), players={}),
        processes=SimpleNamespace(broadcast_tensors=list),
        initialise=lambda network, module: None,
        warnings=[],
    )


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
def test_of_a_single_sample_they_say_nothing_so_that_is_refused(tiny, make_run, plugin_module, trick):
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
def test_each_discriminator_of_a_cyclegan_gets_one(small_cyclegan, make_run, trick):
    run = make_run(
        small_cyclegan(tricks=[trick], without=["progress", "samples", "replay-buffer", "checkpoints", "metrics-log"])
    )
    run.engine.step(0)
    for network in run.experiment.networks("discriminator").values():
        assert sum(isinstance(module, Addition) for module in network.modules()) == 1


# --- virtual-batch-norm ---------------------------------------------------------------------------------------


def virtual(layer: nn.Module, rows: int) -> VirtualBatchNorm:
    reference = Reference(list, None)
    reference.rows = rows
    return VirtualBatchNorm(layer, reference)


def test_a_sample_is_normalised_with_the_reference_and_itself():
    """Reference 0 and 2, sample 4: of {0, 2, 4} the mean is 2 and the variance 8 / 3. Sample 1: {0, 2, 1} has mean 1,
    variance 2 / 3. The reference itself has mean 1 and variance 1."""
    layer = virtual(nn.BatchNorm1d(1, eps=0.0), rows=2)
    y = layer(torch.tensor([[4.0], [1.0], [0.0], [2.0]])).squeeze(1).tolist()
    assert y == pytest.approx([2 / sqrt(8 / 3), 0.0, -1.0, 1.0])


def test_in_images_it_is_the_batch_norm_of_the_reference_with_one_sample_more():
    plain = nn.BatchNorm2d(3)
    nn.init.normal_(plain.weight)
    nn.init.normal_(plain.bias)
    layer = virtual(plain, rows=4)
    own, reference = torch.randn(5, 3, 4, 6) * 2 + 1, torch.randn(4, 3, 4, 6)
    out = layer(torch.cat([own, reference]))
    for i in range(5):
        assert torch.allclose(out[i], plain(torch.cat([own[i : i + 1], reference]))[0], atol=1e-5)
    assert torch.allclose(out[5:], plain(reference), atol=1e-5)


def built(network: nn.Module, takes: Space, kind: str = "generator", **parameters) -> VirtualBatchNormalisation:
    trick = VirtualBatchNormalisation(networks=f"{kind}s", **parameters)
    trick.build(experiment_of(network, takes, kind))
    return trick


def small_generator() -> MLPGenerator:
    return MLPGenerator(Interface(LATENT, POINTS), widths=(8, 8, 8))


def influence(network: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """(B, B): how much row j of the input moves row i of the output."""
    jacobian = torch.autograd.functional.jacobian(lambda x: network(x), x)  # (B, D, B, Z)
    return jacobian.abs().sum((1, 3))


def test_samples_do_not_depend_on_each_other_given_the_reference():
    plain, network = small_generator(), small_generator()
    built(network, LATENT)
    network(torch.randn(6, 4))
    x = torch.randn(3, 4)
    off = ~torch.eye(3, dtype=torch.bool)
    assert (influence(plain, x)[off] > 0).all()
    assert torch.equal(influence(network, x)[off], torch.zeros(6))
    assert (influence(network, x).diagonal() > 0).all()


def test_the_reference_is_the_first_batch_of_training_and_serves_sampling():
    network = small_generator()
    trick = built(network, LATENT)
    first, x = torch.randn(6, 4), torch.randn(3, 4)
    network.eval()
    assert network(x).shape == (3, 2)  # before there is one
    assert trick.state_dict() == {"generator": []}
    network.train()
    for batch in (first, torch.randn(6, 4)):
        assert network(batch).shape == (6, 2)
    assert torch.equal(trick.state_dict()["generator"][0], first)
    trained = network(x)
    network.eval()
    assert torch.equal(network(x), trained)
    assert torch.allclose(network(x)[:1], network(x[:1]), atol=1e-6)
    twin = small_generator()
    other = built(twin, LATENT)
    twin.load_state_dict(network.state_dict())
    other.load_state_dict(trick.state_dict())
    assert torch.equal(twin.eval()(x), network(x))


def test_the_size_of_the_reference_can_be_bounded():
    network = small_generator()
    trick = built(network, LATENT, size=2)
    network(torch.randn(6, 4))
    assert trick.state_dict()["generator"][0].shape == (2, 4)


def test_a_network_runs_with_other_tensors_and_in_copies():
    network = small_generator()
    built(network, LATENT)
    first, x = torch.randn(6, 4), torch.randn(3, 4)
    network(first)
    assert torch.equal(functional_call(network, dict(network.named_parameters()), (x,)), network(x))
    assert torch.equal(copy.deepcopy(network)(x), network(x))
    assert network(x).shape == (3, 2)


def test_all_outputs_of_a_discriminator_lose_the_rows_of_the_reference():
    network = MLPDiscriminator(Interface(POINTS, heads={"class": 3}), widths=(8, 8), norm="batch")
    built(network, POINTS, "discriminator")
    network(torch.randn(6, 2))
    output = network(torch.randn(3, 2))
    assert output.logits.shape == (3,)
    assert [layer.shape[0] for layer in output.features] == [3, 3]
    assert output.heads["class"].shape == (3, 3)


def test_all_processes_share_the_reference_of_the_first():
    sent = torch.full((4, 4), 7.0)
    reference = Reference(lambda tensors: [sent for _ in tensors], None)
    reference.keep((torch.randn(4, 4),))
    assert torch.equal(reference.inputs[0], sent)


def test_without_batch_norm_there_is_nothing_to_replace(tiny, make_run):
    network = MLPGenerator(Interface(LATENT, POINTS), widths=(8, 8), norm="none")
    with pytest.raises(Refusal, match="no BatchNorm"):
        built(network, LATENT)
    with pytest.raises(RefusedError, match="the generators have no BatchNorm"):
        make_run(tiny(tricks=["virtual-batch-norm"]))


@pytest.mark.parametrize(
    "train", [{}, {"precision": "bfloat16"}, {"precision": "float64"}, {"batches": "joint"}, {"accumulate": 2}]
)
def test_both_networks_train_and_sample_with_averaged_weights(tiny, make_run, train):
    networks = {"dcgan": {"width": 4, "norm": "batch"}}
    images = {**SMALL_DCGAN, "generator": networks, "discriminator": networks}
    recipe = tiny(**images, tricks=[{"virtual-batch-norm": {"networks": "all"}}, "ema"], train=train)
    run = steps(make_run(recipe), 2)
    layers = [layer for network in run.experiment.modules.values() for layer in network.modules()]
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in layers)
    assert all(value == value for value in run.metrics().values())
    with run.experiment.settings():
        turn = run.sample_maker.turn(5)
        fewer = run.sample_maker.turn(3, latents={name: latent[:3] for name, latent in turn.latents.items()}).made["x"]
    assert turn.made["x"].shape == (5, 1, 16, 16)
    assert torch.allclose(turn.made["x"][:3], fewer, atol=0.01 if run.recipe.train.precision == "bfloat16" else 1e-5)
    assert len(check(load_recipe(recipe, catalog=Catalog()))[1]) == 2
