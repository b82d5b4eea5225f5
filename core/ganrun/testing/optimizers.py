"""What an optimiser has to keep."""

from __future__ import annotations

import torch
from torch import nn

from ganrun import checkpoint
from ganrun.recipe import parameters
from ganrun.schedule import Scheduled
from ganrun.testing.plugin import Plugin
from ganrun.testing.runs import written_and_read


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
    assert "lr" in names, "no parameter lr: recipes set it"
    assert isinstance(plugin.part.make().lr, Scheduled), "lr is not a Scheduled: the engine reads its value before each turn"
    _, optimizer = make(plugin)
    assert isinstance(optimizer, torch.optim.Optimizer), "make returns no torch optimiser"
    assert all(group["lr"] == plugin.part.make().lr.values[0] for group in optimizer.param_groups)


def check_steps(plugin: Plugin) -> None:
    """A step moves every parameter to finite values; at rate 0 it moves none."""
    held, optimizer = make(plugin)
    before = [parameter.detach().clone() for parameter in held]
    step(held, optimizer, 2)
    assert all(bool(p.isfinite().all()) and not torch.equal(p, old) for p, old in zip(held, before)), "a parameter does not move"
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    before = [parameter.detach().clone() for parameter in held]
    step(held, optimizer, 1)
    assert all(torch.equal(parameter, old) for parameter, old in zip(held, before)), "at lr 0 a parameter moves"


def check_state_survives_a_checkpoint(plugin: Plugin) -> None:
    """Restored from a checkpoint, also beside a channels_last weight, it goes on to the same bits."""
    held, optimizer = make(plugin)
    step(held, optimizer, 3)
    again, restored = make(plugin)
    for parameter, trained in zip(again, held):
        parameter.data.copy_(trained.data)
    checkpoint.restore_optimizer(restored, written_and_read(checkpoint.optimizer_state(optimizer)))
    step(held, optimizer, 3, start=3)
    step(again, restored, 3, start=3)
    assert all(torch.equal(one, other) for one, other in zip(held, again)), "other weights after a restored state"
