"""What Adam and Adamax share: a step along the running mean of the gradient, over a running size of it."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Scheduled
from ganrun_plugins.optimizers._differentiable import Differentiable

Beta = Annotated[Scheduled, Field(ge=0, lt=1)]


class Moments(Differentiable):
    """Rate, decays of the two running values, eps and weight decay, all of which may follow schedules.

    A subclass says under which name torch keeps the size (``kept``), how it grows and what divides the mean.
    """

    kept: ClassVar[str]

    def __init__(
        self, lr: Scheduled, betas: tuple[Scheduled, Scheduled], eps: Scheduled, weight_decay: Scheduled
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

    @abstractmethod
    def size(self, old: Tensor | None, gradient: Tensor, decay: float, eps: float) -> Tensor:
        """The running size after a gradient; ``old`` is None before the first one."""

    @abstractmethod
    def divisor(self, size: Tensor, decay: float, eps: float, count: Tensor) -> Tensor:
        """What the mean of the gradients is divided by after ``count`` of them."""

    def stepped(
        self, group: dict[str, Any], state: dict[str, Tensor], parameter: Tensor, g: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        (first, second), rate, eps = group["betas"], group["lr"], group["eps"]
        count = state["step"] + 1 if "step" in state else torch.ones(())
        mean = first * state["exp_avg"] + (1 - first) * g if "exp_avg" in state else (1 - first) * g
        size = self.size(state.get(self.kept), g, second, eps)
        exact = count.to(torch.promote_types(parameter.dtype, count.dtype))  # torch counts in float32
        divisor = self.divisor(size, second, eps, exact)
        new = parameter - rate / bias_correction(first, exact) * mean / divisor
        return new, {"step": count, "exp_avg": mean, self.kept: size}


def bias_correction(beta: float, count: Tensor) -> Tensor:
    """1 - beta^count, without the cancellation that 1 - 0.999 has in float32."""
    return -torch.expm1(count * math.log(beta)) if beta > 0 else torch.ones_like(count)
