"""What variants with an encoder share: Gaussian encodings, reconstruction errors, what is made outside training.

A stochastic encoder returns 2 Z numbers a sample, the means of Z independent normal distributions and the logarithms of
their variances.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from ganrun.plugin import Reason, Refusal, Space, Turn

Error = Literal["squared", "l1", "cross-entropy"]
NORMAL_PRIOR = {
    "latent:normal": Reason(
        "encodings are pulled to the standard normal distribution, and samples are made of latents from another one",
        "sampler: normal",
    )
}


def entry(spaces: Mapping[str, Space]) -> Space:
    """The space of the entry ``x``. Raises Refusal if the data have none."""
    if "x" not in spaces:
        raise Refusal(
            "this variant encodes the entry 'x' of the data, "
            f"and the data set has {', '.join(sorted(spaces)) or 'no entry'}",
            "take a data set of single samples, such as digits",
        )
    return spaces["x"]


def inside(turn: Turn, *phases: str) -> bool:
    """Whether a turn is one of the variant's own phases, not sampling, an observer's check or a penalty's phase."""
    return turn.phase.name in phases


def wide(x: Tensor) -> Tensor:
    """A tensor in at least float32: squares and exponentials lose too much in shorter formats."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def gaussian(statistics: Tensor) -> tuple[Tensor, Tensor]:
    """What a stochastic encoder returned, (B, 2 Z) -> means and logarithms of variances, (B, Z) each."""
    mean, log_variance = wide(statistics).chunk(2, 1)
    return mean, log_variance


def reparameterised(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """Samples of the encodings, (B, Z): mean + deviation * noise, so that gradients reach both."""
    return mean + (0.5 * log_variance).exp() * noise


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL of N(mean, variance) to N(0, I) of each sample, (B,) in nats.

    The sum over Z of (variance + mean^2 - 1 - log variance) / 2.
    """
    return 0.5 * (log_variance.exp() + mean.square() - 1 - log_variance).sum(1)


def errors(made: Tensor, real: Tensor, kind: Error) -> Tensor:
    """The error of every number, (B, ...): squared, absolute, or the cross-entropy of grey values in nats.

    Cross-entropy takes values in [-1, 1] as probabilities (x + 1) / 2; both are kept 1e-6 away from 0 and 1 where a
    logarithm is taken.
    """
    made, real = wide(made), wide(real)
    if kind == "cross-entropy":
        p, target = ((made + 1) / 2).clamp(1e-6, 1 - 1e-6), (real + 1) / 2
        return -(target * p.log() + (1 - target) * (1 - p).log())
    return (made - real).square() if kind == "squared" else (made - real).abs()


def normal_likelihood(made: Tensor, real: Tensor, sd: float) -> Tensor:
    """-log N(real | made, sd^2) of each sample, (B,) in nats: summed over its numbers, with the constant."""
    squared = errors(made, real, "squared").flatten(1)
    return squared.sum(1) / (2 * sd**2) + squared.shape[1] * (math.log(sd) + 0.5 * math.log(2 * math.pi))
