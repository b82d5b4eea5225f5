"""Latents from a standard normal distribution without its tails: no coordinate exceeds a limit.

Brock et al., "Large Scale GAN Training for High Fidelity Natural Image Synthesis" (2018), section 3.1 and appendix E,
where it is one of the latents to train with. To train with normal latents and cut the tails only when sampling, take
the trick ``truncation``.

The distribution is exact and each number takes one draw: with u uniform in (0, 1),

    z = Phi^-1(Phi(-a) + u (Phi(a) - Phi(-a))) = sqrt(2) erfinv((2 u - 1) erf(a / sqrt(2))),    a = limit

Well-known code draws normal numbers again until they fit, which takes another number of draws each time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Draws, Space, hookimpl


def truncated_normal(u: Tensor, limit: float) -> Tensor:
    """Uniform numbers in [0, 1) -> as many, of their type, of a standard normal cut off at -limit and limit."""
    # Uniform numbers are multiples of eps / 2; the middles between them are symmetric and leave out 0, which may stand
    # for minus infinity.
    centred = 2 * u.double() - 1 + torch.finfo(u.dtype).eps / 2
    z = math.sqrt(2) * torch.erfinv(centred * math.erf(limit / math.sqrt(2)))
    return z.clamp(-limit, limit).to(u.dtype)


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
        return truncated_normal(draws.uniform(purpose, n, *space.shape), self.limit)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("sampler", "truncated-normal", TruncatedNormal)
