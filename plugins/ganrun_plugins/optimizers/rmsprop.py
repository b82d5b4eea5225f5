"""RMSprop: a step of the gradient over the root of its running mean square.

Tieleman and Hinton, "Neural Networks for Machine Learning", lecture 6.5 (2012). The optimiser of the WGAN paper,
because it has no momentum by default. With g the gradient:

    v <- alpha v + (1 - alpha) g^2,   b <- momentum b + g / (sqrt(v) + eps),   parameter <- parameter - lr * b

torch adds eps outside the root; TensorFlow's adds it inside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from ganrun.plugin import Component, Scheduled, first_value, hookimpl
from ganrun_plugins.optimizers._root import safe_root


class RMSprop:
    """torch.optim.RMSprop, over all parameters at once where torch can."""

    def __init__(
        self,
        *,
        lr: Annotated[Scheduled, Field(ge=0, description="learning rate")] = Scheduled(5e-5),
        alpha: Annotated[
            Scheduled, Field(ge=0, lt=1, description="decay of the mean square of the gradient")
        ] = Scheduled(0.99),
        eps: Annotated[Scheduled, Field(gt=0, description="added to the root")] = Scheduled(1e-8),
        momentum: Annotated[Scheduled, Field(ge=0, lt=1, description="decay of the running sum of steps")] = Scheduled(
            0.0
        ),
        weight_decay: Annotated[
            Scheduled, Field(ge=0, description="added to the gradient, times the parameter")
        ] = Scheduled(0.0),
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
        optimizer = torch.optim.RMSprop(parameters, foreach=True, **self.options(first_value))
        if not self.momentum.constant:
            optimizer.register_step_pre_hook(_add_buffers)
        return optimizer

    def differentiable_step(
        self,
        group: dict[str, Any],
        states: Sequence[dict[str, Tensor]],
        parameters: Sequence[Tensor],
        gradients: Sequence[Tensor],
    ) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
        """The step of torch.optim.RMSprop as a differentiable function of parameters, gradients and state.

        group: torch's parameter group. states: ``optimizer.state[p]`` of each parameter, empty before its first step.
        Returns new parameters and new states; what is passed in is left alone.
        """
        rate, alpha, eps, momentum, decay = (group[name] for name in ("lr", "alpha", "eps", "momentum", "weight_decay"))
        stepped, after = [], []
        for parameter, gradient, state in zip(parameters, gradients, states):
            g = gradient + decay * parameter if decay != 0 else gradient
            count = state["step"] + 1 if "step" in state else torch.ones(())
            square = alpha * state["square_avg"] + (1 - alpha) * g * g if "square_avg" in state else (1 - alpha) * g * g
            step = g / (safe_root(square) + eps)
            new = {**state, "step": count, "square_avg": square}
            if momentum > 0:
                step = new["momentum_buffer"] = (
                    momentum * state["momentum_buffer"] + step if "momentum_buffer" in state else step
                )
            stepped.append(parameter - rate * step)
            after.append(new)
        return stepped, after


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
