"""What the optimisers share: parameters of theirs, and torch's step as a differentiable function."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Scheduled

Rate = Annotated[Scheduled, Field(ge=0, description="learning rate")]
Decay = Annotated[Scheduled, Field(ge=0, description="added to the gradient, times the parameter")]


class Differentiable(ABC):
    """An optimiser that moves each parameter by itself, along its gradient and weight decay of the L2 kind."""

    def differentiable_step(
        self,
        group: dict[str, Any],
        states: Sequence[dict[str, Tensor]],
        parameters: Sequence[Tensor],
        gradients: Sequence[Tensor],
    ) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
        """The step of torch's optimiser as a differentiable function of parameters, gradients and state.

        group: torch's parameter group. states: ``optimizer.state[p]`` of each parameter, empty before its first step.
        Returns new parameters and new states; what is passed in is left alone.
        """
        decay = group["weight_decay"]
        stepped, after = [], []
        for parameter, gradient, state in zip(parameters, gradients, states):
            g = gradient + decay * parameter if decay != 0 else gradient
            new, new_state = self.stepped(group, state, parameter, g)
            stepped.append(new)
            after.append(new_state)
        return stepped, after

    @abstractmethod
    def stepped(
        self, group: dict[str, Any], state: dict[str, Tensor], parameter: Tensor, g: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """One parameter after the step, and its state; ``g``: its gradient with the weight decay."""


def safe_root(square: Tensor) -> Tensor:
    """The square root of numbers >= 0, with a gradient of 0 at 0, where the root's own is infinite."""
    positive = square > 0
    return torch.where(positive, torch.where(positive, square, 1.0).sqrt(), 0.0)
