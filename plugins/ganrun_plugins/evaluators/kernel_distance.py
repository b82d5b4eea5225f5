"""Squared maximum mean discrepancy of features with a cubic kernel, over subsets (KID on Inception's).

Binkowski et al., "Demystifying MMD GANs" (2018), after Gretton et al., "A kernel two-sample test" (2012). With the
kernel k(x, y) = (x.y / d + 1)^3 of d features, and m samples in either subset:

    (sum of k(x, x') over x != x' + sum of k(y, y') over y != y') / (m (m - 1)) - 2 mean of k(x, y) over all m^2 pairs

Its expectation is the squared discrepancy at any m, so values of unequal numbers of samples may be compared, and a
value may be below 0.

Differences from well-known code: subsets as large as the smaller set where there are fewer samples than a subset needs
(torch-fidelity stops, others do it silently). The deviation between subsets, which they print beside the mean, is not
how far the mean moves with other fakes: it is that of a subset's real samples, too, and of few of the fakes. The
interval has two parts: what other fakes would change, from leaving out groups of fakes where no subsets are drawn, and
what other subsets would change, the variance between subsets divided by their number.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Part, PartOf, hookimpl, stable_hash
from ganrun.plugin.evaluation import NORMAL, Evaluation, Score, jackknife
from ganrun_plugins.evaluators._comparison import Comparison, Output, Split
from ganrun_plugins.evaluators._sets import checked

BLOCK = 1024  # rows and columns of a kernel matrix that are there at a time
MOST = 5000  # samples of either set from which the interval is taken; with 100 subsets of 1,000 a fifth of all work


def kernel_distance(real: Tensor, fake: Tensor, *, subsets: int = 100, size: int = 1000, seed: int = 0) -> Score:
    """The distance between features real (n1, d) and fake (n2, d): the mean over ``subsets`` of ``size`` rows of each.

    Subsets are drawn without replacement from keys of ``seed``. They are as large as the smaller set if that has less
    than ``size`` rows, and there is one if both sets are whole in it. ``enough``: the paper's tables are of subsets of
    1,000; a value of fewer than ``size`` samples varies more than those do.

    Raises:
        UserError: for fewer than two samples, unequal numbers of features, or values that are not finite.
    """
    real, fake = checked("kernel-distance", 2, "a mean over pairs", real=real, fake=fake)
    m = min(size, len(real), len(fake))
    random = np.random.default_rng(stable_hash("kernel-distance", seed))
    count = 1 if m == len(real) == len(fake) else subsets
    chosen = [(_rows(random, len(real), m), _rows(random, len(fake), m)) for _ in range(count)]
    values = distances_of_subsets(real, fake, chosen)
    drawn = f"{count} subset{'s' if count > 1 else ''} of {m}" + (
        f" ({size} asked for, the smaller set has {m})" if m < size else ""
    )
    score = with_fakes_left_out(real, fake, float(np.mean(values)), seed)
    score = replace(score, enough=size, method="; ".join(filter(None, [drawn, score.method])))
    if score.high is None or count == 1:
        return score
    error = math.hypot(score.high - score.value, NORMAL * float(np.std(values, ddof=1)) / math.sqrt(count))
    return replace(score, low=score.value - error, high=score.value + error)


def with_fakes_left_out(real: Tensor, fake: Tensor, value: float, seed: int) -> Score:
    """A value with the interval of the discrepancy of all real (n1, d) and fakes (n2, d), where no subsets are drawn.

    Of more than MOST fakes it is that of the first MOST, narrowed as the standard error of a mean is.
    """
    x, y = real[:MOST], fake[:MOST]
    n, across, within = len(y), *_row_sums(x, y)
    total, pairs = float(within.sum()), float(across.sum())

    def without_the_rest(rows: Tensor) -> float:
        """The discrepancy of these fakes, less the real samples' own mean, which is the same for all of them."""
        left_out = torch.ones(n, dtype=torch.bool)
        left_out[rows] = False
        group, m = y[left_out], len(rows)
        own = _mean_within(group) * len(group) * (len(group) - 1) if len(group) > 1 else 0.0
        inside = total - 2 * float(within[left_out].sum()) + own
        return inside / (m * (m - 1)) - 2 * (pairs - float(across[left_out].sum())) / (len(x) * m)

    score = jackknife(without_the_rest, n, seed=seed, value=value)
    if score.high is None:
        return score
    error = (score.high - value) * math.sqrt(n / len(fake))
    return replace(score, low=value - error, high=value + error)


