"""What an optimiser has to keep."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ganrun.recipe import parameters
from ganrun.schedule import Scheduled
from ganrun.testing.conditions import when
from ganrun.testing.plugin import Plugin
from ganrun.testing.runs import written_and_read
from ganrun.training import checkpoint


def make(plugin: Plugin) -> tuple[list[nn.Parameter], torch.optim.Optimizer]:
    """Two parameters, one of them a channels_last weight, and their optimiser."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(4, 3, 2, 2, generator=generator).to(memory_format=torch.channels_last)
    held = [nn.Parameter(weight), nn.Parameter(torch.randn(4, generator=generator))]
    return held, plugin.part.make().make(held)


def step(held: list[nn.Parameter], optimizer: torch.optim.Optimizer, count: int, start: int = 0) -> None:
    """Some steps on gradients that depend on the number of the step alone."""
    for number in range(start, start + count):
        generator = torch.Generator().manual_seed(number)
        for parameter in held:
            parameter.grad = torch.empty_like(parameter).copy_(torch.randn(parameter.shape, generator=generator))
        optimizer.step()


def check_learning_rate(plugin: Plugin) -> None:
    """``lr`` is a scheduled parameter of the recipe, kept as an attribute, and the torch optimiser starts with it."""
    names = parameters.fields_of(parameters.parameter_model(plugin.factory))
    assert "lr" in names, "no parameter `lr`, which recipes set"
    assert isinstance(plugin.part.make().lr, Scheduled), (
        "lr is not Scheduled; the engine reads its value before each turn"
    )
    _, optimizer = make(plugin)
    assert isinstance(optimizer, torch.optim.Optimizer), "make does not return a torch optimiser"
    assert all(group["lr"] == plugin.part.make().lr.values[0] for group in optimizer.param_groups), (
        "the torch optimiser does not start with the first value of lr"
    )


def check_steps(plugin: Plugin) -> None:
    """A step moves every parameter to finite values; at rate 0 it moves none."""
    held, optimizer = make(plugin)
    before = [parameter.detach().clone() for parameter in held]
    step(held, optimizer, 2)
    assert all(bool(p.isfinite().all()) and not torch.equal(p, old) for p, old in zip(held, before)), (
        "a step leaves a parameter unchanged, or not finite"
    )
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    before = [parameter.detach().clone() for parameter in held]
    step(held, optimizer, 1)
    assert all(torch.equal(parameter, old) for parameter, old in zip(held, before)), (
        "at lr 0 a step changes a parameter"
    )


def check_state_survives_a_checkpoint(plugin: Plugin) -> None:
    """Restored from a checkpoint, also beside a channels_last weight, it continues with the same bits."""
    held, optimizer = make(plugin)
    step(held, optimizer, 3)
    again, restored = make(plugin)
    for parameter, trained in zip(again, held):
        parameter.data.copy_(trained.data)
    checkpoint.restore_optimizer(restored, written_and_read(checkpoint.optimizer_state(optimizer)))
    step(held, optimizer, 3, start=3)
    step(again, restored, 3, start=3)
    assert all(torch.equal(one, other) for one, other in zip(held, again)), (
        "after its state is restored, the weights differ"
    )


# --- what an optimiser may offer ------------------------------------------------------------------------------


def offers(name: str) -> Any:
    """Whether the optimiser has a method that it need not have."""
    return lambda plugin: hasattr(plugin.factory, name)


def schedules_of(value: Any) -> list[Scheduled]:
    """The schedules among some attributes, also those in a tuple."""
    if isinstance(value, Scheduled):
        return [value]
    return [found for item in value for found in schedules_of(item)] if isinstance(value, tuple | list) else []


