"""f-GAN losses: the discriminator estimates an f-divergence from below, by the conjugate of f.

Paper: Nowozin, Cseke and Tomioka, "f-GAN: Training Generative Neural Samplers using Variational Divergence
Minimization" (2016), equation 7, table 2 and section 3.2. With l the logit, g its activation and f* the conjugate:

    discriminator: -g(l) on real samples, f*(g(l)) on fakes
    generator:     -g(l) on fakes, with which the paper trains, or -f*(g(l)), which minimises the same divergence

    kl:          g = l,             f*(t) = exp(t - 1)
    reverse-kl:  g = -exp(-l),      f*(t) = -1 - log(-t)
    pearson:     g = l,             f*(t) = t^2 / 4 + t
    jensen-shannon: g = log 2 - softplus(-l), f*(t) = -log(2 - exp t)

At their best g(l) is f'(p_data / p_generator). Exponents are cut at 30, beyond which a logit says nothing more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Round, Stream, hookimpl

Name = Literal["kl", "reverse-kl", "pearson", "jensen-shannon"]


def exp(x: Tensor) -> Tensor:
    """The exponential, linear from 30 on, so that value and gradient stay finite."""
    low = x.clamp(max=30)
    return low.exp() * (1 + (x - low))


# Name -> (g(l), f*(g(l)) written in l), each of logits (B, ...).
DIVERGENCES: Mapping[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "kl": (lambda logit: logit, lambda logit: exp(logit - 1)),
    "reverse-kl": (lambda logit: -exp(-logit), lambda logit: logit - 1),
    "pearson": (lambda logit: logit, lambda logit: logit.square() / 4 + logit),
    "jensen-shannon": (lambda logit: math.log(2) - F.softplus(-logit), lambda logit: F.softplus(logit) - math.log(2)),
}


class FGAN:
    """A lower bound of an f-divergence."""

    provides = frozenset({"per-sample-generator"})
    real_in_generator = False

    def __init__(
        self,
        *,
        divergence: Annotated[Name, Field(description="which f")] = "kl",
        generator: Annotated[
            Literal["trick", "theory"], Field(description="-g(l), with which the paper trains, or -f*(g(l))")
        ] = "trick",
    ) -> None:
        self.activation, self.conjugate = DIVERGENCES[divergence]
        self.side = generator

    def discriminator(self, round: Round) -> dict[Stream, Tensor]:
        """Stream -> -g(l) of real samples, f*(g(l)) of fakes, (B, ...)."""
        real = {s: -self.activation(s.logits) for s in round.of("real")}
        return real | {s: self.conjugate(s.logits) for s in round.of("fake")}

    def generator(self, round: Round) -> dict[Stream, Tensor]:
        """Fake stream -> -g(l) or -f*(g(l)), (B, ...)."""
        value = self.activation if self.side == "trick" else self.conjugate
        return {s: -value(s.logits) for s in round.of("fake")}


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("loss", "f-gan", FGAN)
