"""How densely samples lie where real data are, and how many real samples have one nearby: density and coverage.

Naeem et al., "Reliable fidelity and diversity metrics for generative models" (2020). Each real point has a ball that
reaches to its k-th nearest real neighbour. Density is the mean over samples of (1 / k) (number of real balls that hold
the sample): 1 for an exact generator, and more than 1 if samples crowd where real points are dense. Coverage is the
share of real balls that hold a sample. For n real points and m samples of one distribution one expects 1 - (n - 1) ...
(n - k) / ((n + m - 1) ... (n + m - k)): about 1 - 2^-k for n = m, which is 0.97 at k = 5 and not 1.

Differences from well-known code: a sample on a ball's surface is inside (`<=`), where the authors' prdc takes `<`. On
continuous data they agree; where real points repeat more than k times the radius is 0, and with `<` a set covers
nothing of itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Experiment, Part, PartOf, hookimpl
from ganrun.plugin.evaluation import Evaluation, Score, bracket, check_features, check_output, not_finite, of_rows
from ganrun_plugins.evaluators._neighbours import Radii, balls, radii, reached
from ganrun_plugins.evaluators._sets import checked

ENOUGH = 10_000  # the paper's number for real and made samples each


def density_coverage(real: Tensor, fake: Tensor, k: int = 5, *, real_radii: Tensor | None = None) -> dict[str, Score]:
    """``density``, at least 0, and ``coverage``, in [0, 1], of features real (n1, d) and fake (n2, d).

    real_radii: squared radii (n1,) of the real balls, if they are known already.

    Raises:
        UserError: for k real samples or fewer, no fakes, unequal d, or values that are not finite.
    """
    (real,) = checked("density-coverage", k + 1, f"k = {k} neighbours", real=real)
    real, fake = checked("density-coverage", 1, "a mean", real=real, fake=fake)
    held = balls(fake, real, radii(real, k) if real_radii is None else real_radii)
    return {
        # the real balls being given, samples count on their own
        "density": of_rows(held.around.double() / k, enough=ENOUGH),
        "coverage": reached(held.inside > 0, held.only_point, ENOUGH),
    }


class DensityCoverage:
    """``[FEATURES].density``, 1 at best, and ``[FEATURES].coverage``, in [0, 1]; NaN while fakes are not finite.

    With ``of``, the names begin with ``[FEATURES].OF``.
    """

    def __init__(
        self,
        *,
        k: Annotated[int, Field(ge=1, description="neighbours that a ball reaches to")] = 5,
        features: Annotated[
            Part,
            PartOf("features", default="classifier"),
            Field(description="the space in which distances are measured"),
        ],
        of: Annotated[str | None, Field(description="which output of the variant; null: its first")] = None,
        split: Annotated[Literal["train", "test"], Field(description="the real samples to compare with")] = "test",
    ) -> None:
        self.k = k
        self.features = features
        self.of = of
        self.split = split
        self._radii = Radii()

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        """Refuse before training what could not be scored."""
        check_output(experiment, self.of)
        check_features(experiment, self.features, self.of)

    def evaluate(self, evaluation: Evaluation) -> Mapping[str, Score]:
        key = bracket(self.features, self.of)
        real = evaluation.features_of(self.features, "real", self.of, self.split)
        fake = evaluation.features_of(self.features, "fake", self.of)
        if not_finite(fake):
            return {f"{key}.{name}": Score(math.nan, enough=ENOUGH) for name in ("density", "coverage")}
        found = density_coverage(
            real, fake, self.k, real_radii=self._radii(real, self.k) if len(real) > self.k else None
        )
        return {f"{key}.{name}": score for name, score in found.items()}


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("evaluator", "density-coverage", DensityCoverage)
