"""Samplers draw what they say; optimisers step as their formulas do."""

import pytest
import torch
from torch import nn

from ganrun.catalog.catalog import Catalog
from ganrun.errors import UserError
from ganrun.randomness import Draws
from ganrun.recipe import load_recipe
from ganrun.recipe.dump import flow
from ganrun.recipe.nodes import to_plain
from ganrun.schedule import Clock, Scheduled, first_value
from ganrun.testing import Plugin, checks_of, made
from ganrun.words.spaces import Refusal, Space
from ganrun_plugins.optimizers.adam import Adam
from ganrun_plugins.optimizers.adamax import Adamax
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
    torch_optimizer = optimizer.make([weight])
    for _ in range(steps):
        weight.grad = torch.full_like(weight, gradient)
        torch_optimizer.step()
    return weight[0].item()


def test_adam_takes_steps_of_its_rate_under_a_constant_gradient():
    assert step_once(made(Adam, lr=0.01), 5.0) == pytest.approx(0.99)
    assert step_once(made(Adam, lr=0.01, betas=(0.0, 0.9)), -3.0, steps=3) == pytest.approx(1.03)


def test_sgd_by_hand():
    assert step_once(made(SGD, lr=0.1), 2.0) == pytest.approx(0.8)
    assert step_once(made(SGD, lr=0.1, momentum=0.5), 2.0, steps=2) == pytest.approx(1 - 0.2 - 0.3)
    assert step_once(made(SGD, lr=0.1, weight_decay=1.0), 2.0) == pytest.approx(0.7)


def test_rmsprop_by_hand():
    """The mean square after one step is (1 - 0.99) g^2, so the step is lr g / (0.1 g) = 10 lr."""
    assert step_once(made(RMSprop, lr=0.01), 4.0) == pytest.approx(0.9)


def test_adamax_by_hand():
    """betas (0.5, 0.5), gradients 4, 1 and -9: m = 2, 1.5, -3.75 and u = 4, max(2, 1) = 2, max(1, 9) = 9, with 1 - b1^t
    = 1/2, 3/4, 7/8.

    So the steps are lr * 2 / (4 / 2) = lr, lr * 1.5 / (3/4 * 2) = lr, and -lr * 3.75 / (7/8 * 9).
    """
    weight = nn.Parameter(torch.ones(1, dtype=torch.float64))
    torch_optimizer = made(Adamax, lr=0.1, betas=(0.5, 0.5)).make([weight])
    for gradient, expected in ((4.0, 0.9), (1.0, 0.8), (-9.0, 0.8 + 0.1 * 3.75 / (0.875 * 9))):
        weight.grad = torch.full_like(weight, gradient)
        torch_optimizer.step()
        assert weight.item() == pytest.approx(expected)


def test_nesterov_without_momentum_is_refused():
    with pytest.raises(Refusal, match="momentum"):
        made(SGD, nesterov=True)


@pytest.mark.parametrize("factory", [Adam, SGD])
def test_fused_where_torch_can_and_not_on_the_meta_device(factory):
    assert factory().make([nn.Parameter(torch.ones(2))]).defaults["fused"]
    assert not factory().make([nn.Parameter(torch.ones(2, device="meta"))]).defaults["fused"]


def test_a_scheduled_rate_starts_at_its_first_value():
    torch_optimizer = made(Adam, lr=Scheduled({"linear": [1e-3, 0.0]})).make([nn.Parameter(torch.ones(2))])
    assert torch_optimizer.param_groups[0]["lr"] == 1e-3


# --- schedules and differentiable steps -----------------------------------------------------------------------

RAMP = {"linear": [0.8, 0.4]}