@when(offers("options"))
def check_options(plugin: Plugin) -> None:
    """``options`` gives the present value of every scheduled parameter, as entries of torch's group.

    The group starts with the first values.
    """
    optimizer, asked = plugin.part.make(), []

    def now(value: Scheduled) -> float:
        asked.append(value)
        return value.values[0]

    options = optimizer.options(now)
    assert "lr" in options, "options has no lr"
    # by identity: schedules of one value are equal
    known = {id(schedule) for schedule in asked}
    forgotten = [
        name
        for name, value in vars(optimizer).items()
        if any(id(schedule) not in known for schedule in schedules_of(value))
    ]
    assert not forgotten, (
        f"options does not read the present value of {', '.join(forgotten)}, so its schedule has no effect"
    )
    for group in make(plugin)[1].param_groups:
        for name, value in options.items():
            assert name in group, f"torch's parameter group has no entry {name!r}; it has {', '.join(sorted(group))}"
            assert group[name] == value, f"make sets {name} to {group[name]}, options to {value}"


@when(offers("differentiable_step"))
def check_differentiable_step_is_the_step(plugin: Plugin) -> None:
    """Three differentiable steps end in the parameters and the state of the torch optimiser's, to rounding.

    What is passed in is left alone. So it is after a change of the rate, and from a state that the torch optimiser
    made.
    """
    held, optimizer = make(plugin)
    group = optimizer.param_groups[0]
    parameters: list[Tensor] = [parameter.detach().clone() for parameter in held]
    states: list[dict[str, Tensor]] = [{} for _ in held]
    for number in range(4):
        if number == 3:
            group["lr"] = group["lr"] / 2
            states = [dict(optimizer.state.get(parameter, {})) for parameter in held]
            parameters = [parameter.detach().clone() for parameter in held]
        generator = torch.Generator().manual_seed(number)
        gradients = [
            torch.empty_like(parameter).copy_(torch.randn(parameter.shape, generator=generator)) for parameter in held
        ]
        passed = [tensor.clone() for tensor in (*parameters, *gradients, *tensors_of(states))]
        new, after = plugin.part.make().differentiable_step(group, states, parameters, gradients)
        found = [*parameters, *gradients, *tensors_of(states)]
        assert all(torch.equal(one, other) for one, other in zip(passed, found)), (
            "differentiable_step changes its arguments in place"
        )
        parameters, states = new, after
        step(held, optimizer, 1, start=number)
        for one, other in zip(held, parameters):
            assert torch.allclose(one, other, rtol=1e-5, atol=1e-6), (
                f"after step {number + 1} the parameter differs from torch's"
            )
        for one_state, other_state in zip([optimizer.state.get(parameter, {}) for parameter in held], states):
            for name, value in one_state.items():
                if not isinstance(value, Tensor):  # torch keeps None for what it has not used yet
                    continue
                equal = name in other_state and torch.allclose(value, other_state[name], rtol=1e-5, atol=1e-7)
                assert equal, f"after step {number + 1} {name} in the state differs from torch's"


def tensors_of(states: list[dict[str, Tensor]]) -> list[Tensor]:
    """The tensors in some states, in their order."""
    return [value for state in states for value in state.values() if isinstance(value, Tensor)]


@when(offers("differentiable_step"))
def check_differentiable_step_has_a_gradient(plugin: Plugin) -> None:
    """Two steps are differentiable in first parameters and gradients, with finite values also where a gradient is 0."""
    held, optimizer = make(plugin)
    start = [parameter.detach().clone().requires_grad_() for parameter in held]
    slopes = [torch.where(parameter > 0, 0.5, 0.0).requires_grad_() for parameter in start]
    parameters: list[Tensor] = list(start)
    states: list[dict[str, Tensor]] = [{} for _ in held]
    for _ in range(2):
        gradients = [slope * (1 + parameter) for slope, parameter in zip(slopes, parameters)]
        parameters, states = plugin.part.make().differentiable_step(
            optimizer.param_groups[0], states, parameters, gradients
        )
    total = torch.stack([parameter.square().sum() for parameter in parameters]).sum()
    found = torch.autograd.grad(total, [*start, *slopes], allow_unused=True)
    assert all(grad is not None for grad in found), (
        "the new parameters do not depend on the old ones or on the gradients"
    )
    assert all(bool(grad.isfinite().all()) for grad in found), (
        "a gradient through the step is not finite where the gradient is 0"
    )
    assert any(bool((grad != 0).any()) for grad in found[len(start) :]), "no gradient reaches the gradients"
