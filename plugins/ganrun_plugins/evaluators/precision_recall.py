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

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, hookimpl
from ganrun.plugin.evaluation import Score, share
from ganrun_plugins.evaluators._balls import Answer, Balls, Question, answers
from ganrun_plugins.evaluators._comparison import FeatureSpace, Output, Split
from ganrun_plugins.evaluators._neighbours import reached
from ganrun_plugins.evaluators._sets import checked

SCORES = ("precision", "recall")
ENOUGH = 10_000  # both numbers change with the number of samples: the paper scores 50,000, Naeem et al. (2020) 10,000


def precision_recall(real: Tensor, fake: Tensor, k: int = 3) -> dict[str, Score]:
    """``precision`` and ``recall``, in [0, 1], of features real (n1, d) and fake (n2, d).

    Raises:
        UserError: for k samples or fewer, unequal d, or values that are not finite.
    """
    (answer,) = answers(*normalised(real, fake, k), [Question(k, mutual=True)]).values()
    return dict(zip(SCORES, scores(answer), strict=True))


def normalised(real: Tensor, fake: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Both sets as they are computed with."""
    real, fake = checked("precision-recall", k + 1, f"k = {k} neighbours", real=real, fake=fake)
    return real, fake


def scores(answer: Answer) -> tuple[Score, Score]:
    """Precision and recall of samples in real balls, and of real points in balls around samples."""
    in_real, in_fake = answer
    assert in_fake is not None, "recall asks for balls around samples"
    # the real balls being given, samples hit or miss on their own
    precision = share(int((in_real.around > 0).sum()), len(in_real.around), enough=ENOUGH)
    return precision, reached(in_fake.around > 0, in_fake.only_ball, ENOUGH)


class PrecisionRecall(Balls):
    """``[FEATURES].precision`` and ``[FEATURES].recall``, in [0, 1]; NaN while fakes are not finite.

    With ``of``, the names begin with ``[FEATURES].OF``.
    """

    endings = tuple(f".{name}" for name in SCORES)
    enough = ENOUGH
    mutual = True

    def __init__(
        self,
        *,
        k: Annotated[int, Field(ge=1, description="neighbours that a ball reaches to")] = 3,
        features: FeatureSpace,
        of: Output = None,
        split: Split = "test",
    ) -> None:
        super().__init__(k, features, of, split)

    def normalised(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        return normalised(real, fake, self.k)

    def scores(self, answer: Answer) -> tuple[Score, Score]:
        return scores(answer)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("evaluator", "precision-recall", PrecisionRecall)
