"""Adamax: Adam with the largest recent size of the gradient in the place of its root mean square.

Paper: Kingma and Ba, "Adam: A Method for Stochastic Optimization" (2014), section 7.1, algorithm 2. At the t-th step, g
the gradient:

    m <- b1 m + (1 - b1) g,   u <- max(b2 u, |g| + eps),   parameter <- parameter - lr * m / ((1 - b1^t) u)

A parameter moves by about lr a step at most, and a single large gradient slows it down for some 1 / (1 - b2) steps.
Weight decay is the L2 kind: it is added to the gradient. The paper has no eps, which torch adds so that a gradient that
was always 0 is not divided by 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from ganrun.plugin import Component, Scheduled, first_value, hookimpl
from ganrun_plugins.optimizers.adam import Adam, Beta, bias_correction


class Adamax(Adam):
    """torch.optim.Adamax, over all parameters at once where torch can."""

    def __init__(
        self,
        *,
        lr: Annotated[Scheduled, Field(ge=0, description="learning rate")] = Scheduled(5e-4),
        betas: Annotated[
            tuple[Beta, Beta], Field(description="decay of the mean of the gradient and of its largest size")
        ] = (Scheduled(0.9), Scheduled(0.999)),
        eps: Annotated[Scheduled, Field(gt=0, description="added to the size of the gradient")] = Scheduled(1e-8),
        weight_decay: Annotated[
            Scheduled, Field(ge=0, description="added to the gradient, times the parameter")
        ] = Scheduled(0.0),
    ) -> None:
        self.lr = lr
        self.betas = betas
        self.eps = eps
        self.weight_decay = weight_decay

    def make(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimiser of one player's parameters. The engine sets its options before each turn."""
        return torch.optim.Adamax(parameters, foreach=True, **self.options(first_value))

    def differentiable_step(
        self,
        group: dict[str, Any],
        states: Sequence[dict[str, Tensor]],
        parameters: Sequence[Tensor],
        gradients: Sequence[Tensor],
    ) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
        """The step of torch.optim.Adamax as a differentiable function of parameters, gradients and state.

        group: torch's parameter group. states: ``optimizer.state[p]`` of each parameter, empty before its first step.
        Returns new parameters and new states; what is passed in is left alone.
        """
        (first, second), rate, eps, decay = group["betas"], group["lr"], group["eps"], group["weight_decay"]
        stepped, after = [], []
        for parameter, gradient, state in zip(parameters, gradients, states):
            g = gradient + decay * parameter if decay != 0 else gradient
            count = state["step"] + 1 if "step" in state else torch.ones(())
            mean = first * state["exp_avg"] + (1 - first) * g if "exp_avg" in state else (1 - first) * g
            largest = torch.maximum(second * state["exp_inf"], g.abs() + eps) if "exp_inf" in state else g.abs() + eps
            exact = count.to(torch.promote_types(parameter.dtype, count.dtype))  # torch counts in float32
            stepped.append(parameter - rate / bias_correction(first, exact) * mean / largest)
            after.append({"step": count, "exp_avg": mean, "exp_inf": largest})
        return stepped, after


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("optimizer", "adamax", Adamax)
