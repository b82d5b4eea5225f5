"""Mode score: the inception score, lowered by how far the classes of the samples are from those of real data.

Xu et al., "An empirical study on evaluation metrics of generative adversarial networks" (2018):
exp(E_x KL(p(y|x) || p_g(y)) - KL(p_g(y) || p_r(y))), where p(y|x) are a classifier's probabilities for a sample x, p_g
is their mean over the samples, and p_r that over real data. It is at most the inception score (on one split), which it
equals if p_g = p_r. That is not where it is largest: among samples that are all certain, those with shares in
proportion to the square root of p_r score most.

Two forms are in use under one name. Che et al., "Mode regularized generative adversarial networks" (2017), who proposed
the score, have p_r in both places: exp(E_x KL(p(y|x) || p_r(y)) - KL(p_g(y) || p_r(y))). But for any q

    E_x KL(p(y|x) || q) = E_x KL(p(y|x) || p_g) + KL(p_g || q),

since the mean of p(y|x) is p_g. With q = p_r the last terms cancel: the form of Che et al. is the inception score (on
one split), whatever the data. So the default here is the form of Xu et al., and ``form: che`` gives the other, computed
as printed.

Differences from well-known code: float64, and p_r of no class below 1e-20, which stands for the 1e-20 that the code of
Xu et al. adds within every logarithm. No splits, as there. p_r is a mean of the classifier's probabilities, so that its
mistakes are on both sides; Che et al. count the labels of the training set.

The bias of few samples is up to (K - 1) / n in the exponent: fewer than 10 for each class are marked.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, hookimpl
from ganrun.plugin.evaluation import Evaluation, Least, Score, bracket, not_finite
from ganrun_plugins.evaluators._classes import check_classes, checked_logits, divergences, exponential, log_mean
from ganrun_plugins.evaluators._comparison import Classifier, OfClasses, Output, Split

Form = Literal["xu", "che"]


def mode_score(real: Tensor, fake: Tensor, *, form: Form = "xu") -> Score:
    """The score of class logits fake (n, K) against real (m, K), from 0 to K.

    Its logarithm is the mean over the samples of sum_y p(y|x) log(p(y|x) p_r(y) / (q(y) p_g(y))), q being p_g or p_r by
    the form. Up to a constant these are the influences of the samples, that on p_g included, so the interval is that of
    a mean (delta method).

    Raises:
        UserError: for an empty set, unequal classes, or logits that are not finite.
    """
    real, fake = (
        checked_logits("mode-score", real, "the real set"),
        checked_logits("mode-score", fake, "the set of fakes"),
    )
    check_classes("mode-score", real, fake)
    of_real, of_fake = log_mean(real), log_mean(fake)
    reference = of_fake if form == "xu" else of_real
    score = exponential(divergences(fake, reference + (of_fake - of_real)), enough=10 * (fake.shape[1] - 1))
    return score if score.low is None else replace(score, method="standard error over samples (delta method)")


class ModeScore(OfClasses):
    """``[FEATURES]``: fakes against real samples, NaN while fakes are not finite.

    ``[FEATURES].of-real``: what those real samples score.

    With ``of``, the names are ``[FEATURES].OF``.
    """

    def __init__(
        self,
        *,
        features: Classifier,
        of: Output = None,
        split: Split = "test",
        form: Annotated[
            Form, Field(description="xu: that of Xu et al.; che: that of Che et al., equal to the inception score")
        ] = "xu",
    ) -> None:
        super().__init__(features, of)
        self.split = split
        self.least = [Least(split, 1, "a mean"), Least("fake", 1, "a mean")]
        self.form: Form = form

    def evaluate(self, evaluation: Evaluation) -> Mapping[str, float | Score]:
        name = bracket(self.features, self.of)
        called = evaluation.called(self.features, "mode-score", self.of)
        real = evaluation.logits_of(self.features, "real", self.of, self.split)
        fake = evaluation.logits_of(self.features, "fake", self.of)
        score = Score(math.nan) if not_finite(fake) else mode_score(real, fake, form=self.form)
        return {name: replace(score, called=called), f"{name}.of-real": mode_score(real, real, form=self.form)}


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("evaluator", "mode-score", ModeScore)
