"""Weight initialisation: each scheme has the distribution that it names."""

import math

import pytest
import torch
from torch import nn

from ganrun.experiment.initialise import initialise
from ganrun.recipe import InitSettings


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(32, 64, 4), nn.BatchNorm2d(64), nn.Linear(512, 512))


# fan-in 32 * 16 = 512 and 512, fan-out 64 * 16 = 1024 and 512
@pytest.mark.parametrize(
    ("scheme", "gain", "convolution", "linear"),
    [
        ("normal", 0.05, 0.05, 0.05),
        ("normal", 0.02, 0.02, 0.02),
        ("xavier", 2.0, 2 * math.sqrt(2 / (512 + 1024)), 2 * math.sqrt(2 / (512 + 512))),
        ("kaiming", 0.02, math.sqrt(2 / 512), math.sqrt(2 / 512)),
    ],
)
def test_weights_have_the_deviation_of_the_scheme_and_biases_are_zero(network, scheme, gain, convolution, linear):
    initialise(network, InitSettings(scheme=scheme, gain=gain))
    assert network[0].weight.std().item() == pytest.approx(convolution, rel=0.03)
    assert network[2].weight.std().item() == pytest.approx(linear, rel=0.03)
    assert all(layer.bias.abs().sum() == 0 for layer in network)


def test_the_scale_of_batchnorm_varies_around_one_under_normal_and_is_one_else(network):
    initialise(network, InitSettings(scheme="normal", gain=0.02))
    assert network[1].weight.mean().item() == pytest.approx(1, abs=0.01)
    assert network[1].weight.std().item() == pytest.approx(0.02, rel=0.3)
    initialise(network, InitSettings(scheme="kaiming"))
    assert torch.equal(network[1].weight, torch.ones(64))


def test_orthogonal_weights_are_orthogonal_times_the_gain(network):
    initialise(network, InitSettings(scheme="orthogonal", gain=1.4))
    weight = network[2].weight
    torch.testing.assert_close(weight @ weight.T, 1.4**2 * torch.eye(512), atol=1e-4, rtol=0)


@pytest.mark.parametrize("settings", [None, InitSettings()])
def test_the_default_leaves_torchs_own_weights(network, settings):
    before = [parameter.clone() for parameter in network.parameters()]
    initialise(network, settings)
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters()))
