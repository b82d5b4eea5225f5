"""Whether samples are copies: how near they come to the training set, next to held-out data that training never saw.

A generator that learnt the distribution owes the training items nothing, so its samples come as near to held-out items
as to them; one that memorised comes nearer to what it was trained on. After Meehan, Chaudhuri and Dasgupta, "A
non-parametric test to detect data-copying in generative models" (2020), and Alaa et al., "How faithful is your
synthetic data?" (2022). With N training items and M held-out ones, drawn alike:

``memorised``: with q the share of samples whose nearest item of all is a training item (half of it for ties),
(q / N) / (q / N + (1 - q) / M), which is q for N = M: 0.5 where every item is as likely to be the nearest, 1 if it
always is a training item.

``distance-ratio``: the median distance from samples to the nearest training item, over the same median of held-out
items: 1 for an exact generator, less for copies, more for samples off the data. It is less, too, if samples keep to the
dense parts of the data, as those of a generator do that dropped classes: the other two scores do not fall for that.

``authenticity`` (Alaa et al.): the share of samples farther from their nearest training item than that is from its own
nearest training item. A sample of an exact generator and its nearest item are each other's nearest, as independent
points are, with probability 2/3 on a line, 0.62 in the plane and 1/2 in many dimensions, and then it counts as a copy.
So the score of the held-out items stands beside it.

Differences from well-known code: sets need not be reduced to equal sizes, since q is corrected for N : M.

The interval of ``memorised`` is about which items happen to be held out, the others are about the samples, the items
being given. Samples that crowd at one item, as those of a collapsed generator do, leave ``memorised`` open: its
interval is wide, whatever they number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, NamedTuple

import numpy as np
import torch
from PIL import Image
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, hookimpl
from ganrun.plugin.data import image_grid
from ganrun.plugin.evaluation import Evaluation, Least, Score, bootstrap, bracket, not_finite, share
from ganrun_plugins.evaluators._comparison import FeatureSpace, OfFeatures, Output
from ganrun_plugins.evaluators._neighbours import Radii, dependent, nearest, radii
from ganrun_plugins.evaluators._sets import checked

SCORES = ("memorised", "distance-ratio", "authenticity", "authenticity-of-held-out")
ENOUGH = 1_000  # the shares are known to 3% then
SHOWN = 4  # training items beside each sample of the picture


class Distances(NamedTuple):
    """Distances, float64, and the rows of what is nearest. N training items, M held-out ones, n samples."""

    fake_train: Tensor  # (n,) from samples to the nearest training item
    train_place: Tensor  # (n,) which one that is
    fake_held: Tensor  # (n,) from samples to the nearest held-out item
    held_place: Tensor  # (n,)
    held_train: Tensor  # (M,) from held-out items to the nearest training item
    their_place: Tensor  # (M,)
    own: Tensor  # (N,) from training items to the nearest other one


def nearest_neighbours(train: Tensor, held_out: Tensor, fake: Tensor, *, seed: int = 0) -> dict[str, Score]:
    """The four scores of features train (N, d), held_out (M, d) and fake (n, d). seed: the key of the bootstrap.

    Raises:
        UserError: for fewer than two training items, no held-out item or sample, unequal d, or values that are not
        finite.
    """
    return scores(distances(train, held_out, fake), seed)


def distances(train: Tensor, held_out: Tensor, fake: Tensor, squared_radii: Tensor | None = None) -> Distances:
    """What the scores are made of. squared_radii: between training items (N,), if they are known already."""
    checked("nearest-neighbours", 2, "another training item", train=train)
    train, held_out, fake = checked("nearest-neighbours", 1, "a share", train=train, held_out=held_out, fake=fake)
    own = radii(train, 1) if squared_radii is None else squared_radii
    found = [
        (squared[:, 0].sqrt(), place[:, 0])
        for squared, place in (nearest(fake, train, 1), nearest(fake, held_out, 1), nearest(held_out, train, 1))
    ]
    return Distances(*found[0], *found[1], *found[2], own.sqrt())


def scores(found: Distances, seed: int = 0) -> dict[str, Score]:
    """The four scores by name."""
    n = len(found.fake_train)
    typical = float(np.median(found.held_train.numpy()))
    # held-out items are copies, too: it says nothing
    each = found.fake_train.numpy() / typical if typical > 0 else np.full(n, math.nan)
    authentic = found.fake_train > found.own[found.train_place]
    of_held = found.held_train > found.own[found.their_place]
    found_scores = (
        _memorised(found),
        bootstrap(lambda rows: float(np.median(each[rows.numpy()])), n, seed=seed, enough=ENOUGH),
        share(int(authentic.sum()), n, enough=ENOUGH),
        Score(float(of_held.double().mean())),
    )
    return dict(zip(SCORES, found_scores, strict=True))


def _memorised(found: Distances) -> Score:
    """The share of samples nearer to the training set, corrected for how many items either set has.

    Its interval is about which items are held out: samples with one nearest item are one trial. Many that look alike
    prove nothing.
    """
    training, held_out, n = len(found.own), len(found.held_train), len(found.fake_train)
    hits = (found.fake_train < found.fake_held).double() + 0.5 * (found.fake_train == found.fake_held)
    item = torch.where(found.fake_train <= found.fake_held, found.train_place, training + found.held_place)
    trials = n**2 / float(torch.bincount(item).double().square().sum())
    score = dependent(float(hits.mean()), trials, ENOUGH, "Wilson interval over nearest items")

    def corrected(q: float | None) -> float:
        q = q or 0.0
        return q * held_out / (q * held_out + (1 - q) * training)

    return replace(score, value=corrected(score.value), low=corrected(score.low), high=corrected(score.high))


def sheet(fake: Tensor, train: Tensor, held_out: Tensor) -> Image.Image:
    """Row by row: a sample, its nearest training items, its nearest held-out item.

    fake (rows, C, H, W), train (rows, k, C, H, W), held_out (rows, C, H, W), all in [-1, 1].
    """
    beside = image_grid.grid(train.flatten(0, 1), columns=train.shape[1])
    return image_grid.joined([image_grid.grid(fake, columns=1), beside, image_grid.grid(held_out, columns=1)])


class NearestNeighbours(OfFeatures):
    """``[FEATURES].memorised``, ``.distance-ratio``, ``.authenticity`` and ``.authenticity-of-held-out``.

    NaN while fakes are not finite.

    With ``of``, the names begin with ``[FEATURES].OF``. The picture ``nearest-neighbours`` shows the samples that come
    nearest to training items: sample, nearest training items, nearest held-out item. Points have no picture.
    """

    def __init__(
        self,
        *,
        features: FeatureSpace,
        of: Output = None,
        items: Annotated[
            int | None,
            Field(ge=2, description="training items to compare with; null: 10,000, or as many as samples are scored"),
        ] = None,
        rows: Annotated[int, Field(ge=0, description="samples in the picture; 0: no picture")] = 8,
    ) -> None:
        super().__init__(features, of)
        self.items = items
        self.rows = rows
        self.least = [
            Least("train", 2, "another training item"),
            Least("test", 1, "a share"),
            Least("fake", 1, "a share"),
        ]
        self._radii = Radii()

    def evaluate(self, evaluation: Evaluation) -> Mapping[str, Score]:
        key = bracket(self.features, self.of)
        train = evaluation.features_of(self.features, "real", self.of, "train", self.items)
        held_out = evaluation.features_of(self.features, "real", self.of, "test")
        fake = evaluation.features_of(self.features, "fake", self.of)
        if not_finite(fake):
            return {f"{key}.{name}": Score(math.nan, enough=ENOUGH) for name in SCORES}
        found = distances(train, held_out, fake, self._radii(train, 1) if len(train) > 1 else None)
        name = self.of or evaluation.output
        if self.rows and evaluation.spaces[name].kind == "image" and evaluation.folder is not None:
            rows = found.fake_train.argsort(stable=True)[: self.rows]
            beside = nearest(fake[rows], train, min(SHOWN, len(train)))[1]  # (rows, SHOWN)
            held = nearest(fake[rows], held_out, 1)[1]  # (rows, 1)
            picture = sheet(
                evaluation.fakes(name)[rows],
                _pictured(evaluation, name, "train", beside),
                _pictured(evaluation, name, "test", held)[:, 0],
            )
            evaluation.draw("closest", picture)
        return {f"{key}.{name}": score for name, score in scores(found, evaluation.seed).items()}


def _pictured(evaluation: Evaluation, name: str, split: str, rows: Tensor) -> Tensor:
    """The real images of some rows (a, b) of a split, (a, b, C, H, W), as they were when their features were taken."""
    images: Tensor = (
        evaluation.items(split, rows.flatten().tolist())[name].cpu().float().unflatten(0, tuple(rows.shape))
    )
    return images


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("evaluator", "nearest-neighbours", NearestNeighbours)
