"""Latents spread evenly over a sphere, by default of radius sqrt(D).

White, "Sampling Generative Networks" (2016): nearly all of a normal distribution in D dimensions lies close to that
sphere, so a generator is asked for little else. Here z = radius * g / |g| with g standard normal, which has no
preferred direction. Every latent has the same length, so the arc between two of them stays on the sphere.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Draws, Space, hookimpl


class Spherical:
    """Points of a sphere around 0, all equally likely.

    The coordinates are uncorrelated, each of variance radius^2 / D.
    """

    provides = frozenset({"latent:spherical"})

    def __init__(
        self,
        *,
        radius: Annotated[
            float | None, Field(gt=0, description="length of every latent; null: sqrt(D) for D coordinates")
        ] = None,
    ) -> None:
        self.radius = radius

    def sample(self, draws: Draws, purpose: str, n: int, space: Space) -> Tensor:
        """n rows, (n, *space.shape)."""
        z = draws.normal(purpose, n, *space.shape)
        radius = math.sqrt(space.size) if self.radius is None else self.radius
        length: Tensor = torch.linalg.vector_norm(z.flatten(1), dim=1).clamp(min=torch.finfo(z.dtype).tiny)  # (n,)
        return z * (radius / length).reshape(n, *[1] * len(space.shape))


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("sampler", "spherical", Spherical)
