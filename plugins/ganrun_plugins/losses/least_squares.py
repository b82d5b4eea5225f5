"""The least-squares loss: squared distance of the logits from targets, for both sides.

Paper: Mao et al., "Least Squares Generative Adversarial Networks" (2016), equation 2. With l the logit:

    discriminator: scale * (l - b)^2 on real samples, scale * (l - a)^2 on fakes
    generator:     scale * (l - c)^2 on fakes

``coding: zero-one`` is a = 0, b = c = 1. ``coding: pearson`` is a = -1, b = 1, c = 0: with b - c = 1 and b - a = 2 the
generator minimises the Pearson chi-square divergence between p_data + p_g and 2 p_g. Each of a, b, c can be set apart.

Differences from well-known code: ``scale`` is the paper's 1/2. CycleGAN's public code has no 1/2 in the square (scale
1.0) and halves the discriminator's sum instead, which is the weight of its game here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor

from ganrun.game import Round, Stream
from ganrun.hookspecs import Component, hookimpl

CODINGS = {"zero-one": (0.0, 1.0, 1.0), "pearson": (-1.0, 1.0, 0.0)}


class LeastSquares:
    """Squared distance from a (fakes), b (real samples) and, for the generator, c."""

    provides = frozenset({"targets", "per-sample-generator", "logit:signed"})
    real_in_generator = False
    fakes = 1

    def __init__(
        self, *,
        coding: Annotated[Literal["zero-one", "pearson"], Field(description="a, b, c = 0, 1, 1 or -1, 1, 0")] = "zero-one",
        a: Annotated[float | None, Field(description="target of fakes, instead of the coding's")] = None,
        b: Annotated[float | None, Field(description="target of real samples, instead of the coding's")] = None,
        c: Annotated[float | None, Field(description="the generator's target, instead of the coding's")] = None,
        scale: Annotated[float, Field(gt=0, description="factor of the square: 0.5 in the paper")] = 0.5,
    ) -> None:  # fmt: skip
        coded = CODINGS[coding]
        self.a = coded[0] if a is None else a
        self.b = coded[1] if b is None else b
        self.c = coded[2] if c is None else c
        self.scale = scale
        # A logit is undecided half-way between the targets: that is 0 in the Pearson coding, not in the other.
        if self.a + self.b != 0:
            self.provides = self.provides - {"logit:signed"}

    def targets(self, role: str) -> float:
        """b for real samples, a for fakes."""
        return self.b if role == "real" else self.a

    def discriminator(self, round: Round) -> dict[Stream, Tensor]:
        """Stream -> scaled squared distance from its target, (B, ...)."""
        return {s: self.scale * (s.logits - target_of(s)).square() for s in round.streams}

    def generator(self, round: Round) -> dict[Stream, Tensor]:
        """Fake stream -> scaled squared distance from c, (B, ...)."""
        return {s: self.scale * (s.logits - self.c).square() for s in round.of("fake")}


def target_of(stream: Stream) -> Tensor:
    """The targets of a stream on the discriminator's side, (B, ...)."""
    assert stream.target is not None, "the engine fills in the targets"
    return stream.target


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("loss", "least-squares", LeastSquares)
