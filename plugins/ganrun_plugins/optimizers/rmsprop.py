"""RMSprop: a step of the gradient over the root of its running mean square.

Tieleman and Hinton, "Neural Networks for Machine Learning", lecture 6.5 (2012). The optimiser of the WGAN paper,
because it has no momentum by default. With g the gradient:

    v <- alpha v + (1 - alpha) g^2,   b <- momentum b + g / (sqrt(v) + eps),   parameter <- parameter - lr * b

torch adds eps outside the root; TensorFlow's adds it inside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from ganrun.plugin import Component, Scheduled, first_value, hookimpl
from ganrun_plugins._without_compiler import without_compiler
from ganrun_plugins.optimizers._differentiable import Decay, Differentiable, Rate, safe_root

_RMSprop = without_compiler(torch.optim.RMSprop)


class RMSprop(Differentiable):
    """torch.optim.RMSprop, over all parameters at once where torch can."""

    def __init__(
        self,
        *,
        lr: Rate = Scheduled(5e-5),
        alpha: Annotated[
            Scheduled, Field(ge=0, lt=1, description="decay of the mean square of the gradient")
        ] = Scheduled(0.99),
        eps: Annotated[Scheduled, Field(gt=0, description="added to the root")] = Scheduled(1e-8),
        momentum: Annotated[Scheduled, Field(ge=0, lt=1, description="decay of the running sum of steps")] = Scheduled(
            0.0
        ),
        weight_decay: Decay = Scheduled(0.0),
    ) -> None:
        self.lr = lr
        self.alpha = alpha
        self.eps = eps
        self.momentum = momentum
        self.weight_decay = weight_decay

    def options(self, now: Callable[[Scheduled | float], float]) -> dict[str, Any]:
        """The entries of torch's parameter group at a moment: ``now`` gives the value of a schedule."""
        return {
            "lr": now(self.lr),
            "alpha": now(self.alpha),
            "eps": now(self.eps),
            "momentum": now(self.momentum),
            "weight_decay": now(self.weight_decay),
        }

    def make(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimiser of one player's parameters. The engine sets its options before each turn."""
        optimizer = _RMSprop(parameters, foreach=True, **self.options(first_value))
        if not self.momentum.constant:
            optimizer.register_step_pre_hook(_add_buffers)
        return optimizer

    def stepped(
        self, group: dict[str, Any], state: dict[str, Tensor], parameter: Tensor, g: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        rate, alpha, eps, momentum = (group[name] for name in ("lr", "alpha", "eps", "momentum"))
        count = state["step"] + 1 if "step" in state else torch.ones(())
        square = alpha * state["square_avg"] + (1 - alpha) * g * g if "square_avg" in state else (1 - alpha) * g * g
        step = g / (safe_root(square) + eps)
        new = {**state, "step": count, "square_avg": square}
        if momentum > 0:
            step = new["momentum_buffer"] = (
                momentum * state["momentum_buffer"] + step if "momentum_buffer" in state else step
            )
        return parameter - rate * step, new


def _add_buffers(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
    """torch makes the buffers of momentum in the first step alone: they are missing if momentum was 0 then."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            state = optimizer.state.get(parameter)
            if state and group["momentum"] > 0 and "momentum_buffer" not in state:
                state["momentum_buffer"] = torch.zeros_like(
                    parameter, memory_format=torch.preserve_format, requires_grad=False
                )


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("optimizer", "rmsprop", RMSprop)