def distances_of_subsets(real: Tensor, fake: Tensor, chosen: Iterable[tuple[Tensor, Tensor]]) -> list[float]:
    """The squared discrepancy of rows of real (n1, d) and of fake (n2, d), for each pair of rows, (m,) int64 both."""
    return [squared_discrepancy(real[r], fake[f]) for r, f in chosen]


def squared_discrepancy(x: Tensor, y: Tensor) -> float:
    """The estimate above for all of x (m1, d) and y (m2, d).

    Each sum over pairs has its own number of pairs if m1 and m2 differ.
    """
    across = sum(_sum(some, others) for some in torch.split(x, BLOCK) for others in torch.split(y, BLOCK))
    return _mean_within(x) + _mean_within(y) - 2 * across / (len(x) * len(y))


def _mean_within(x: Tensor) -> float:
    """The mean kernel of two different rows. The matrix is symmetric: no block below its diagonal is computed."""
    total = 0.0
    for start in range(0, len(x), BLOCK):
        some = x[start : start + BLOCK]
        # numpy's product of a matrix with its own transpose takes half the time of torch's, as one triangle is mirrored
        # (BLAS syrk).
        k = torch.from_numpy(some.numpy() @ some.numpy().T).div_(x.shape[1]).add_(1).pow_(3)
        total += float(k.sum(dtype=torch.float64) - k.diagonal().sum(dtype=torch.float64))
        total += 2 * sum(_sum(some, others) for others in torch.split(x[start + BLOCK :], BLOCK))
    return total / (len(x) * (len(x) - 1))


def _row_sums(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """For each row of y (n2, d), the sum of its kernels with all of x (n1, d), and with all others of y: (n2,) float64.

    In blocks; the matrix of y is symmetric, so a block beside the diagonal is added to both its rows and its columns.
    """
    starts = range(0, len(y), BLOCK)
    blocks = [y[start : start + BLOCK] for start in starts]
    across, within = (torch.zeros(len(y), dtype=torch.float64) for _ in range(2))
    for i, (start, some) in enumerate(zip(starts, blocks)):
        for others in torch.split(x, BLOCK):
            across[start : start + len(some)] += _kernel(some, others).sum(1, dtype=torch.float64)
        k = _kernel(some, some)
        within[start : start + len(some)] += k.sum(1, dtype=torch.float64) - k.diagonal().double()
        for other, others in list(zip(starts, blocks))[i + 1 :]:
            k = _kernel(some, others)
            within[start : start + len(some)] += k.sum(1, dtype=torch.float64)
            within[other : other + len(others)] += k.sum(0, dtype=torch.float64)
    return across, within


def _sum(x: Tensor, y: Tensor) -> float:
    """The sum of the kernel over all pairs of rows, computed in the type of the features, added up in float64."""
    return float(_kernel(x, y).sum(dtype=torch.float64))


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    """(x.y / d + 1)^3 of all pairs of rows of x (n1, d) and y (n2, d): (n1, n2)."""
    return torch.addmm(torch.ones((), dtype=x.dtype), x, y.T, alpha=1 / x.shape[1]).pow_(3)


def _rows(random: np.random.Generator, n: int, m: int) -> Tensor:
    return torch.arange(n) if m == n else torch.from_numpy(random.choice(n, m, replace=False))


class KernelDistance(Comparison):
    """``[FEATURES]``: fakes against real samples, in the kernel's units.

    0 for equal distributions; NaN while fakes are not finite.

    With ``of``, the name is ``[FEATURES].OF``.
    """

    fewest = (2, 2, "a mean over pairs")

    def __init__(
        self,
        *,
        features: Annotated[
            Part, PartOf("features", default="classifier"), Field(description="the space whose kernel it is")
        ],
        of: Output = None,
        split: Split = "test",
        subsets: Annotated[int, Field(ge=2, description="random subsets that the distance is the mean of")] = 100,
        size: Annotated[int, Field(ge=2, description="samples of either set in a subset, if there are as many")] = 1000,
    ) -> None:
        super().__init__(features, of, split)
        self.subsets = subsets
        self.size = self.enough = size

    def compare(self, real: Tensor, fake: Tensor, evaluation: Evaluation) -> Mapping[str, Score]:
        return {"": kernel_distance(real, fake, subsets=self.subsets, size=self.size, seed=evaluation.seed)}

    def evaluate(self, evaluation: Evaluation) -> Mapping[str, Score]:
        scores = super().evaluate(evaluation)
        called = evaluation.called(self.features, "kernel-distance", self.of)  # that depends on what was asked for
        return {name: replace(score, called=called) for name, score in scores.items()}


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("evaluator", "kernel-distance", KernelDistance)
