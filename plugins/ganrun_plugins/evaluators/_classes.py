"""What evaluators of classes share: mean probabilities, divergences, and intervals of counts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ganrun.plugin import UserError, stable_hash
from ganrun.plugin.evaluation import Score, not_finite, of_rows

LEAST = 1e-20  # of a mean probability, so that its logarithm is finite
BLOCK = 2**20  # numbers of a block of probabilities: 8 MiB
RESAMPLES = 400


def checked_logits(name: str, logits: Tensor, what: str) -> Tensor:
    """Class logits (n, K) with n >= 1, all of them finite. UserError in the name of an evaluator if they are not."""
    if logits.ndim != 2 or not len(logits) or not logits.shape[1]:
        raise UserError(
            f"{name}: {what} has logits of shape {tuple(logits.shape)}; (samples, classes) is wanted, none of them 0"
        )
    bad = not_finite(logits)
    if bad:
        raise UserError(
            f"{name}: {bad} of the {len(logits)} samples of {what} have logits that are not finite numbers; "
            "leave them out"
        )
    return logits.detach().cpu()


def check_classes(name: str, real: Tensor, fake: Tensor) -> None:
    """UserError if two sets of logits are of different classifiers."""
    if real.shape[1] != fake.shape[1]:
        raise UserError(
            f"{name}: the sets have logits of {real.shape[1]} and {fake.shape[1]} classes; "
            "take both from one classifier"
        )


def log_probabilities(logits: Tensor) -> Iterator[Tensor]:
    """log p(y|x) of blocks of rows, (b, K) float64."""
    for some in torch.split(logits, max(1, BLOCK // logits.shape[1])):
        yield some.double().log_softmax(1)


def log_mean(logits: Tensor) -> Tensor:
    """The logarithm of the mean probability of each class, (K,) float64: log E p(y|x)."""
    total = torch.stack([some.exp().sum(0) for some in log_probabilities(logits)]).sum(0)
    return (total / len(logits)).clamp(min=LEAST).log()


def divergences(logits: Tensor, log_q: Tensor) -> Tensor:
    """sum_y p(y|x) (log p(y|x) - log q(y)) of each row, (n,) float64: KL(p(y|x) || q) if q (K,) is a distribution."""
    return torch.cat([(some.exp() * (some - log_q)).sum(1) for some in log_probabilities(logits)])


def exponential(values: Tensor, *, enough: int = 0) -> Score:
    """exp of the mean of values (n,), and of the ends of its interval.

    The interval is right for an entropy-like statistic if the values are its influences up to a constant: what the mean
    moves by when one sample gets more weight. Mean probabilities that depend on all samples are in them, not left out.
    """
    found = of_rows(values)
    low, high = (None if end is None else math.exp(end) for end in (found.low, found.high))
    return replace(found, value=math.exp(found.value), low=low, high=high, enough=enough)


def of_counts(
    statistic: Callable[[Tensor], Tensor],
    counts: Tensor,
    *,
    centred: bool,
    seed: int = 0,
    resamples: int = RESAMPLES,
    enough: int = 0,
) -> Score:
    """A statistic, never negative, of counts of samples in each class, (M,) int64, with their bootstrap.

    statistic: (..., M) int64 -> (...). centred: for divergences. What n samples give is too large on average, by about
    (M - 1) / (2 n) for KL, and what a resample of them gives is so once more: the resampled values are moved by the
    mean of what they add, else the interval would lie above the value.
    """
    n, value = int(counts.sum()), statistic(counts).item()
    if n < 2 or not math.isfinite(value):
        return Score(value, enough=enough)
    random = np.random.default_rng(stable_hash("bootstrap", seed))
    drawn = random.multinomial(n, (counts.double() / n).numpy(), size=resamples)  # (R, M)
    found = statistic(torch.from_numpy(drawn)).double().numpy()  # (R,)
    if centred:
        found = found + (value - found.mean())
    # a value that occurred, and not one between two: some statistics are numbers of classes
    low, high = np.quantile(found, 0.025, method="lower"), np.quantile(found, 0.975, method="higher")
    method = f"bootstrap, {resamples} resamples of the counts"
    return Score(value, max(0.0, min(value, float(low))), max(value, float(high)), method, enough)
