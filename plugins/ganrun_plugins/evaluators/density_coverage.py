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

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, hookimpl
from ganrun.plugin.evaluation import Score, of_rows
from ganrun_plugins.evaluators._balls import Answer, Balls, Question, answers
from ganrun_plugins.evaluators._comparison import FeatureSpace, Output, Split
from ganrun_plugins.evaluators._neighbours import reached
from ganrun_plugins.evaluators._sets import checked

SCORES = ("density", "coverage")
ENOUGH = 10_000  # the paper's number for real and made samples each


def density_coverage(real: Tensor, fake: Tensor, k: int = 5) -> dict[str, Score]:
    """``density``, at least 0, and ``coverage``, in [0, 1], of features real (n1, d) and fake (n2, d).

    Raises:
        UserError: for k real samples or fewer, no fakes, unequal d, or values that are not finite.
    """
    (answer,) = answers(*normalised(real, fake, k), [Question(k, mutual=False)]).values()
    return dict(zip(SCORES, scores(answer, k), strict=True))


def normalised(real: Tensor, fake: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Both sets as they are computed with."""
    (real,) = checked("density-coverage", k + 1, f"k = {k} neighbours", real=real)
    real, fake = checked("density-coverage", 1, "a mean", real=real, fake=fake)
    return real, fake


def scores(answer: Answer, k: int) -> tuple[Score, Score]:
    """Density and coverage of samples in real balls."""
    held = answer.in_real
    # the real balls being given, samples count on their own
    density = of_rows(held.around.double() / k, enough=ENOUGH)
    return density, reached(held.inside > 0, held.only_point, ENOUGH)


class DensityCoverage(Balls):
    """``[FEATURES].density``, 1 at best, and ``[FEATURES].coverage``, in [0, 1]; NaN while fakes are not finite.

    With ``of``, the names begin with ``[FEATURES].OF``.
    """

    endings = tuple(f".{name}" for name in SCORES)
    enough = ENOUGH
    mutual = False

    def __init__(
        self,
        *,
        k: Annotated[int, Field(ge=1, description="neighbours that a ball reaches to")] = 5,
        features: FeatureSpace,
        of: Output = None,
        split: Split = "test",
    ) -> None:
        super().__init__(k, features, of, split)

    def normalised(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        return normalised(real, fake, self.k)

    def scores(self, answer: Answer) -> tuple[Score, Score]:
        return scores(answer, self.k)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("evaluator", "density-coverage", DensityCoverage)