def test_every_number_of_an_optimiser_can_be_scheduled():
    clock = Clock(total=10, batch=1, dataset=1)

    def options(optimizer, step):
        return optimizer.options(lambda value: value.at(step, clock))

    adam = made(Adam, lr=RAMP, betas=(RAMP, 0.9), eps=RAMP, weight_decay=RAMP)
    assert options(adam, 0) == {"lr": 0.8, "betas": (0.8, 0.9), "eps": 0.8, "weight_decay": 0.8}
    assert options(adam, 10) == {"lr": 0.4, "betas": (0.4, 0.9), "eps": 0.4, "weight_decay": 0.4}
    half = pytest.approx(0.6)
    assert options(made(RMSprop, alpha=RAMP, momentum=RAMP), 5) == {
        "lr": 5e-5,
        "alpha": half,
        "eps": 1e-8,
        "momentum": half,
        "weight_decay": 0,
    }
    assert options(made(SGD, momentum=RAMP, weight_decay=RAMP), 5) == {
        "lr": 0.01,
        "momentum": half,
        "weight_decay": half,
    }


def test_a_recipe_may_schedule_one_beta_and_its_bounds_hold(tiny):
    def recipe(beta):
        return tiny(
            players={name: {"optimizer": {"adam": {"betas": [beta, 0.99]}}} for name in ("generator", "discriminator")}
        )

    loaded = load_recipe(recipe({"linear": [0.5, 0.0]}), catalog=Catalog())
    adam = loaded.players["generator"].optimizer.make()
    assert adam.betas == (Scheduled({"linear": [0.5, 0.0]}), Scheduled(0.99))
    assert flow(to_plain(loaded.players["generator"].optimizer.parameters["betas"])) == "[{linear: [0.5, 0.0]}, 0.99]"
    for wrong in (1.0, {"linear": [0.5, 1.0]}, -0.1):
        with pytest.raises(UserError, match=r"betas\.0"):
            load_recipe(recipe(wrong), catalog=Catalog())


def moved(optimizer, momenta, gradient=1.0):
    """A weight of 0 after steps whose momentum is set before each of them, as the engine does."""
    weight = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    torch_optimizer = optimizer.make([weight])
    for momentum in momenta:
        torch_optimizer.param_groups[0]["momentum"] = momentum
        weight.grad = torch.full_like(weight, gradient)
        torch_optimizer.step()
    return weight.item()


def test_a_momentum_may_begin_after_the_first_step():
    """SGD: 1, then the buffer starts at 1, then 0.5 + 1.

    RMSprop with alpha 0: every g / root is 1, the buffer 1, then 1.5.
    """
    ramp = {"linear": [0.0, 0.5]}
    assert moved(made(SGD, lr=0.1, momentum=ramp), [0.0, 0.5, 0.5]) == pytest.approx(-0.1 * (1 + 1 + 1.5))
    assert moved(made(SGD, lr=0.1, momentum=ramp, nesterov=True), [0.0, 0.5, 0.5]) == pytest.approx(
        -0.1 * (1 + 1.5 + 1.75)
    )
    assert moved(made(RMSprop, lr=0.1, momentum=ramp, alpha=0.0), [0.0, 0.5, 0.5]) == pytest.approx(
        -0.1 * (1 + 1 + 1.5)
    )


KINDS = [
    made(Adam, lr=0.1, betas=(0.5, 0.9), weight_decay=0.3),
    made(Adam, lr=0.1, betas=(0.0, 0.999)),
    made(Adam, lr=0.1, betas=(0.9, 0.0)),
    made(SGD, lr=0.1),
    made(SGD, lr=0.1, momentum=0.9, weight_decay=0.3),
    made(SGD, lr=0.1, momentum=0.9, nesterov=True),
    made(RMSprop, lr=0.1, weight_decay=0.3),
    made(RMSprop, lr=0.1, momentum=0.5),
    made(RMSprop, lr=0.1, momentum={"linear": [0.0, 0.5]}),
    made(Adamax, lr=0.1, weight_decay=0.3),
    made(Adamax, lr=0.1, betas=(0.0, 0.5)),
]


def slope(parameter):
    """The gradient of the sum of sin(3 p): it depends on the parameter, so that a step depends on the one before."""
    return 3 * torch.cos(3 * parameter)


