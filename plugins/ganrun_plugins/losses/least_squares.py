"""The least-squares loss: squared distance of the logits from targets, for both sides.

Paper: Mao et al., "Least Squares Generative Adversarial Networks" (2016), equation 2. With l the logit:

    discriminator: scale * (l - b)^2 on real samples, scale * (l - a)^2 on fakes
    generator:     scale * (l - c)^2 on fakes

``coding: zero-one`` is a = 0, b = c = 1. ``coding: pearson`` is a = -1, b = 1, c = 0: with b - c = 1 and b - a = 2 the
generator minimises half the Pearson chi-square divergence between p_data + p_g and 2 p_g. Each of a, b, c can be set
apart. A logit half-way between a and b is undecided: the score is l - (a + b) / 2, negated if b lies below a.

Differences from well-known code: ``scale`` is the paper's 1/2. CycleGAN's public code has no 1/2 in the square (scale
1.0) and halves the discriminator's sum instead, which is the weight of its game here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Round, Scheduled, Stream, hookimpl

CODINGS = {"zero-one": (0.0, 1.0, 1.0), "pearson": (-1.0, 1.0, 0.0)}


class LeastSquares:
    """Squared distance from a (fakes), b (real samples) and, for the generator, c."""

    provides = frozenset({"targets", "per-sample-generator", "logit:signed"})
    real_in_generator = False

    def __init__(
        self,
        *,
        coding: Annotated[
            Literal["zero-one", "pearson"], Field(description="a, b, c = 0, 1, 1 or -1, 1, 0")
        ] = "zero-one",
        a: Annotated[Scheduled | None, Field(description="target of fakes, instead of the coding's")] = None,
        b: Annotated[Scheduled | None, Field(description="target of real samples, instead of the coding's")] = None,
        c: Annotated[Scheduled | None, Field(description="the generator's target, instead of the coding's")] = None,
        scale: Annotated[Scheduled, Field(gt=0, description="factor of the square: 0.5 in the paper")] = Scheduled(0.5),
    ) -> None:
        self.a, self.b, self.c = (
            Scheduled(coded if own is None else own) for coded, own in zip(CODINGS[coding], (a, b, c))
        )
        self.scale = scale

    def targets(self, role: str) -> Scheduled:
        """b for real samples, a for fakes."""
        return self.b if role == "real" else self.a

    def score(self, round: Round, logits: Tensor) -> Tensor:
        """Signed distance from the point half-way between the targets, (B, ...) as the logits."""
        a, b = round.now(self.a), round.now(self.b)
        return logits - (a + b) / 2 if b >= a else (a + b) / 2 - logits

    def discriminator(self, round: Round) -> dict[Stream, Tensor]:
        """Stream -> scaled squared distance from its target, (B, ...)."""
        scale = round.now(self.scale)
        return {s: scale * (s.logits - target_of(s)).square() for s in round.streams}

    def generator(self, round: Round) -> dict[Stream, Tensor]:
        """Fake stream -> scaled squared distance from c, (B, ...)."""
        scale, c = round.now(self.scale), round.now(self.c)
        return {s: scale * (s.logits - c).square() for s in round.of("fake")}


def target_of(stream: Stream) -> Tensor:
    """The targets of a stream on the discriminator's side, (B, ...)."""
    assert stream.target is not None, "the engine fills in the targets"
    return stream.target


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("loss", "least-squares", LeastSquares)
