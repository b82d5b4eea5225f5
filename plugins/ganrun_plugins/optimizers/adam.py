"""Adam: a step of the running mean of the gradient over the root of its running mean square.

Paper: Kingma and Ba, "Adam: A Method for Stochastic Optimization" (2014), algorithm 1. GANs usually take a first beta
of 0.5 or 0 (Radford et al. 2015), because the mean of old gradients belongs to an opponent that has moved on.
Weight decay is the L2 kind: it is added to the gradient.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from ganrun.hookspecs import Component, hookimpl
from ganrun.schedule import Scheduled

Beta = Annotated[float, Field(ge=0, lt=1)]


class Adam:
    """torch.optim.Adam, fused where torch has a kernel for it."""

    def __init__(
        self, *,
        lr: Annotated[Scheduled, Field(ge=0, description="learning rate")] = Scheduled(2e-4),
        betas: Annotated[tuple[Beta, Beta], Field(description="decay of the means of the gradient and of its square")] = (0.5, 0.999),
        eps: Annotated[float, Field(gt=0, description="added to the root")] = 1e-8,
        weight_decay: Annotated[float, Field(ge=0, description="added to the gradient, times the parameter")] = 0.0,
    ) -> None:  # fmt: skip
        self.lr = Scheduled(lr)
        self.betas = (betas[0], betas[1])
        self.eps = eps
        self.weight_decay = weight_decay

    def make(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimiser of one player's parameters. The engine sets its learning rate before each turn."""
        # torch's fused Adam takes parameters of one kind, on a CPU or a GPU; elsewhere (as on meta) torch chooses.
        fused = all(p.device.type in ("cpu", "cuda") and p.dtype in (torch.float32, torch.float64) for p in parameters)
        return torch.optim.Adam(
            parameters, lr=self.lr.values[0], betas=self.betas, eps=self.eps, weight_decay=self.weight_decay, fused=fused or None
        )


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("optimizer", "adam", Adam)
