"""Samplers draw what they say; optimisers step as their formulas do."""

import pytest
import torch
from torch import nn

from ganrun.protocols import Refusal, Space
from ganrun.randomness import Draws
from ganrun.schedule import Scheduled
from ganrun_plugins.optimizers.adam import Adam
from ganrun_plugins.optimizers.rmsprop import RMSprop
from ganrun_plugins.optimizers.sgd import SGD
from ganrun_plugins.samplers.normal import Normal
from ganrun_plugins.samplers.uniform import Uniform

LATENT = Space("latent", (50,))


def test_normal_latents_have_mean_0_and_variance_1():
    z = Normal().sample(Draws(("key",)), "z", 2000, LATENT)
    assert z.shape == (2000, 50)
    assert z.mean().item() == pytest.approx(0, abs=0.01)
    assert z.var().item() == pytest.approx(1, abs=0.02)


def test_uniform_latents_lie_in_their_range():
    z = Uniform(low=-2.0, high=3.0).sample(Draws(("key",)), "z", 2000, LATENT)
    assert z.shape == (2000, 50)
    assert z.min() >= -2
    assert z.max() < 3
    assert z.mean().item() == pytest.approx(0.5, abs=0.02)


def test_an_empty_range_is_refused():
    with pytest.raises(Refusal, match="low < high"):
        Uniform(low=1.0, high=1.0)


@pytest.mark.parametrize("sampler", [Normal(), Uniform()])
def test_two_processes_draw_what_one_draws(sampler):
    whole = sampler.sample(Draws(("key",)), "z", 8, LATENT)
    halves = [sampler.sample(Draws(("key",), part, 2), "z", 4, LATENT) for part in (0, 1)]
    assert torch.equal(torch.cat(halves), whole)


def step_once(optimizer, gradient: float, steps: int = 1, dtype=torch.float64) -> float:
    """A weight of 1 after some steps with one gradient."""
    weight = nn.Parameter(torch.ones(3, dtype=dtype))
    made = optimizer.make([weight])
    for _ in range(steps):
        weight.grad = torch.full_like(weight, gradient)
        made.step()
    return weight[0].item()


def test_adam_takes_steps_of_its_rate_under_a_constant_gradient():
    assert step_once(Adam(lr=0.01), 5.0) == pytest.approx(0.99)
    assert step_once(Adam(lr=0.01, betas=(0.0, 0.9)), -3.0, steps=3) == pytest.approx(1.03)


def test_sgd_by_hand():
    assert step_once(SGD(lr=0.1), 2.0) == pytest.approx(0.8)
    assert step_once(SGD(lr=0.1, momentum=0.5), 2.0, steps=2) == pytest.approx(1 - 0.2 - 0.3)
    assert step_once(SGD(lr=0.1, weight_decay=1.0), 2.0) == pytest.approx(0.7)


def test_rmsprop_by_hand():
    """The mean square after one step is (1 - 0.99) g^2, so the step is lr g / (0.1 g) = 10 lr."""
    assert step_once(RMSprop(lr=0.01), 4.0) == pytest.approx(0.9)


def test_nesterov_without_momentum_is_refused():
    with pytest.raises(Refusal, match="momentum"):
        SGD(nesterov=True)


@pytest.mark.parametrize("factory", [Adam, SGD])
def test_fused_where_torch_can_and_not_on_the_meta_device(factory):
    assert factory().make([nn.Parameter(torch.ones(2))]).defaults["fused"]
    assert not factory().make([nn.Parameter(torch.ones(2, device="meta"))]).defaults["fused"]


def test_a_scheduled_rate_starts_at_its_first_value():
    made = Adam(lr=Scheduled({"linear": [1e-3, 0.0]})).make([nn.Parameter(torch.ones(2))])
    assert made.param_groups[0]["lr"] == 1e-3
