"""What evaluators of features share: their parameters, what they refuse, and fetching both sets."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import Tensor

from ganrun.plugin import Experiment, Part, PartOf, hookimpl
from ganrun.plugin.evaluation import (
    Evaluation,
    Least,
    Score,
    bracket,
    check_classifier,
    check_features,
    check_output,
    not_finite,
)

FeatureSpace = Annotated[
    Part, PartOf("features", default="classifier"), Field(description="the space in which distances are measured")
]
Classifier = Annotated[Part, PartOf("features", default="classifier"), Field(description="the classifier")]
Output = Annotated[str | None, Field(description="which output of the variant; null: its first")]
Split = Annotated[Literal["train", "test"], Field(description="the real samples to compare with")]


class OfFeatures:
    """An evaluator of the features of one output."""

    fits: ClassVar[staticmethod[[Experiment, Part, str | None], object]] = staticmethod(check_features)

    def __init__(self, features: Part, of: str | None) -> None:
        self.features = features
        self.of = of

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        """Refuse before training what could not be scored."""
        check_output(experiment, self.of)
        self.fits(experiment, self.features, self.of)


class OfClasses(OfFeatures):
    """An evaluator of the recognised classes of one output."""

    fits = staticmethod(check_classifier)


class Comparison(OfFeatures, ABC):
    """An evaluator of two sets of features, real and made.

    A score is called ``[FEATURES]`` and its ending, such as ``.recall``; with ``of``, ``[FEATURES].OF`` comes before
    the ending. All are NaN while fakes are not finite. ``enough``: how many samples they take.
    """

    endings: Sequence[str] = ("",)
    enough: int

    def __init__(self, features: Part, of: str | None, split: Literal["train", "test"]) -> None:
        super().__init__(features, of)
        self.split = split

    @property
    @abstractmethod
    def fewest(self) -> tuple[int, int, str]:
        """The fewest real samples, the fewest made ones, and what needs them."""

    @property
    def least(self) -> Sequence[Least]:
        """The fewest samples of either set."""
        real, fake, why = self.fewest
        return [Least(self.split, real, why), Least("fake", fake, why)]

    def evaluate(self, evaluation: Evaluation) -> Mapping[str, Score]:
        key = bracket(self.features, self.of)
        real = evaluation.features_of(self.features, "real", self.of, self.split)
        fake = evaluation.features_of(self.features, "fake", self.of)
        if not_finite(fake):
            return {key + ending: Score(math.nan, enough=self.enough) for ending in self.endings_of(real, fake)}
        return {key + ending: score for ending, score in self.compare(real, fake, evaluation).items()}

    def endings_of(self, real: Tensor, fake: Tensor) -> Sequence[str]:
        """The endings of the scores of these sets."""
        return self.endings

    @abstractmethod
    def compare(self, real: Tensor, fake: Tensor, evaluation: Evaluation) -> Mapping[str, Score]:
        """Ending -> score of features real (n1, d) and fake (n2, d), which are finite."""
