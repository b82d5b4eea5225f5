"""What density-coverage and precision-recall share: balls around samples that reach to their k-th nearest neighbour.

Both ask which samples lie in balls around real ones. Where several such evaluators look at the same features, the first
of them answers for all from one product of matrices.
"""

from __future__ import annotations

import weakref
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import ClassVar, Literal, NamedTuple

from torch import Tensor

from ganrun.plugin import Part
from ganrun.plugin.evaluation import Evaluation, Score
from ganrun_plugins.evaluators._comparison import Comparison
from ganrun_plugins.evaluators._neighbours import Held, Radii, held, nearest


class Question(NamedTuple):
    """Which balls hold which points: balls that reach to the k-th neighbour around real ones.

    ``mutual``: around fakes, too, which needs more than k of them.
    """

    k: int
    mutual: bool


class Answer(NamedTuple):
    """How fakes lie in real balls, and real points in balls around fakes if that was asked."""

    in_real: Held
    in_fake: Held | None


def answers(
    real: Tensor, fake: Tensor, questions: Sequence[Question], real_radii: Callable[[int], Tensor] | None = None
) -> dict[Question, Answer]:
    """Question -> answer for features real (n1, d) and fake (n2, d), from one product of the two sets.

    real_radii: k -> squared radii of the real balls (n1,), where they may be known already.
    """
    radii = real_radii or partial(Radii(), real)
    around_real = sorted({question.k for question in questions}, reverse=True)  # one search serves all from the largest
    around_fake = sorted({question.k for question in questions if question.mutual}, reverse=True)
    own = nearest(fake, fake, around_fake[0], same=True)[0] if around_fake else None  # (n2, k)
    found = held(
        fake, real, [radii(k) for k in around_real], [] if own is None else [own[:, k - 1] for k in around_fake]
    )
    in_real = dict(zip(around_real, found[: len(around_real)], strict=True))
    in_fake = dict(zip(around_fake, found[len(around_real) :], strict=True))
    return {q: Answer(in_real[q.k], in_fake[q.k] if q.mutual else None) for q in questions}


class Balls(Comparison):
    """An evaluator that asks a question of balls."""

    mutual: ClassVar[bool]

    def __init__(self, k: int, features: Part, of: str | None, split: Literal["train", "test"]) -> None:
        super().__init__(features, of, split)
        self.k = k
        self._radii = Radii()
        self._given: tuple[weakref.ref[Tensor], weakref.ref[Tensor], Answer] | None = None

    @property
    def fewest(self) -> tuple[int, int, str]:
        """Balls reach to the k-th other point of their set."""
        return self.k + 1, self.k + 1 if self.mutual else 1, f"k = {self.k} neighbours"

    @property
    def question(self) -> Question:
        """What this evaluator wants to know."""
        return Question(self.k, self.mutual)

    @property
    def looks_at(self) -> tuple[Part, str | None, str]:
        """Which features of which samples."""
        return self.features, self.of, self.split

    def compare(self, real: Tensor, fake: Tensor, evaluation: Evaluation) -> Mapping[str, Score]:
        checked = self.normalised(real, fake)
        given, self._given = self._given, None
        if given is not None and given[0]() is real and given[1]() is fake:
            answer = given[2]
        else:
            others = [one for one in evaluation.evaluators if isinstance(one, Balls) and one.looks_at == self.looks_at]
            answer = self._answered(real, fake, checked, [one for one in others if one is not self])
        return dict(zip(self.endings, self.scores(answer), strict=True))

    def _answered(self, real: Tensor, fake: Tensor, checked: tuple[Tensor, Tensor], others: Sequence[Balls]) -> Answer:
        """The answer; others are given theirs if there are samples enough for them."""
        # radii of real samples are remembered by the tensor that an evaluation keeps for the whole run
        able = [one for one in others if len(real) > one.k and (not one.mutual or len(fake) > one.k)]
        found = answers(*checked, [self.question, *(one.question for one in able)], partial(self._radii, real))
        for one in able:
            one._given = (weakref.ref(real), weakref.ref(fake), found[one.question])
        return found[self.question]

    @abstractmethod
    def normalised(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """Both sets as they are computed with. Raises UserError for too few samples, or sets that do not fit."""

    @abstractmethod
    def scores(self, answer: Answer) -> Sequence[Score]:
        """One score for each ending."""
