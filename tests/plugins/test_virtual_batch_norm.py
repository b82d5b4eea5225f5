"""Virtual batch normalisation: values by hand, the reference, copies, processes, and runs."""

import copy
from math import sqrt

import pytest
import torch
from networks_alone import LATENT, POINTS, SMALL_DCGAN, experiment_of
from torch import nn
from torch.func import functional_call

from ganrun.catalog.catalog import Catalog
from ganrun.preflight.check import check
from ganrun.recipe import load_recipe
from ganrun.testing.runs import steps
from ganrun.training.build import RefusedError
from ganrun.words.spaces import Interface, Refusal, Space
from ganrun_plugins.networks.mlp import MLPDiscriminator, MLPGenerator
from ganrun_plugins.tricks.virtual_batch_norm import Reference, VirtualBatchNorm, VirtualBatchNormalisation


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


def test_images_are_normalised_like_the_reference_with_one_sample_more():
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
