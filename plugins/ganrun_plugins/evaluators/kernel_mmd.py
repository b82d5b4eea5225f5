"""Maximum mean discrepancy of features with a Gaussian kernel, whose bandwidth follows a named rule.

Xu et al., "An empirical study on evaluation metrics of generative adversarial networks" (2018); the estimates are those
of Gretton et al., "A kernel two-sample test" (2012). With k(x, y) = exp(-|x - y|^2 / (2 sigma^2)), n1 real samples x
and n2 fakes y:

- ``biased``, Xu et al.'s: sqrt(mean k(x, x') + mean k(y, y') - 2 mean k(x, y)) over all pairs, samples with themselves
  included. **The square root is reported**, in [0, sqrt 2]. Equal distributions do not score 0 but about sqrt((1 - E k)
  (1 / n1 + 1 / n2)): compare equal numbers of samples only.
- ``unbiased``: the first two means are over pairs of different samples. **The square is reported** (its expectation is
  right at any number of samples, but it may be below 0, and then has no root), under another name.

The rules, each times ``scale``, use real samples only, so that all generators are measured by one kernel: ``mean``,
sigma^2 = mean |x - x'|^2 over all pairs, a sample with itself (0) included, as the code of Xu et al. has it (its sigma
is our ``scale``; the paper names no rule); ``median``, sigma = median |x - x'| of different samples, the heuristic of
Gretton et al., who pool both sets (their code has 2 sigma^2 = median^2: ``scale`` 0.7071); or sigma itself, in the
units of the features.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, UserError, hookimpl
from ganrun.plugin.evaluation import NORMAL, Evaluation, Score
from ganrun_plugins.evaluators._comparison import Comparison, FeatureSpace, Output, Split
from ganrun_plugins.evaluators._sets import checked

ENOUGH = 2000  # of either set in the experiments of Xu et al.
BLOCK = 2048  # rows and columns of a kernel matrix that are there at a time: 32 MiB in float64
MEDIAN = 2000  # rows whose distances have the median taken of them
SMALL = 64  # features up to which products cost nothing beside the exponentials, so that they are float64
FEWEST = 20  # fakes that an interval needs

Rule = Literal["mean", "median"]
Sigma = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def kernel_mmd(
    real: Tensor,
    fake: Tensor,
    *,
    bandwidth: Rule | float = "mean",
    scale: float = 1.0,
    estimate: Literal["biased", "unbiased"] = "biased",
) -> Score:
    """The discrepancy of features real (n1, d) and fake (n2, d).

    Its root if biased, its square if unbiased. ``method`` names the kernel.

    The interval is a jackknife: given the sums of the kernel matrices' rows, leaving out each fake in turn costs
    nothing. ``enough``: 2,000 samples of either set, as in the experiments of Xu et al.

    Raises:
        UserError: for fewer than two samples, unequal numbers of features, values that are not finite, or a rule that
        finds no width.
    """
    real, fake = checked("kernel-mmd", 2, "a mean over pairs", real=real, fake=fake)
    sigma = bandwidth_of(real, bandwidth, scale)
    kernel = Gaussian(real.mean(0), sigma)
    m, n = len(real), len(fake)
    within = kernel.rows_within(real).sum() / m  # mean over real samples of their sum to the others
    fakes, across = kernel.rows_within(fake), kernel.rows_across(fake, real) / m  # (n2,) both

    def squared(pairs: Tensor, cross: Tensor, n: int) -> Tensor:
        """From sums over pairs of n different fakes, and over fakes of the mean kernel to real ones."""
        if estimate == "biased":
            return (within + 1) / m + (pairs + n) / n**2 - 2 * cross / n
        return within / (m - 1) + pairs / (n * (n - 1)) - 2 * cross / n

    def reported(square: Tensor) -> Tensor:
        return square.clamp(min=0).sqrt() if estimate == "biased" else square

    value = float(reported(squared(fakes.sum(), across.sum(), n)))
    what = "square root of the biased estimate" if estimate == "biased" else "unbiased estimate of the square"
    rule = f"{bandwidth} rule" if isinstance(bandwidth, str) else "given"
    method = f"{what}, Gaussian kernel of sigma {sigma:.4g} ({rule}, scale {scale:g})"
    if n < FEWEST:
        return Score(value, method=method, enough=ENOUGH)
    without = reported(squared(fakes.sum() - 2 * fakes, across.sum() - across, n - 1))  # (n2,): each fake left out
    error = NORMAL * math.sqrt((n - 1) * float(without.var(unbiased=False)))
    low = max(0.0, value - error) if estimate == "biased" else value - error
    return Score(value, low, value + error, f"{method}; jackknife over samples", ENOUGH)


def bandwidth_of(real: Tensor, rule: Rule | float, scale: float = 1.0) -> float:
    """Sigma of the kernel for real features (n, d): by rule, or as given; times ``scale``.

    The median is of at most 2,000 rows, evenly spaced over all.

    Raises:
        UserError: if the rule gives 0.
    """
    if not isinstance(rule, str):
        return float(rule) * scale
    blocks = torch.split(real, BLOCK)
    largest = max(float(some.abs().max()) for some in blocks)
    centre = torch.stack([some.double().sum(0) for some in blocks]).sum(0) / len(real)
    squares = sum(float((some.double() - centre).square().sum()) for some in blocks)
    sigma = mean = math.sqrt(2 * squares / len(real))  # mean |x - x'|^2 = 2 mean |x|^2 about the mean
    if rule == "median":
        count = min(MEDIAN, len(real))
        x = real[torch.arange(count) * len(real) // count].double() - centre
        sigma = float(np.median(torch.cdist(x, x).numpy()[np.triu_indices(count, 1)]))
    # What is left of equal numbers by rounding is no width.
    if mean <= 1e-9 * largest or sigma <= 1e-6 * mean:
        what = (
            "real samples are all alike"
            if mean <= 1e-9 * largest
            else "most real samples are alike, so their median distance is 0"
        )
        cure = "give a number, such as bandwidth: 1.0" + ("" if mean <= 1e-9 * largest else ", or bandwidth: mean")
        raise UserError(f"kernel-mmd: {what}, and the {rule} rule finds no bandwidth; {cure}")
    return sigma * scale


class Gaussian:
    """The kernel, and the sums of the rows of its matrices, block by block: no copy of a whole set is made.

    centre: (d,), anywhere near the samples: distances are the same about any point, and rounded least about a near one.
    """

    def __init__(self, centre: Tensor, sigma: float) -> None:
        self.centre = centre
        self.width = math.sqrt(2) * sigma

    def rows_within(self, x: Tensor) -> Tensor:
        """Sum of k(x, x') over all other rows x', for each row of x (n, d): (n,) float64.

        Each pair is computed once.
        """
        sums = torch.zeros(len(x), dtype=torch.float64)
        blocks = [slice(start, min(start + BLOCK, len(x))) for start in range(0, len(x), BLOCK)]
        for number, rows in enumerate(blocks):
            k = self(x[rows], x[rows]).fill_diagonal_(0)
            sums[rows] += k.sum(1, dtype=torch.float64)
            for columns in blocks[number + 1 :]:
                k = self(x[rows], x[columns])
                sums[rows] += k.sum(1, dtype=torch.float64)
                sums[columns] += k.sum(0, dtype=torch.float64)
        return sums

    def rows_across(self, x: Tensor, y: Tensor) -> Tensor:
        """Sum of k(x, y) over the rows of y (n2, d), for each row of x (n1, d): (n1,) float64."""
        sums = torch.zeros(len(x), dtype=torch.float64)
        for some, total in zip(torch.split(x, BLOCK), torch.split(sums, BLOCK), strict=True):
            for others in torch.split(y, BLOCK):
                total += self(some, others).sum(1, dtype=torch.float64)
        return sums

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """k(x, y) of all pairs, (n1, n2). Rounding may leave squares just below 0."""
        x, y = self._scaled(x), self._scaled(y)
        exponent = (x @ y.T).mul_(2).sub_(x.square().sum(1)[:, None]).sub_(y.square().sum(1))
        return exponent.clamp_(max=0).exp_()

    def _scaled(self, x: Tensor) -> Tensor:
        if x.shape[1] <= SMALL:
            return (x.double() - self.centre.double()) / self.width
        return (x - self.centre) / self.width


class KernelMmd(Comparison):
    """``[FEATURES]``: the root of the biased estimate; NaN while fakes are not finite.

    ``[FEATURES].squared``: the unbiased one.

    With ``of``, the names begin with ``[FEATURES].OF``.
    """

    enough = ENOUGH
    fewest = (2, 2, "a mean over pairs")

    def __init__(
        self,
        *,
        features: FeatureSpace,
        of: Output = None,
        split: Split = "test",
        bandwidth: Annotated[
            Rule | Sigma, Field(description="the rule for sigma, or sigma itself, in the units of the features")
        ] = "mean",
        scale: Annotated[float, Field(gt=0, allow_inf_nan=False, description="what sigma is multiplied with")] = 1.0,
        estimate: Annotated[
            Literal["biased", "unbiased"], Field(description="of biased the root is reported")
        ] = "biased",
    ) -> None:
        super().__init__(features, of, split)
        self.bandwidth = bandwidth
        self.scale = scale
        self.estimate = estimate
        self.endings = (".squared",) if estimate == "unbiased" else ("",)

    def compare(self, real: Tensor, fake: Tensor, evaluation: Evaluation) -> Mapping[str, Score]:
        score = kernel_mmd(real, fake, bandwidth=self.bandwidth, scale=self.scale, estimate=self.estimate)
        return dict.fromkeys(self.endings, score)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("evaluator", "kernel-mmd", KernelMmd)
