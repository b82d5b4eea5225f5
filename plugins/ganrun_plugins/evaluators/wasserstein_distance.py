"""Wasserstein distance between features: by optimal assignment for few samples, sliced beyond.

Xu et al., "An empirical study on evaluation metrics of generative adversarial networks" (2018): the least mean
Euclidean distance that pairs of one real sample and one fake can have, W_1; with ``power: 2`` the root of the least
mean squared distance, W_2. With m samples of either set it is an optimal assignment, exact in O(m^3). Where both sets
are larger than ``exact``, the sliced distance of Rabin et al., "Wasserstein barycenter and its application to texture
mixing" (2011), stands in for it: (mean over random directions of W_p^p of the projections)^(1/p), each by sorting. **It
is on another scale** (shorter by about sqrt(d) in d dimensions), so it has another name.

Two samples of one distribution do not score 0: W_1 falls with the number of samples n as slowly as n^(-1/d). Compare
equal numbers only.

Differences from well-known code: Xu et al. solve a linear program and do not say how sure the value is. Here the
potentials (dual variables) of the optimal pairing give a standard error: the variance of W_p^p is about that of the
fakes' potential over n (for W_2^2: del Barrio and Loubes, "Central limit theorems for empirical transportation cost in
general dimension", 2019). Sliced sets of unequal sizes are compared by their quantile functions, which are steps:
nothing is interpolated.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, UserError, hookimpl, seeded
from ganrun.plugin.evaluation import NORMAL, Evaluation, Score
from ganrun_plugins.evaluators._comparison import Comparison, FeatureSpace, Output, Split
from ganrun_plugins.evaluators._sets import checked, reduced

LARGEST = 4096  # pairs of an assignment, whose costs are held whole: 128 MiB
ENOUGH = 2000  # of either set in the experiments of Xu et al.
BLOCK = 1 << 22  # projected numbers that are sorted at a time: 32 MiB in float64
ROWS = 2048  # samples that are projected at a time
FEWEST = 20  # fakes that an interval needs

Power = Literal[1, 2]


def wasserstein_distance(real: Tensor, fake: Tensor, *, power: Power = 1, seed: int = 0) -> Score:
    """W_p between features real (n1, d) and fake (n2, d) by optimal assignment.

    Of the larger set, as many rows as the smaller has.

    Those rows are chosen by ``seed``. ``enough``: 2,000 samples, as in the experiments of Xu et al., where it needed
    the most samples of all scores.

    Raises:
        UserError: for fewer than two samples, more than 4,096 in both sets, unequal numbers of features, or values that
        are not finite.
    """
    from scipy.optimize import linear_sum_assignment

    real, fake = checked("wasserstein-distance", 2, "a distance of distributions", real=real, fake=fake)
    m = min(len(real), len(fake))
    if m > LARGEST:
        raise UserError(
            f"wasserstein-distance: both sets have more than {LARGEST} samples, too many to assign; "
            "slice it, or ask for fewer"
        )
    centre = real.mean(0).double()  # distances are the same about any point, and rounded least about a near one
    x, y = (
        reduced(some, m, "wasserstein-distance", seed, what).double() - centre
        for some, what in ((real, "real"), (fake, "fake"))
    )
    cost = torch.cdist(x, y).pow_(power).numpy()
    pairs = linear_sum_assignment(cost)[1]
    # The products behind ``cost`` lose digits where samples are close; of the pairs found, distances are computed
    # again.
    value = float((x - y[torch.from_numpy(pairs)]).square().sum(1).pow(power / 2).mean())
    spread = float(potentials(cost, pairs).std()) / math.sqrt(m)
    return _score(value, spread, m, power, f"W_{power}, optimal assignment of {m} pairs")


def potentials(cost: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Dual variables (m,) of the columns of a cost matrix (m, m), whose rows are best assigned ``pairs`` (m,).

    With row variables u, u_i + v_j <= cost_ij, and equal for pairs: how much cheaper all would be without mass at j.
    They are longest ways in the graph of exchanges (Bellman and Ford), where an edge is followed again only if the way
    to its start has changed.
    """
    own = cost[np.arange(len(cost)), pairs]
    # (m, m): [j, i] is what i loses if it takes j's partner
    loss = np.ascontiguousarray((cost[:, pairs] - own[:, None]).T)
    found = np.zeros(len(cost))
    changed = np.arange(len(cost))
    # less is nothing to a standard error; at the level of rounding ways would go round in circles
    slack = 1e-6 * float(cost.max())
    while len(changed):
        best = np.full(len(cost), -np.inf)
        for some in np.array_split(changed, -(-len(changed) // 256)):
            np.maximum(best, (found[some, None] - loss[some]).max(0), out=best)
        changed = np.flatnonzero(best > found + slack)
        found[changed] = best[changed]
    by_column = np.empty_like(found)
    by_column[pairs] = found
    return by_column


def sliced_distance(real: Tensor, fake: Tensor, *, projections: int = 512, power: Power = 1, seed: int = 0) -> Score:
    """The sliced W_p between features real (n1, d) and fake (n2, d), along directions that ``seed`` chooses.

    In one dimension it is W_p itself. ``enough``: 2,000 samples, as above, though its error falls as 1 / sqrt(n) in any
    dimension.

    Raises:
        UserError: for fewer than two samples, unequal numbers of features, or values that are not finite.
    """
    real, fake = checked("wasserstein-distance", 2, "a distance of distributions", real=real, fake=fake)
    n1, n2 = len(real), len(fake)
    random = seeded(torch.Generator(), "wasserstein-distance", seed)
    directions = torch.randn(real.shape[1], projections, generator=random, dtype=torch.float64)
    directions = torch.nn.functional.normalize(directions, dim=0).to(real.dtype)  # (d, projections)
    centre = real.mean(0)
    total, potential = 0.0, torch.zeros(n2, dtype=torch.float64)
    for some in torch.split(directions, max(1, BLOCK // (n1 + n2)), dim=1):
        costs, fields = along_lines(_projected(real, centre, some), _projected(fake, centre, some), power)
        total += float(costs.sum())
        potential += fields.sum(0)
    spread = float((potential / projections).std()) / math.sqrt(n2)
    method = f"sliced W_{power} over {projections} directions, {n1} real and {n2} fake samples"
    return _score(total / projections, spread, n2, power, method)


def _projected(x: Tensor, centre: Tensor, directions: Tensor) -> Tensor:
    """Samples (n, d) along directions (d, k): (k, n) float64. In blocks, so that no copy of a whole set is made."""
    return torch.cat([(some - centre) @ directions for some in torch.split(x, ROWS)]).T.double()


def along_lines(x: Tensor, y: Tensor, power: int) -> tuple[Tensor, Tensor]:
    """W_p^p of one-dimensional sets x (k, n1), y (k, n2), row by row: (k,).

    And the potentials of y, (k, n2), each row with mean 0.

    The integral over levels in [0, 1] of |quantile of x - quantile of y|^p: both quantiles are steps, at multiples of
    1 / n1 and 1 / n2.
    """
    n1, n2 = x.shape[1], y.shape[1]
    x = x.sort(1).values
    y, order = y.sort(1)
    # Levels in units of 1 / (n1 n2) are integers, so that no two steps are told apart by rounding.
    levels = torch.cat([torch.arange(n1) * n2, torch.arange(n2) * n1]).unique()  # where a step begins
    weights = torch.diff(levels, append=torch.tensor([n1 * n2])).double() / (n1 * n2)
    difference = x[:, levels // n2] - y[:, levels // n1]  # (k, at most n1 + n2 - 1)
    costs = difference.abs().pow(power) @ weights

    # Two neighbours in y share the real quantile at the level between them, and the potential grows as their costs to
    # it do.
    between = torch.arange(1, n2) * n1
    # (k, n2 - 1); two different ones only if steps coincide
    shared = (x[:, between // n2] + x[:, (between - 1) // n2]) / 2
    growth = (y[:, 1:] - shared).abs().pow(power) - (y[:, :-1] - shared).abs().pow(power)
    grown = torch.nn.functional.pad(growth.cumsum(1), (1, 0))
    return costs, torch.empty_like(y).scatter_(1, order, grown - grown.mean(1, keepdim=True))


def _score(value: float, error: float, n: int, power: int, method: str) -> Score:
    """The root of W_p^p, and of both ends of its interval."""
    if n < FEWEST:
        return Score(value ** (1 / power), method=method, enough=ENOUGH)
    low, high = (max(0.0, value + side * NORMAL * error) ** (1 / power) for side in (-1, 1))
    return Score(value ** (1 / power), low, high, f"{method}; standard error of the potential", ENOUGH)


class WassersteinDistance(Comparison):
    """``[FEATURES]`` if one of the sets has at most ``exact`` samples, else ``[FEATURES].sliced``.

    NaN while fakes are not finite.

    In the units of the features. With ``of``, the names begin with ``[FEATURES].OF``.
    """

    enough = ENOUGH
    fewest = (2, 2, "a distance of distributions")

    def __init__(
        self,
        *,
        features: FeatureSpace,
        of: Output = None,
        split: Split = "test",
        exact: Annotated[
            int,
            Field(ge=0, le=LARGEST, description="size of the smaller set up to which it is exact; 0: always sliced"),
        ] = 2000,
        projections: Annotated[int, Field(ge=1, description="random directions of the sliced distance")] = 512,
        power: Annotated[Power, Field(description="p of W_p: 1 for distances, 2 for the root of squared ones")] = 1,
    ) -> None:
        super().__init__(features, of, split)
        self.exact = exact
        self.projections = projections
        self.power: Power = power

    def endings_of(self, real: Tensor, fake: Tensor) -> Sequence[str]:
        """``.sliced`` for sets that are too large for the exact distance."""
        return (".sliced",) if min(len(real), len(fake)) > self.exact else ("",)

    def compare(self, real: Tensor, fake: Tensor, evaluation: Evaluation) -> Mapping[str, Score]:
        (ending,) = self.endings_of(real, fake)
        if not ending:
            return {ending: wasserstein_distance(real, fake, power=self.power, seed=evaluation.seed)}
        return {
            ending: sliced_distance(real, fake, projections=self.projections, power=self.power, seed=evaluation.seed)
        }


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("evaluator", "wasserstein-distance", WassersteinDistance)
