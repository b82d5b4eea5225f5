"""How many samples look real, and how much of the real data they reach, by nearest neighbours.

Kynkaanniemi et al., "Improved precision and recall metric for assessing generative models" (2019). Each set of features
is taken for the union of balls around its points, each ball reaching to the point's k-th nearest neighbour in the same
set (itself not counted). Precision is the share of samples inside a ball of some real point, recall the share of real
points inside a ball of some sample.

Differences from well-known code: a point on a ball's surface is inside (`<=`), as in the paper and in torch-fidelity,
while prdc and some others take `<`. On continuous data they agree; where points repeat more than k times the radius is
0, and with `<` a set has precision 0 against itself. A point is told from its neighbours by its place in the set, so a
copy of it is a neighbour.

Both numbers depend on the numbers of samples, because balls shrink as a set grows: compare equal numbers. One far-out
real point has a large ball that makes samples pass for real; density-coverage counts balls for that reason.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Experiment, Part, PartOf, hookimpl
from ganrun.plugin.evaluation import Evaluation, Score, bracket, check_features, check_output, not_finite, share
from ganrun_plugins.evaluators._neighbours import Radii, mutual_balls, radii, reached
from ganrun_plugins.evaluators._sets import checked

ENOUGH = 10_000  # both numbers change with the number of samples: the paper scores 50,000, Naeem et al. (2020) 10,000


def precision_recall(real: Tensor, fake: Tensor, k: int = 3, *, real_radii: Tensor | None = None) -> dict[str, Score]:
    """``precision`` and ``recall``, in [0, 1], of features real (n1, d) and fake (n2, d).

    real_radii: squared radii (n1,) of the real balls, if they are known already.

    Raises:
        UserError: for k samples or fewer, unequal d, or values that are not finite.
    """
    real, fake = checked("precision-recall", k + 1, f"k = {k} neighbours", real=real, fake=fake)
    in_real, in_fake = mutual_balls(fake, real, radii(fake, k), radii(real, k) if real_radii is None else real_radii)
    return {
        # the real balls being given, samples hit or miss on their own
        "precision": share(int((in_real.around > 0).sum()), len(fake), enough=ENOUGH),
        "recall": reached(in_fake.around > 0, in_fake.only_ball, ENOUGH),
    }


class PrecisionRecall:
    """``[FEATURES].precision`` and ``[FEATURES].recall``, in [0, 1]; NaN while fakes are not finite.

    With ``of``, the names begin with ``[FEATURES].OF``.
    """

    def __init__(
        self,
        *,
        k: Annotated[int, Field(ge=1, description="neighbours that a ball reaches to")] = 3,
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
            return {f"{key}.{name}": Score(math.nan, enough=ENOUGH) for name in ("precision", "recall")}
        found = precision_recall(
            real, fake, self.k, real_radii=self._radii(real, self.k) if len(real) > self.k else None
        )
        return {f"{key}.{name}": score for name, score in found.items()}


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("evaluator", "precision-recall", PrecisionRecall)
