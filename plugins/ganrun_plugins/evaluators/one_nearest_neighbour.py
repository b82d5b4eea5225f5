"""How well a nearest-neighbour classifier tells samples from real data: 0.5 if it cannot, real and made samples apart.

Lopez-Paz and Oquab, "Revisiting classifier two-sample tests" (2017), in the leave-one-out form of Xu et al., "An
empirical study on evaluation metrics of generative adversarial networks" (2018). Equal numbers of real and made samples
are put together; each is classified as what its nearest other sample is, and the accuracy is the share classified
rightly.

How to read it: near 1, the samples are unlike the data. Samples that crowd on few modes have each other for neighbours
and take those of the real ones around them: ``accuracy-of-fake`` is high and ``accuracy-of-real`` low. Well below 0.5,
samples and real ones lie in pairs: with `split: train`, the training set is memorised. A high and a low accuracy may
average to 0.5, so look at both.

Differences from well-known code: where the nearest real and the nearest made sample are equally far, half a hit is
counted. Xu et al.'s code gives ties to the real ones, so that features which do not tell anything apart look like a
collapse. The larger set is reduced to the size of the smaller by a key, because the ideal is 0.5 only for equal sizes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from ganrun.plugin import Component, hookimpl
from ganrun.plugin.evaluation import Evaluation, Score
from ganrun_plugins.evaluators._comparison import Comparison, FeatureSpace, Output, Split
from ganrun_plugins.evaluators._neighbours import dependent, nearest
from ganrun_plugins.evaluators._sets import checked, reduced

SCORES = ("accuracy", "accuracy-of-real", "accuracy-of-fake")
ENOUGH = 1_000  # of each: the accuracy is known to 3% then, at two standard errors


def one_nearest_neighbour(real: Tensor, fake: Tensor, *, seed: int = 0) -> dict[str, Score]:
    """``accuracy``, ``accuracy-of-real``, ``accuracy-of-fake``, in [0, 1], of real (n1, d) and fake (n2, d) features.

    seed: the key of which rows of the larger set are left out.

    Raises:
        UserError: for fewer than two samples, unequal d, or values that are not finite.
    """
    real, fake = checked("one-nearest-neighbour", 2, "another one of its kind", real=real, fake=fake)
    n = min(len(real), len(fake))
    real, fake = (
        reduced(real, n, "one-nearest-neighbour", seed, "real"),
        reduced(fake, n, "one-nearest-neighbour", seed, "fake"),
    )
    hits, partner = [], []
    for mine, other, start in ((real, fake, 0), (fake, real, n)):
        own, place = (found.squeeze(1) for found in nearest(mine, mine, 1, same=True))
        strange, across = (found.squeeze(1) for found in nearest(mine, other, 1))
        hits.append((own < strange).double() + 0.5 * (own == strange))
        partner.append(torch.where(own <= strange, place + start, across + n - start))  # rows of both sets put together
    both, of_real = torch.cat(partner), torch.arange(2 * n) < n
    found = torch.cat(hits)
    return dict(zip(SCORES, (_score(found, both, rows) for rows in (of_real | True, of_real, ~of_real)), strict=True))


def _score(hits: Tensor, partner: Tensor, rows: Tensor) -> Score:
    """The share of hits (2n,) among ``rows`` (2n,) bool, with an interval that allows for shared nearest neighbours.

    Two samples that are each other's nearest neighbour hit or miss together, and so do two of one kind with the same
    nearest neighbour: the variance is more than that of independent trials (by about 1.5 to 1.7 for equal
    distributions: Schilling, "Multivariate two-sample tests based on nearest neighbors", 1986). Wilson's interval is
    taken for so many fewer trials.
    """
    n = int(rows.sum())
    value = float(hits[rows].mean())
    left = torch.where(rows, hits - value, 0.0)  # (2n,)
    mutual = partner[partner] == torch.arange(len(partner))
    groups = torch.zeros_like(left).index_add_(0, partner, left).square().sum()  # all that share a nearest neighbour
    pairs = (left * left[partner])[mutual].sum()
    alone = float(left.square().sum())
    excess = max(1.0, float(groups + pairs) / alone) if alone > 0 else 1 + float(mutual[rows].double().mean())
    return dependent(value, n / excess, ENOUGH, "Wilson interval over samples, fewer for shared neighbours")


class OneNearestNeighbour(Comparison):
    """``[FEATURES].accuracy``, ``.accuracy-of-real`` and ``.accuracy-of-fake``, 0.5 each for an exact generator.

    NaN while fakes are not finite. With ``of``, the names begin with ``[FEATURES].OF``.
    """

    endings = tuple(f".{name}" for name in SCORES)
    enough = ENOUGH
    fewest = (2, 2, "another one of its kind")

    def __init__(self, *, features: FeatureSpace, of: Output = None, split: Split = "test") -> None:
        super().__init__(features, of, split)

    def compare(self, real: Tensor, fake: Tensor, evaluation: Evaluation) -> Mapping[str, Score]:
        found = one_nearest_neighbour(real, fake, seed=evaluation.seed)
        return dict(zip(self.endings, found.values(), strict=True))


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("evaluator", "one-nearest-neighbour", OneNearestNeighbour)
