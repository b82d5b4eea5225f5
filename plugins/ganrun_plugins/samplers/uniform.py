"""Latents from a uniform distribution, by default in [-1, 1).

Paper: Radford et al., "Unsupervised Representation Learning with Deep Convolutional GANs" (2015), section 4.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Draws, Refusal, Space, hookimpl


class Uniform:
    """Independent uniform numbers in [low, high)."""

    def __init__(
        self,
        *,
        low: Annotated[float, Field(description="smallest value")] = -1.0,
        high: Annotated[float, Field(description="upper end, not included")] = 1.0,
    ) -> None:
        if not low < high:
            raise Refusal(f"a uniform latent needs low < high, got low {low} and high {high}", "swap them")
        self.low = low
        self.high = high

    def sample(self, draws: Draws, purpose: str, n: int, space: Space) -> Tensor:
        """n rows, (n, *space.shape)."""
        return draws.uniform(purpose, n, *space.shape, low=self.low, high=self.high)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("sampler", "uniform", Uniform)
