"""Truncation: outside training, latents are drawn without the tails of the normal distribution they were trained with.

Paper: Brock et al., "Large Scale GAN Training for High Fidelity Natural Image Synthesis" (2018), section 3.1:
coordinates of z that lie outside [-limit, limit] are drawn again until they lie inside. Samples get better and less
diverse as the limit falls; the paper's figure 2 shows 2, 1, 0.5 and 0.04. Training never sees it.

Everything that reads samples gets truncated ones, evaluators too. A Frechet distance or any other score of such a run
is one *under truncation*, and a report of it must give the limit; to score the whole distribution, leave this trick
out.

Drawing again until it fits gives a normal number on the condition that it fits. That distribution is met exactly by one
uniform draw through its inverse distribution function, so every coordinate takes the same number of draws; one that
fits is kept. Latents trained with the sampler ``truncated-normal`` may be truncated further: the condition is the same,
only stricter.

Public demonstrations of BigGAN instead truncate at 2 and multiply by their truncation t: ``limit: 2, scale: t``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

import torch
from pydantic import Field

from ganrun.plugin import Component, Reason, Turn, hookimpl


class Truncation:
    """Replaces coordinates of latents that exceed a limit by ones that do not, when sampling."""

    strength: ClassVar[str] = "limit"
    neutral: ClassVar[float] = 1e9
    remedies: ClassVar[frozenset[str]] = frozenset()
    needs: ClassVar[dict[str, Reason]] = {
        "latent": Reason(
            "samples are not made from latents, so nothing could be truncated", "a variant with latents, such as dcgan"
        ),
        "latent:normal|latent:truncated-normal": Reason(
            "what exceeds the limit is drawn again from a normal distribution, and these latents are not normal: "
            "samples would be made from latents that the generator was never trained with",
            "sampler: normal",
        ),
    }

    def __init__(
        self,
        *,
        limit: Annotated[
            float, Field(gt=0, description="largest absolute value of a coordinate, in standard deviations")
        ] = 1.0,
        scale: Annotated[float, Field(gt=0, description="multiplies the truncated latents")] = 1.0,
    ) -> None:
        self.limit = limit
        self.scale = scale

    @hookimpl
    def sample(self, turn: Turn) -> None:
        if turn.player:  # a turn of training
            return
        for name in sorted(turn.drawn):  # not labels or codes, which have a distribution of their own
            z = turn.latents[name]  # (n, ...)
            other = turn.draws.truncated_normal(f"truncation {name}", self.limit, *z.shape).to(z.dtype)
            turn.latents[name] = torch.where(z.abs() > self.limit, other, z) * self.scale


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "truncation", Truncation)
