"""The relativistic pairing loss: each fake is compared with one real sample, so that only differences of logits matter.

Paper: Jolicoeur-Martineau, "The relativistic discriminator: a key element missing from standard GAN" (2018), section
4.1 (RSGAN); as RpGAN in Huang et al., "The GAN is dead; long live the GAN! A Modern Baseline GAN" (2024), equation 2.
With r and f the logits of the real sample and the fake that share a row:

    discriminator: softplus(-(r - f))
    generator:     softplus(-(f - r))

The generator's side needs real samples, too. Real and fake samples of one row have nothing else in common: any pairing
of a batch has the same expectation. A patch of one image is compared with the same patch of the other.

The value of a pair belongs to its fake. Where a game has several real or fake streams, each fake is compared with the
samples of every real stream, and the mean over these streams is taken.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from ganrun.plugin import Component, Round, Stream, hookimpl


class Relativistic:
    """softplus of the difference within a pair; the sides differ in its sign."""

    provides = frozenset({"per-sample-generator", "logit:relative"})
    real_in_generator = True

    def discriminator(self, round: Round) -> dict[Stream, Tensor]:
        """Fake stream -> softplus(f - r), (B, ...)."""
        return {fake: pairs(round, fake, 1.0) for fake in round.of("fake")}

    def generator(self, round: Round) -> dict[Stream, Tensor]:
        """Fake stream -> softplus(r - f), (B, ...)."""
        return {fake: pairs(round, fake, -1.0) for fake in round.of("fake")}


def pairs(round: Round, fake: Stream, sign: float) -> Tensor:
    """softplus(sign * (f - r)), weighted as the real samples are, (B, ...): the mean over the real streams."""
    values = [
        F.softplus(sign * (fake.logits - real.logits)) * weight_of(real, fake.logits) for real in round.of("real")
    ]
    return values[0] if len(values) == 1 else torch.stack(values).mean(0)


def weight_of(stream: Stream, like: Tensor) -> Tensor | float:
    """The weights of a stream's samples, in a shape that goes with logits (B, ...)."""
    weight = stream.output.weight if stream.output is not None else 1.0
    return weight if isinstance(weight, int | float) else weight.reshape(-1, *[1] * (like.dim() - 1))


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("loss", "relativistic", Relativistic)
