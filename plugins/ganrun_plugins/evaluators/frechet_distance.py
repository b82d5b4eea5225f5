"""Frechet distance between Gaussians fitted to features of samples and of real data (FID on Inception's).

Heusel et al., "GANs trained by a two time-scale update rule converge to a local Nash equilibrium" (2017), after Dowson
and Landau (1982): |m1 - m2|^2 + tr(S1 + S2 - 2 (S1^(1/2) S2 S1^(1/2))^(1/2)), covariances with n - 1. The paper's FID
is this on the features of one Inception network resized in one way; on any other features the score is named after
them.

Differences from well-known code: everything is float64 from the means on, and symmetric eigenvalues replace the square
root of S1 S2, so there is no imaginary part to drop and nothing added to the diagonal. Where there are no more samples
than features, the covariances are never formed: with centred rows A, B the trace is |A B^T|_* / sqrt((n1 - 1)(n2 - 1))
(nuclear norm).

The value falls with the number of samples (Chong and Forsyth, "Effectively unbiased FID and Inception score", 2020: a
bias of order 1 / n that differs between generators), so numbers compare only for equal numbers of samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Experiment, RecipePath, Refusal, UserError, hookimpl
from ganrun.plugin.evaluation import Evaluation, Least, Score, Statistics, bracket, jackknife, not_finite
from ganrun_plugins.evaluators._comparison import FeatureSpace, OfFeatures, Output, Split

ENOUGH = 10_000  # Heusel et al.: "we recommend using a minimum sample size of 10,000"


def frechet_distance(real: Tensor, fake: Tensor) -> float:
    """The distance between features real (n1, d) and fake (n2, d), at least 0. It is symmetric.

    Raises:
        UserError: for fewer than two samples, unequal sizes, or values that are not finite.
    """
    for x, what in ((real, "the first set"), (fake, "the second set")):
        _check(x, what)
    if real.shape[1] != fake.shape[1]:
        raise UserError(
            f"frechet-distance: the sets have {real.shape[1]} and {fake.shape[1]} features; "
            "take both from one feature space"
        )
    if min(len(real), len(fake)) > real.shape[1]:
        return distance_between(Statistics.of(real), Statistics.of(fake))
    a, b = real.detach().cpu().double(), fake.detach().cpu().double()
    shift = (a.mean(0) - b.mean(0)).square().sum()
    a, b = _centred(a), _centred(b)  # (n, d), such that a^T a is the covariance
    spread = a.square().sum() + b.square().sum()  # tr S1 + tr S2
    return max(0.0, float(shift + spread - 2 * _nuclear(a, b)))


def distance_between(real: Statistics, fake: Statistics) -> float:
    """The distance between means and covariances, at least 0.

    The root of the first covariance is taken once and kept.
    """
    shift = (real.mean - fake.mean).square().sum()
    spread = real.covariance.trace() + fake.covariance.trace()
    # rounding: just below 0
    common = torch.linalg.eigvalsh(real.root @ fake.covariance @ real.root).clamp(min=0).sqrt().sum()
    return max(0.0, float(shift + spread - 2 * common))


def _check(x: Tensor, what: str) -> None:
    if x.ndim != 2 or len(x) < 2:
        raise UserError(
            f"frechet-distance: {what} has {len(x)} samples, and a covariance needs at least 2; ask for more samples"
        )
    bad = not_finite(x)
    if bad:
        raise UserError(
            f"frechet-distance: {bad} of the {len(x)} samples of {what} have features that are not finite numbers"
        )


def _centred(x: Tensor) -> Tensor:
    return (x - x.mean(0)) / math.sqrt(len(x) - 1)


def _nuclear(a: Tensor, b: Tensor) -> Tensor:
    """tr (S1^(1/2) S2 S1^(1/2))^(1/2) from centred rows (n1, d), (n2, d).

    More rows than columns are replaced by their triangular factor.
    """
    a, b = (torch.linalg.qr(x, mode="r").R if len(x) > x.shape[1] else x for x in (a, b))
    trace: Tensor = torch.linalg.svdvals(a @ b.T).sum()
    return trace


def distance_to(real: Statistics, fake: Tensor) -> float:
    """The distance of few fakes (n, d) to known statistics, at least 0.

    Their covariance, n - 1 of whose eigenvalues are not 0, is never formed.
    """
    x = fake.double()
    shift = (real.mean - x.mean(0)).square().sum()
    x = _centred(x)  # (n, d)
    spread = real.covariance.trace() + x.square().sum()
    return max(0.0, float(shift + spread - 2 * torch.linalg.svdvals(x @ real.root).sum()))


def with_interval(real: Statistics, fake: Tensor, seed: int) -> Score:
    """The distance of fakes (n, d) to known statistics.

    Groups of samples are left out by subtracting their own, if there are more than d.
    """
    _check(fake, "the samples")
    if len(fake) * 9 // 10 <= fake.shape[1]:
        return jackknife(lambda rows: distance_to(real, fake[rows]), len(fake), seed=seed, enough=ENOUGH, least=0.0)
    whole = Statistics.of(fake)

    def without_the_rest(rows: Tensor) -> float:
        left_out = torch.ones(len(fake), dtype=torch.bool)
        left_out[rows] = False
        group = left_out.nonzero().flatten()
        return distance_between(real, whole.without(Statistics.of(fake, group)) if len(group) else whole)

    return jackknife(
        without_the_rest, len(fake), seed=seed, value=distance_between(real, whole), enough=ENOUGH, least=0.0
    )


class FrechetDistance(OfFeatures):
    """``[FEATURES]``: fakes against real samples; NaN while fakes are not finite.

    ``[FEATURES].real_against_real``: what real samples score.

    With ``of``, the names are ``[FEATURES].OF``.
    """

    renamed: ClassVar = {"floor": "real_against_real"}

    def __init__(
        self,
        *,
        features: FeatureSpace,
        of: Output = None,
        split: Split = "test",
        reference: Annotated[
            str | None, Field(description="a file of `ganrun reference` that stands for the real samples"), RecipePath()
        ] = None,
        real_against_real: Annotated[
            Literal["splits", "halves"] | None,
            Field(
                description=(
                    "also score real samples: the test split against the train split, "
                    "or one half of the test split against the other"
                )
            ),
        ] = None,
    ) -> None:
        super().__init__(features, of)
        self.split = split
        self.reference = reference
        self.real_against_real = real_against_real

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        """Refuse before training what could not be scored."""
        super().build(experiment)
        if self.reference and not (path := experiment.recipe.path_of(self.reference)).is_file():
            raise Refusal(
                f"there is no reference {path}",
                f"ganrun reference RECIPE --features {self.features.name} --output {self.reference}",
            )

    @property
    def least(self) -> Sequence[Least]:
        """Two samples for each covariance."""
        real = {} if self.reference else {self.split: 2}
        if self.real_against_real == "splits":
            real |= {"test": 2, "train": 2}
        elif self.real_against_real == "halves":
            real["test"] = 4
        why = "a covariance" if self.real_against_real != "halves" else "a covariance of either half"
        return [*(Least(split, n, why) for split, n in real.items()), Least("fake", 2, "a covariance")]

    def evaluate(self, evaluation: Evaluation) -> Mapping[str, Score]:
        name = bracket(self.features, self.of)
        fake = evaluation.features_of(self.features, "fake", self.of)
        score = self._score(evaluation, fake)
        scores = {name: replace(score, called=evaluation.called(self.features, "frechet-distance", self.of))}
        if self.real_against_real:
            test = evaluation.features_of(self.features, "real", self.of, "test")
            if self.real_against_real == "splits":
                other = evaluation.features_of(self.features, "real", self.of, "train", len(test))
            else:
                test, other = test[0::2], test[1::2]
            scores[f"{name}.real_against_real"] = with_interval(Statistics.of(test), other, evaluation.seed)
        return scores

    def _score(self, evaluation: Evaluation, fake: Tensor) -> Score:
        """Fakes that are not finite are NaN, on the same real samples as others: they belong in the same column."""
        bad = not_finite(fake) > 0
        if self.reference:
            statistics = evaluation.reference(self.reference, self.features, self.of)
            return Score(math.nan, enough=ENOUGH) if bad else with_interval(statistics, fake, evaluation.seed)
        count = evaluation.real_count(self.split)
        if min(len(fake) * 9 // 10, count) > fake.shape[1]:
            statistics = evaluation.statistics_of(self.features, self.of, self.split)
            return Score(math.nan, enough=ENOUGH) if bad else with_interval(statistics, fake, evaluation.seed)
        real = evaluation.features_of(self.features, "real", self.of, self.split)
        if bad:
            return Score(math.nan, enough=ENOUGH)
        return jackknife(
            lambda rows: frechet_distance(real, fake[rows]), len(fake), seed=evaluation.seed, enough=ENOUGH, least=0.0
        )


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("evaluator", "frechet-distance", FrechetDistance)
