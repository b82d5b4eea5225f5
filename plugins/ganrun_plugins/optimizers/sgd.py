"""Stochastic gradient descent, with momentum if asked.

Robbins and Monro, "A Stochastic Approximation Method" (1951); momentum: Polyak (1964), Nesterov's form: Sutskever et
al. (2013). With g the gradient, b <- momentum b + g (g itself in the first step), parameter <- parameter - lr * b;
Nesterov's form steps along g + momentum b.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from ganrun.plugin import Component, Refusal, Scheduled, first_value, hookimpl
from ganrun_plugins._without_compiler import without_compiler
from ganrun_plugins.optimizers._differentiable import Decay, Differentiable, Rate

_SGD = without_compiler(torch.optim.SGD)


class SGD(Differentiable):
    """torch.optim.SGD, fused where torch has a kernel for it."""

    def __init__(
        self,
        *,
        lr: Rate = Scheduled(0.01),
        momentum: Annotated[
            Scheduled, Field(ge=0, lt=1, description="decay of the running sum of gradients")
        ] = Scheduled(0.0),
        nesterov: Annotated[bool, Field(description="look ahead along the momentum")] = False,
        weight_decay: Decay = Scheduled(0.0),
    ) -> None:
        self.lr = lr
        self.momentum = momentum
        self.nesterov = nesterov
        self.weight_decay = weight_decay
        if nesterov and max(self.momentum.values) == 0:
            raise Refusal(
                "Nesterov's look-ahead is along the momentum, and momentum is 0",
                "set momentum above 0, or nesterov: false",
            )

    def options(self, now: Callable[[Scheduled | float], float]) -> dict[str, Any]:
        """The entries of torch's parameter group at a moment: ``now`` gives the value of a schedule."""
        return {"lr": now(self.lr), "momentum": now(self.momentum), "weight_decay": now(self.weight_decay)}

    def make(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimiser of one player's parameters. The engine sets its options before each turn."""
        fused = all(p.device.type in ("cpu", "cuda") and p.dtype in (torch.float32, torch.float64) for p in parameters)
        # torch's constructor takes Nesterov's form with a momentum above 0 alone; a schedule may start at 0.
        optimizer = _SGD(parameters, momentum=max(self.momentum.values), nesterov=self.nesterov, fused=fused or None)
        for group in optimizer.param_groups:
            group.update(self.options(first_value))
        return optimizer

    def stepped(
        self, group: dict[str, Any], state: dict[str, Tensor], parameter: Tensor, g: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        momentum, new = group["momentum"], dict(state)
        if momentum != 0:
            old = state.get("momentum_buffer")  # torch keeps None there until momentum has been used
            buffer = new["momentum_buffer"] = g if old is None else momentum * old + g
            g = g + momentum * buffer if group["nesterov"] else buffer
        return parameter - group["lr"] * g, new


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("optimizer", "sgd", SGD)
