"""Adam: a step of the running mean of the gradient over the root of its running mean square.

Paper: Kingma and Ba, "Adam: A Method for Stochastic Optimization" (2014), algorithm 1. At the t-th step, g the
gradient:

    m <- b1 m + (1 - b1) g,   v <- b2 v + (1 - b2) g^2
    parameter <- parameter - lr * m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps)

GANs usually take a first beta of 0.5 or 0 (Radford et al. 2015), because the mean of old gradients belongs to an
opponent that has moved on. Weight decay is the L2 kind: it is added to the gradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from ganrun.plugin import Component, Scheduled, first_value, hookimpl
from ganrun_plugins.optimizers._root import safe_root

Beta = Annotated[Scheduled, Field(ge=0, lt=1)]


class Adam:
    """torch.optim.Adam, fused where torch has a kernel for it."""

    def __init__(
        self,
        *,
        lr: Annotated[Scheduled, Field(ge=0, description="learning rate")] = Scheduled(2e-4),
        betas: Annotated[
            tuple[Beta, Beta], Field(description="decay of the means of the gradient and of its square")
        ] = (Scheduled(0.5), Scheduled(0.999)),
        eps: Annotated[Scheduled, Field(gt=0, description="added to the root")] = Scheduled(1e-8),
        weight_decay: Annotated[
            Scheduled, Field(ge=0, description="added to the gradient, times the parameter")
        ] = Scheduled(0.0),
    ) -> None:
        self.lr = lr
        self.betas = betas
        self.eps = eps
        self.weight_decay = weight_decay

    def options(self, now: Callable[[Scheduled | float], float]) -> dict[str, Any]:
        """The entries of torch's parameter group at a moment: ``now`` gives the value of a schedule."""
        return {
            "lr": now(self.lr),
            "betas": (now(self.betas[0]), now(self.betas[1])),
            "eps": now(self.eps),
            "weight_decay": now(self.weight_decay),
        }

    def make(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimiser of one player's parameters. The engine sets its options before each turn."""
        # torch's fused Adam takes parameters of one kind, on a CPU or a GPU; elsewhere (as on meta) torch chooses.
        fused = all(p.device.type in ("cpu", "cuda") and p.dtype in (torch.float32, torch.float64) for p in parameters)
        return torch.optim.Adam(parameters, fused=fused or None, **self.options(first_value))

    def differentiable_step(
        self,
        group: dict[str, Any],
        states: Sequence[dict[str, Tensor]],
        parameters: Sequence[Tensor],
        gradients: Sequence[Tensor],
    ) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
        """The step of torch.optim.Adam as a differentiable function of parameters, gradients and state.

        group: torch's parameter group. states: ``optimizer.state[p]`` of each parameter, empty before its first step.
        Returns new parameters and new states; what is passed in is left alone.
        """
        (first, second), rate, eps, decay = group["betas"], group["lr"], group["eps"], group["weight_decay"]
        stepped, after = [], []
        for parameter, gradient, state in zip(parameters, gradients, states):
            g = gradient + decay * parameter if decay != 0 else gradient
            count = state["step"] + 1 if "step" in state else torch.ones(())
            mean = first * state["exp_avg"] + (1 - first) * g if "exp_avg" in state else (1 - first) * g
            square = (
                second * state["exp_avg_sq"] + (1 - second) * g * g if "exp_avg_sq" in state else (1 - second) * g * g
            )
            exact = count.to(torch.promote_types(parameter.dtype, count.dtype))  # torch counts in float32
            size = rate / bias_correction(first, exact)
            stepped.append(parameter - size * mean / (safe_root(square) / bias_correction(second, exact).sqrt() + eps))
            after.append({"step": count, "exp_avg": mean, "exp_avg_sq": square})
        return stepped, after


def bias_correction(beta: float, count: Tensor) -> Tensor:
    """1 - beta^count, without the cancellation that 1 - 0.999 has in float32."""
    return -torch.expm1(count * math.log(beta)) if beta > 0 else torch.ones_like(count)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("optimizer", "adam", Adam)
