"""RMSprop: a step of the gradient over the root of its running mean square.

Tieleman and Hinton, "Neural Networks for Machine Learning", lecture 6.5 (2012). The optimiser of the WGAN paper,
because it has no momentum by default. torch adds eps outside the root; TensorFlow's adds it inside.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from ganrun.hookspecs import Component, hookimpl
from ganrun.schedule import Scheduled


class RMSprop:
    """torch.optim.RMSprop, over all parameters at once where torch can."""

    def __init__(
        self, *,
        lr: Annotated[Scheduled, Field(ge=0, description="learning rate")] = Scheduled(5e-5),
        alpha: Annotated[float, Field(ge=0, lt=1, description="decay of the mean square of the gradient")] = 0.99,
        eps: Annotated[float, Field(gt=0, description="added to the root")] = 1e-8,
        momentum: Annotated[float, Field(ge=0, lt=1, description="decay of the running sum of steps")] = 0.0,
        weight_decay: Annotated[float, Field(ge=0, description="added to the gradient, times the parameter")] = 0.0,
    ) -> None:  # fmt: skip
        self.lr = Scheduled(lr)
        self.alpha = alpha
        self.eps = eps
        self.momentum = momentum
        self.weight_decay = weight_decay

    def make(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        """The optimiser of one player's parameters. The engine sets its learning rate before each turn."""
        return torch.optim.RMSprop(
            parameters, lr=self.lr.values[0], alpha=self.alpha, eps=self.eps, momentum=self.momentum,
            weight_decay=self.weight_decay, foreach=True,
        )  # fmt: skip


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("optimizer", "rmsprop", RMSprop)
