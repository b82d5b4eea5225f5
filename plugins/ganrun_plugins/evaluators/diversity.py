"""How unlike each other the samples are, beside how unlike real ones are: feature distances and MS-SSIM of pairs.

MS-SSIM: Odena, Olah and Shlens, "Conditional image synthesis with auxiliary classifier GANs" (2017): the mean
multi-scale structural similarity of pairs of samples of one class, in [0, 1]. Lower is more diverse; a collapsed
generator nears 1, and the value of real images is what to compare with. The feature distance is the mean Euclidean
distance of two samples in a feature space.

Differences from the paper: pairs are disjoint (no sample is in two of them), because pairs that share samples are not
independent, and the spread between them would understate how uncertain their mean is. MS-SSIM is over pairs within a
class where the classes of both real and generated samples are known, and over all pairs elsewhere; the paper's number
is one class's, this is the mean over pairs of all classes. Images smaller than the paper's (128 pixels) have fewer
scales; the score says how many.

The diversity of what is made of one given item, such as translations of one image, is not measured: fakes are
compared as a set.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Experiment, Part, PartOf, Refusal, UserError, hookimpl, seeded
from ganrun.plugin.evaluation import Evaluation, Least, Score, bracket, check_features, check_output, of_rows
from ganrun_plugins.evaluators._comparison import Output, Split
from ganrun_plugins.evaluators._ssim import conditions, ms_ssim

ENOUGH = 200  # samples: the paper takes 100 pairs


def disjoint_pairs(n: int, most: int, seed: int = 0, *, classes: Tensor | None = None) -> Tensor:
    """At most ``most`` random pairs of n samples, each sample in one pair at the most: (P, 2) int64.

    classes (n,): pairs are within a class, then. Raises UserError if there is no pair.
    """
    if classes is not None and len(classes) != n:
        raise UserError(f"diversity: there are {n} samples and the classes of {len(classes)}")
    generator = seeded(torch.Generator(), "diversity", seed)
    order = torch.randperm(n, generator=generator)
    if classes is None:
        pairs = order[: n - n % 2].reshape(-1, 2)
    else:
        of_one = [order[classes[order] == label] for label in classes.unique().tolist()]
        pairs = torch.cat(
            [rows[: len(rows) - len(rows) % 2].reshape(-1, 2) for rows in of_one]
            or [torch.empty(0, 2, dtype=torch.int64)]
        )
        pairs = pairs[torch.randperm(len(pairs), generator=generator)]  # so that the first ones are of all classes
    if not len(pairs):
        raise UserError(
            f"diversity: a pair takes two samples{'' if classes is None else ' of a class'}, and there are {n}; "
            "ask for more samples"
        )
    return pairs[:most]


def distances(features: Tensor, pairs: Tensor) -> Tensor:
    """The Euclidean distance of each pair: features (n, d), pairs (P, 2) int64 -> (P,) float64.

    Raises:
        UserError: for features that are not finite, or not (n, d).
    """
    if features.dim() != 2:
        raise UserError(f"diversity: features are (n, d), and these have the shape {tuple(features.shape)}")
    if not bool(features.isfinite().all()):
        raise UserError("diversity: some features are not finite numbers; leave those samples out")
    found = [
        (features[some[:, 0]].double() - features[some[:, 1]].double()).norm(dim=1) for some in torch.split(pairs, 1024)
    ]
    return torch.cat(found)


def similarities(images: Tensor, pairs: Tensor) -> Tensor:
    """The MS-SSIM of each pair of images (N, C, H, W) in [-1, 1], pairs (P, 2) int64 -> (P,) float64."""
    found = [
        ms_ssim((images[some[:, 0]] + 1) / 2, (images[some[:, 1]] + 1) / 2, data_range=1.0)
        for some in torch.split(pairs, 256)
    ]
    return torch.cat(found)


def ratio(fake: Score, real: Score) -> Score:
    """The score of fakes over the value of real samples, which counts as exact. NaN if real samples are all alike."""
    if real.value <= 0 or not math.isfinite(fake.value):
        return Score(math.nan, enough=fake.enough)
    low, high = (None if end is None else end / real.value for end in (fake.low, fake.high))
    return replace(fake, value=fake.value / real.value, low=low, high=high)


class Diversity:
    """``[FEATURES].distance``, ``.distance-of-real`` and ``.ratio``; for images ``ms-ssim`` and ``ms-ssim-of-real``.

    With ``of``, the names are ``[FEATURES].OF...`` and ``OF.ms-ssim``. All of fakes are NaN while fakes are not finite.
    """

    def __init__(
        self,
        *,
        features: Annotated[
            Part | None,
            PartOf("features", default="classifier"),
            Field(description="the space in which distances are measured; null: none are"),
        ],
        pairs: Annotated[int, Field(ge=2, description="pairs at the most; each takes two samples")] = 5000,
        similarity: Annotated[bool, Field(description="also the mean MS-SSIM of pairs, if samples are images")] = True,
        of: Output = None,
        split: Split = "test",
    ) -> None:
        self.features = features
        self.pairs = pairs
        self.similarity = similarity
        self.of = of
        self.split = split
        self.least = [Least(split, 2, "a pair"), Least("fake", 2, "a pair")]

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        """Refuse before training what could not be scored."""
        check_output(experiment, self.of)
        if self.features is not None:
            check_features(experiment, self.features, self.of)
            return
        space = experiment.dataset.spaces[self.of or experiment.description.outputs[0]]
        if not self.similarity or space.kind != "image":
            raise Refusal(
                f"without features and without MS-SSIM of images there is nothing to measure in {space}",
                "features: pixels",
            )

    def evaluate(self, evaluation: Evaluation) -> Mapping[str, float | Score]:
        fakes = evaluation.fakes(self.of)
        finite = bool(fakes.isfinite().all())
        scores: dict[str, float | Score] = {}
        if self.features is not None:
            name = bracket(self.features, self.of)
            real = self._distance(evaluation, "real")
            fake = self._distance(evaluation, "fake") if finite else Score(math.nan, enough=ENOUGH)
            scores |= {f"{name}.distance": fake, f"{name}.distance-of-real": real, f"{name}.ratio": ratio(fake, real)}
        if self.similarity and fakes.dim() == 4:
            prefix = f"{self.of}." if self.of else ""
            asked, labels = self._classes(evaluation, len(fakes))
            truth = evaluation.real(self.of, self.split)
            scores[f"{prefix}ms-ssim"] = (
                self._similarity(fakes, asked, evaluation.seed) if finite else Score(math.nan, enough=ENOUGH)
            )
            scores[f"{prefix}ms-ssim-of-real"] = self._similarity(truth, labels, evaluation.seed)
        if not scores:
            raise UserError("diversity: these samples are no images, and no features are given; set features: pixels")
        return scores

    def _distance(self, evaluation: Evaluation, which: Literal["fake", "real"]) -> Score:
        assert self.features is not None
        vectors = evaluation.features_of(self.features, which, self.of, self.split)
        if not bool(vectors.isfinite().all()):
            return Score(math.nan, enough=ENOUGH)
        return of_rows(distances(vectors, disjoint_pairs(len(vectors), self.pairs, evaluation.seed)), enough=ENOUGH)

    def _similarity(self, images: Tensor, classes: Tensor | None, seed: int) -> Score:
        pairs = disjoint_pairs(len(images), self.pairs, seed, classes=classes)
        score = of_rows(similarities(images, pairs), enough=ENOUGH)
        height, width = images.shape[-2:]
        among = "pairs" if classes is None else "pairs within a class"
        return replace(
            score, method="; ".join(filter(None, [score.method, among, conditions(height, width, several=True)]))
        )

    def _classes(self, evaluation: Evaluation, n: int) -> tuple[Tensor | None, Tensor | None]:
        """The classes of fakes and of real samples, if both are known: otherwise the two numbers would not compare."""
        asked, labels = evaluation.fake_labels(n), evaluation.labels(self.of, self.split)
        return (None, None) if asked is None or labels is None else (asked, labels)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("evaluator", "diversity", Diversity)
