"""Frechet distance between the Gaussians that fit the features of samples and of real data.

Heusel et al., "GANs trained by a two time-scale update rule converge to a local Nash equilibrium" (2017), after Dowson and
Landau (1982): |m1 - m2|^2 + tr(S1 + S2 - 2 (S1^(1/2) S2 S1^(1/2))^(1/2)), covariances with n - 1. The paper's FID is this on
the features of one Inception network resized in one way; on any other features the score is named after them.

Differences from well-known code: everything is float64 from the means on, and symmetric eigenvalues replace the square root of
S1 S2, so there is no imaginary part to drop and nothing added to the diagonal. Where there are no more samples than features,
the covariances are never formed: with centred rows A, B the trace is |A B^T|_* / sqrt((n1 - 1)(n2 - 1)) (nuclear norm).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from ganrun.errors import UserError
from ganrun.evaluation import Evaluation, check_features, check_output
from ganrun.hookspecs import Component, hookimpl
from ganrun.protocols import PartOf
from ganrun.recipe import Part

if TYPE_CHECKING:
    from ganrun.build import Experiment


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """The distance between features a (n1, d) and b (n2, d), at least 0.

    Raises:
        UserError: for fewer than two samples, unequal sizes, or values that are not finite.
    """
    a, b = _checked(a, "the first set"), _checked(b, "the second set")
    if a.shape[1] != b.shape[1]:
        raise UserError(f"frechet-distance: the sets have {a.shape[1]} and {b.shape[1]} features; take both from one feature space")
    shift = (a.mean(0) - b.mean(0)).square().sum()
    a, b = _centred(a), _centred(b)  # (n, d), such that a^T a is the covariance
    spread = a.square().sum() + b.square().sum()  # tr S1 + tr S2
    common = _nuclear(a, b) if min(len(a), len(b)) <= a.shape[1] else _symmetric(a.T @ a, b.T @ b)
    return max(0.0, float(shift + spread - 2 * common))


def _checked(x: Tensor, what: str) -> Tensor:
    if x.ndim != 2 or len(x) < 2:
        raise UserError(f"frechet-distance: {what} has {len(x)} samples, and a covariance needs at least 2; ask for more samples")
    x = x.detach().cpu().double()
    bad = int((~x.isfinite()).any(1).sum())
    if bad:
        raise UserError(f"frechet-distance: {bad} of the {len(x)} samples of {what} have features that are not finite numbers")
    return x


def _centred(x: Tensor) -> Tensor:
    return (x - x.mean(0)) / math.sqrt(len(x) - 1)


def _symmetric(s1: Tensor, s2: Tensor) -> Tensor:
    """tr (s1^(1/2) s2 s1^(1/2))^(1/2) of covariances (d, d). Rounding may leave eigenvalues just below 0."""
    values, vectors = torch.linalg.eigh(s1)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T  # s1^(1/2)
    trace: Tensor = torch.linalg.eigvalsh(root @ s2 @ root).clamp(min=0).sqrt().sum()
    return trace


def _nuclear(a: Tensor, b: Tensor) -> Tensor:
    """The same from centred rows (n1, d), (n2, d). More rows than columns are replaced by their triangular factor."""
    a, b = (torch.linalg.qr(x, mode="r").R if len(x) > x.shape[1] else x for x in (a, b))
    trace: Tensor = torch.linalg.svdvals(a @ b.T).sum()
    return trace


class FrechetDistance:
    """``FEATURES``: fakes against real samples; NaN while fakes are not finite. ``FEATURES.floor``: what real samples score.

    With ``of``, the names are ``FEATURES.OF``. The value falls with the number of samples: compare equal numbers only.
    """

    def __init__(
        self, *,
        features: Annotated[Part, PartOf("features"), Field(description="the space in which distances are measured")] = "classifier",  # type: ignore[assignment]
        of: Annotated[str | None, Field(description="which output of the variant; null: its first")] = None,
        split: Annotated[Literal["train", "test"], Field(description="the real samples to compare with")] = "test",
        floor: Annotated[
            Literal["splits", "halves"] | None,
            Field(description="also score real samples: the test split against the train split, or one half of the test split against the other"),
        ] = None,
    ) -> None:  # fmt: skip
        self.features = features
        self.of = of
        self.split = split
        self.floor = floor

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        """Refuse before training what could not be scored."""
        check_output(experiment, self.of)
        check_features(experiment, self.features, self.of)

    def evaluate(self, evaluation: Evaluation) -> Mapping[str, float]:
        name = self.features.name + (f".{self.of}" if self.of else "")
        real = evaluation.features_of(self.features, "real", self.of, self.split)
        fake = evaluation.features_of(self.features, "fake", self.of)
        scores = {name: frechet_distance(real, fake) if bool(fake.isfinite().all()) else math.nan}
        if self.floor:
            test = evaluation.features_of(self.features, "real", self.of, "test")
            if self.floor == "splits":
                other = evaluation.features_of(self.features, "real", self.of, "train", len(test))
            else:
                test, other = test[0::2], test[1::2]
            scores[f"{name}.floor"] = frechet_distance(test, other)
        return scores


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("evaluator", "frechet-distance", FrechetDistance)
