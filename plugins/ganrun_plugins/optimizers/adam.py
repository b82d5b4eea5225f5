"""Adam: a step of the running mean of the gradient over the root of its running mean square.

Paper: Kingma and Ba, "Adam: A Method for Stochastic Optimization" (2014), algorithm 1. At the t-th step, g the
gradient:

    m <- b1 m + (1 - b1) g,   v <- b2 v + (1 - b2) g^2
    parameter <- parameter - lr * m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps)

GANs usually take a first beta of 0.5 or 0 (Radford et al. 2015), because the mean of old gradients belongs to an
opponent that has moved on. Weight decay is the L2 kind: it is added to the gradient.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from ganrun.plugin import Component, Scheduled, first_value, hookimpl
from ganrun_plugins._without_compiler import without_compiler
from ganrun_plugins.optimizers._differentiable import Decay, Rate, safe_root
from ganrun_plugins.optimizers._moments import Beta, Moments, bias_correction

_Adam = without_compiler(torch.optim.Adam)


class Adam(Moments):
    """torch.optim.Adam, fused where torch has a kernel for it."""

    kept = "exp_avg_sq"

    def __init__(
        self,
        *,
        lr: Rate = Scheduled(2e-4),
        betas: Annotated[
            tuple[Beta, Beta], Field(description="decay of the means of the gradient and of its square")
        ] = (Scheduled(0.5), Scheduled(0.999)),
        eps: Annotated[Scheduled, Field(gt=0, description="added to the root")] = Scheduled(1e-8),
        weight_decay: Decay = Scheduled(0.0),
    ) -> None:
        super().__init__(lr, betas, eps, weight_decay)

    def make(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimiser of one player's parameters. The engine sets its options before each turn."""
        # torch's fused Adam takes parameters of one kind, on a CPU or a GPU; elsewhere (as on meta) torch chooses.
        fused = all(p.device.type in ("cpu", "cuda") and p.dtype in (torch.float32, torch.float64) for p in parameters)
        return _Adam(parameters, fused=fused or None, **self.options(first_value))

    def size(self, old: Tensor | None, gradient: Tensor, decay: float, eps: float) -> Tensor:
        """The running mean of squares."""
        new = (1 - decay) * gradient * gradient
        return new if old is None else decay * old + new

    def divisor(self, size: Tensor, decay: float, eps: float, count: Tensor) -> Tensor:
        """The root of the mean of squares, as if it had been a mean from the start."""
        return safe_root(size) / bias_correction(decay, count).sqrt() + eps


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("optimizer", "adam", Adam)
