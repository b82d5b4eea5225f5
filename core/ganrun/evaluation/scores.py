"""A score and how sure it is: the value, a 95% interval, and the ways to get one.

All intervals are about the samples that are scored: other samples of the same generator would give another value. The
real samples are held fixed, as they are in every published number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ganrun.randomness import stable_hash

NORMAL = 1.959963984540054  # 97.5% of the normal distribution lie below
# of Student's t with groups - 1 degrees of freedom
STUDENT = {5: 2.7764451051977987, 10: 2.2621571627409915, 20: 2.093024054408263}


@dataclass(frozen=True)
class Score:
    """One number of an evaluator.

    low, high: a 95% interval for other samples of the same generator, None if there is none; method: how it was got, in
    a few words. enough: the samples below which the value says little; tables mark it then. called: what the field
    calls this score if its features are the ones the name stands for, such as FID.
    """

    value: float
    low: float | None = None
    high: float | None = None
    method: str = ""
    enough: int = 0
    called: str = ""

    def __float__(self) -> float:
        return float(self.value)


def of_rows(values: Tensor, *, enough: int = 0) -> Score:
    """The mean of one number per sample (n,), with 1.96 standard errors on either side. One sample has no interval."""
    x = values.detach().double().flatten()
    mean = float(x.mean())
    if len(x) < 2:
        return Score(mean, enough=enough)
    error = NORMAL * float(x.std()) / math.sqrt(len(x))
    return Score(mean, mean - error, mean + error, "standard error of the mean over samples", enough)


def share(hits: int, n: int, *, enough: int = 0) -> Score:
    """The share of n samples that hit, in [0, 1], with Wilson's interval, which keeps a width at 0 and 1."""
    p, z = hits / n, NORMAL
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return Score(p, min(p, middle - half), max(p, middle + half), "Wilson interval over samples", enough)


def jackknife(
    statistic: Callable[[Tensor], float],
    n: int,
    *,
    groups: int = 10,
    seed: int = 0,
    value: float | None = None,
    enough: int = 0,
    least: float = -math.inf,
) -> Score:
    """A smooth statistic of n samples, with the delete-a-group jackknife (Shao and Wu 1989).

    statistic: rows (m,) int64, sorted -> value. The samples are parted at random into ``groups``, and each is left out
    once. With fewer than two samples a group there is no interval. value: of all rows, if it is known already. least:
    no statistic is below it.
    """
    whole = statistic(torch.arange(n)) if value is None else value
    if n < 2 * groups or not math.isfinite(whole):
        return Score(whole, enough=enough)
    order = torch.from_numpy(np.random.default_rng(stable_hash("jackknife", seed)).permutation(n))
    found = [statistic(order[torch.arange(n) % groups != group].sort().values) for group in range(groups)]
    variance = (groups - 1) / groups * float(np.sum((np.array(found) - np.mean(found)) ** 2))
    error = STUDENT[groups] * math.sqrt(variance)
    return Score(whole, max(least, whole - error), whole + error, f"jackknife over {groups} groups of samples", enough)


def bootstrap(
    statistic: Callable[[Tensor], float],
    n: int,
    *,
    resamples: int = 200,
    seed: int = 0,
    value: float | None = None,
    enough: int = 0,
) -> Score:
    """A statistic of n samples with the percentile bootstrap (Efron 1979).

    statistic: rows (n,) int64, some of them repeated -> value. Not for distances between samples: a repeated one is its
    own neighbour.
    """
    whole = statistic(torch.arange(n)) if value is None else value
    if n < 2 or not math.isfinite(whole):
        return Score(whole, enough=enough)
    random = np.random.default_rng(stable_hash("bootstrap", seed))
    found = [statistic(torch.from_numpy(random.integers(0, n, n))) for _ in range(resamples)]
    low, high = np.quantile(found, [0.025, 0.975])
    return Score(
        whole,
        min(whole, float(low)),
        max(whole, float(high)),
        f"bootstrap, {resamples} resamples of the samples",
        enough,
    )


def of_subsets(values: Sequence[float], size: int, n: int, *, enough: int = 0) -> Score:
    """The mean of a statistic over random subsets of ``size`` of n samples, in which nothing else varies.

    The variance of such a mean over all subsets falls with the number of samples, so its standard error is about the
    deviation between subsets times sqrt(size / n), and the subsets being finitely many adds deviation / sqrt(subsets).
    """
    x = np.asarray(values, dtype=np.float64)
    mean = float(x.mean())
    if len(x) < 2:
        return Score(mean, enough=enough)
    error = NORMAL * float(x.std(ddof=1)) * math.sqrt(min(1.0, size / n) + 1 / len(x))
    return Score(mean, mean - error, mean + error, f"{len(x)} subsets of {size}", enough)
