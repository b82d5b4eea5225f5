"""The built-in optimisers are torch's, without the wrappers that load torch's compiler."""

from copy import deepcopy

import pytest
import torch
from torch import nn

from ganrun_plugins._without_compiler import without_compiler


def stepped(optimizer: torch.optim.Optimizer, weight: nn.Parameter, times: int) -> None:
    for number in range(times):
        weight.grad = weight.detach() * (number + 1)
        optimizer.step()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (torch.optim.Adam, {"lr": 0.1, "fused": True}),
        (torch.optim.Adamax, {"lr": 0.1}),
        (torch.optim.RMSprop, {"lr": 0.1, "momentum": 0.5}),
        (torch.optim.SGD, {"lr": 0.1, "momentum": 0.5, "nesterov": True}),
    ],
)
def test_steps_and_states_are_those_of_torch_to_the_bit(kind: type[torch.optim.Optimizer], options: dict) -> None:
    ours, theirs = (nn.Parameter(torch.linspace(-1.0, 1.0, 7)) for _ in range(2))
    plain, wrapped = without_compiler(kind)([ours], **options), kind([theirs], **options)
    stepped(plain, ours, 3)
    stepped(wrapped, theirs, 3)
    assert torch.equal(ours, theirs)
    again = without_compiler(kind)([ours], **options)
    again.load_state_dict(deepcopy(wrapped.state_dict()))  # a state saved by torch's own class
    stepped(again, ours, 2)
    stepped(wrapped, theirs, 2)
    assert torch.equal(ours, theirs)


def test_hooks_around_a_step_are_called() -> None:
    weight, called = nn.Parameter(torch.ones(1)), []
    optimizer = without_compiler(torch.optim.SGD)([weight], lr=1.0)
    optimizer.register_step_pre_hook(lambda *_: called.append("before"))
    optimizer.register_step_post_hook(lambda *_: called.append("after"))
    stepped(optimizer, weight, 1)
    assert called == ["before", "after"]
