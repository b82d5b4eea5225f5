"""Latents from a mixture of normal distributions around fixed centres, all equally likely.

Gurumurthy et al., "DeLiGAN: Generative Adversarial Networks for Diverse and Limited Data" (2017): z = mu_k + sd * e,
with k uniform in 1..K and e standard normal, so that a generator need not tear one connected cloud apart to make
separate modes. They draw mu_k uniformly from [-1, 1], start sd at 0.2, and then learn both with the generator.

Here nothing is learned: centres and sd stay what they are at the start. The centres are a function of ``seed``,
``components``, ``spread`` and the latent's shape alone, so they are neither stored nor changed by the seed of a run.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Draws, Space, hookimpl


class Mixture:
    """Normal numbers of one standard deviation around one of K centres, chosen for every sample."""

    def __init__(
        self,
        *,
        components: Annotated[int, Field(ge=1, description="number of centres")] = 50,
        sd: Annotated[float, Field(ge=0, description="standard deviation around a centre")] = 0.2,
        spread: Annotated[
            float, Field(gt=0, description="the coordinates of centres are uniform in [-spread, spread)")
        ] = 1.0,
        seed: Annotated[int, Field(description="chooses the centres; not the seed of the run")] = 0,
    ) -> None:
        self.components = components
        self.sd = sd
        self.spread = spread
        self.seed = seed

    def centres(self, space: Space) -> Tensor:
        """(K, *space.shape) float64 on the CPU."""
        generator = Draws(("mixture", self.seed)).generator("centres")
        # whatever type a run trains in
        uniform = torch.rand(self.components, *space.shape, generator=generator, dtype=torch.float64)
        return (2 * uniform - 1) * self.spread

    def sample(self, draws: Draws, purpose: str, n: int, space: Space) -> Tensor:
        """n rows, (n, *space.shape)."""
        noise = draws.normal(purpose, n, *space.shape)
        chosen = draws.integers(f"{purpose} component", self.components, n)  # (n,)
        return self.centres(space).to(noise)[chosen] + self.sd * noise


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("sampler", "mixture", Mixture)
