"""Adamax: Adam with the largest recent size of the gradient in the place of its root mean square.

Paper: Kingma and Ba, "Adam: A Method for Stochastic Optimization" (2014), section 7.1, algorithm 2. At the t-th step, g
the gradient:

    m <- b1 m + (1 - b1) g,   u <- max(b2 u, |g| + eps),   parameter <- parameter - lr * m / ((1 - b1^t) u)

A parameter moves by about lr a step at most, and a single large gradient slows it down for some 1 / (1 - b2) steps.
Weight decay is the L2 kind: it is added to the gradient. The paper has no eps, which torch adds so that a gradient that
was always 0 is not divided by 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from ganrun.plugin import Component, Scheduled, first_value, hookimpl
from ganrun_plugins._without_compiler import without_compiler
from ganrun_plugins.optimizers._differentiable import Decay, Rate
from ganrun_plugins.optimizers._moments import Beta, Moments

_Adamax = without_compiler(torch.optim.Adamax)


class Adamax(Moments):
    """torch.optim.Adamax, over all parameters at once where torch can."""

    kept = "exp_inf"

    def __init__(
        self,
        *,
        lr: Rate = Scheduled(5e-4),
        betas: Annotated[
            tuple[Beta, Beta], Field(description="decay of the mean of the gradient and of its largest size")
        ] = (Scheduled(0.9), Scheduled(0.999)),
        eps: Annotated[Scheduled, Field(gt=0, description="added to the size of the gradient")] = Scheduled(1e-8),
        weight_decay: Decay = Scheduled(0.0),
    ) -> None:
        super().__init__(lr, betas, eps, weight_decay)

    def make(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimiser of one player's parameters. The engine sets its options before each turn."""
        return _Adamax(parameters, foreach=True, **self.options(first_value))

    def size(self, old: Tensor | None, gradient: Tensor, decay: float, eps: float) -> Tensor:
        """The largest recent absolute value."""
        new = gradient.abs() + eps
        return new if old is None else torch.maximum(decay * old, new)

    def divisor(self, size: Tensor, decay: float, eps: float, count: Tensor) -> Tensor:
        """The size itself: a maximum needs no correction."""
        return size


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("optimizer", "adamax", Adamax)
