"""Stochastic gradient descent, with momentum if asked.

Robbins and Monro, "A Stochastic Approximation Method" (1951); momentum: Polyak (1964), Nesterov's form: Sutskever et al. (2013).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from ganrun.hookspecs import Component, hookimpl
from ganrun.protocols import Refusal
from ganrun.schedule import Scheduled


class SGD:
    """torch.optim.SGD, fused where torch has a kernel for it."""

    def __init__(
        self, *,
        lr: Annotated[Scheduled, Field(ge=0, description="learning rate")] = Scheduled(0.01),
        momentum: Annotated[float, Field(ge=0, lt=1, description="decay of the running sum of gradients")] = 0.0,
        nesterov: Annotated[bool, Field(description="look ahead along the momentum")] = False,
        weight_decay: Annotated[float, Field(ge=0, description="added to the gradient, times the parameter")] = 0.0,
    ) -> None:  # fmt: skip
        if nesterov and momentum == 0:
            raise Refusal("Nesterov's look-ahead is along the momentum, and momentum is 0", "set momentum above 0, or nesterov: false")
        self.lr = Scheduled(lr)
        self.momentum = momentum
        self.nesterov = nesterov
        self.weight_decay = weight_decay

    def make(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimiser of one player's parameters. The engine sets its learning rate before each turn."""
        fused = all(p.device.type in ("cpu", "cuda") and p.dtype in (torch.float32, torch.float64) for p in parameters)
        return torch.optim.SGD(
            parameters, lr=self.lr.values[0], momentum=self.momentum, nesterov=self.nesterov,
            weight_decay=self.weight_decay, fused=fused or None,
        )  # fmt: skip


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("optimizer", "sgd", SGD)
