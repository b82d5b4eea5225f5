"""Latents from a standard normal distribution without its tails: no coordinate exceeds a limit.

Brock et al., "Large Scale GAN Training for High Fidelity Natural Image Synthesis" (2018), section 3.1 and appendix E,
where it is one of the latents to train with. To train with normal latents and drop the tails only when sampling, take
the trick ``truncation``.

The distribution is exact and each number takes one draw: with u uniform in (0, 1),

    z = Phi^-1(Phi(-a) + u (Phi(a) - Phi(-a))) = sqrt(2) erfinv((2 u - 1) erf(a / sqrt(2))),    a = limit

Well-known code draws normal numbers again until they fit, which takes another number of draws each time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Draws, Space, hookimpl


class TruncatedNormal:
    """Independent numbers, normal given that they lie in [-limit, limit].

    Their variance is below 1: 0.774 for a limit of 2.
    """

    provides = frozenset({"latent:truncated-normal"})

    def __init__(
        self, *, limit: Annotated[float, Field(gt=0, description="largest absolute value of a coordinate")] = 2.0
    ) -> None:
        self.limit = limit

    def sample(self, draws: Draws, purpose: str, n: int, space: Space) -> Tensor:
        """n rows, (n, *space.shape)."""
        return draws.truncated_normal(purpose, self.limit, n, *space.shape)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("sampler", "truncated-normal", TruncatedNormal)