@pytest.mark.parametrize("optimizer", KINDS)
@pytest.mark.parametrize("taken", [0, 2])
def test_a_differentiable_step_is_the_step_of_torch(optimizer, taken):
    """In float64 to 1e-12, from a fresh state and from torch's state after two steps."""
    weight = nn.Parameter(torch.linspace(-1, 1, 7, dtype=torch.float64))
    torch_optimizer = optimizer.make([weight])

    def go():
        weight.grad = slope(weight.detach())
        torch_optimizer.step()

    for _ in range(taken):
        go()
    parameters, states = [weight.detach().clone()], [dict(torch_optimizer.state.get(weight, {}))]
    for _ in range(3):
        parameters, states = optimizer.differentiable_step(
            torch_optimizer.param_groups[0], states, parameters, [slope(p) for p in parameters]
        )
        go()
        # torch's fused Adam counts in float32; 1 - beta^t is as exact as that
        assert torch.allclose(parameters[0], weight, rtol=0, atol=1e-12)


@pytest.mark.parametrize("optimizer", KINDS)
def test_three_differentiable_steps_have_the_gradient_of_finite_differences(optimizer):
    group = optimizer.make([nn.Parameter(torch.ones(1))]).param_groups[0]

    def run(start):
        parameters, states = [start], [{}]
        for _ in range(3):
            parameters, states = optimizer.differentiable_step(
                group, states, parameters, [slope(p) for p in parameters]
            )
        return parameters[0]

    start = torch.tensor([-0.9, -0.2, 0.1, 0.7], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(run, start, eps=1e-7, atol=1e-3)


@pytest.mark.parametrize("optimizer", KINDS)
def test_a_differentiable_step_on_a_gradient_of_0_has_a_finite_gradient(optimizer):
    """The root of the running mean square has an infinite slope there."""
    gradient = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    group = optimizer.make([nn.Parameter(torch.zeros(2))]).param_groups[0]
    (new,), _ = optimizer.differentiable_step(group, [{}], [torch.zeros(2, dtype=torch.float64)], [gradient])
    assert torch.equal(new, torch.zeros(2, dtype=torch.float64))
    new.sum().backward()
    assert gradient.grad.isfinite().all()


# --- the contract checks fail what is wrong -------------------------------------------------------------------


class Forgetful(SGD):
    """Takes a schedule of the momentum and never asks for its value."""

    def options(self, now):
        return {"lr": now(self.lr), "momentum": first_value(self.momentum), "weight_decay": now(self.weight_decay)}


class Stateless(Adam):
    """Its differentiable step forgets the means of the gradient."""

    def differentiable_step(self, group, states, parameters, gradients):
        return super().differentiable_step(group, [{} for _ in states], parameters, gradients)


class CutOff(SGD):
    """Its differentiable step is none."""

    def differentiable_step(self, group, states, parameters, gradients):
        return super().differentiable_step(
            group, states, [p.detach() for p in parameters], [g.detach() for g in gradients]
        )


class InfiniteSlope(RMSprop):
    """Its differentiable step takes the root of 0."""

    def differentiable_step(self, group, states, parameters, gradients):
        new = [p - group["lr"] * g / (g.square().sqrt() + group["eps"]) for p, g in zip(parameters, gradients)]
        return new, [{} for _ in states]


@pytest.mark.parametrize(
    ("factory", "check", "message"),
    [
        (Forgetful, "check_options", "momentum"),
        (Stateless, "check_differentiable_step_is_the_step", "after step 2"),
        (CutOff, "check_differentiable_step_has_a_gradient", "require grad|do not depend"),
        (InfiniteSlope, "check_differentiable_step_has_a_gradient", "not finite"),
    ],
)
def test_the_contract_checks_fail_a_wrong_optimiser(plugin_module, factory, check, message):
    plugin = Plugin("optimizer.wrong", modules=[plugin_module({"optimizer.wrong": factory})])
    (found,) = [one for one in checks_of(plugin) if one.__name__ == check]
    with pytest.raises((AssertionError, RuntimeError), match=message):
        found(plugin)
