"""Inception score: how sure a classifier is of each sample, and how many classes the samples show together.

Salimans et al., "Improved techniques for training GANs" (2016): exp(E_x KL(p(y|x) || p(y))), where p(y|x) are the
probabilities that a classifier gives to the classes of a sample x, and p(y) is their mean over all samples. It is 1 if
every sample gets the same probabilities, and K, its maximum, if K classes come equally often and each is certain. As in
the paper the samples are parted into 10 splits, each with a p(y) of its own, and the value is the mean of their scores.
Real samples take no part in it.

The paper's score is this on the ImageNet classes of one Inception network; on any other classifier the score is named
after that, and has a scale of its own: ``of_real`` gives what real samples score beside it.

Differences from well-known code: the logarithms are those of a float64 log-softmax, where the paper's code takes them
of float32 probabilities. Samples are shuffled before they are split, as torch-fidelity does, by the same numbers
(NumPy's RandomState(2020)), so that samples in the order of their classes score what they do in any other order; the
paper's code splits them as they come.

Few samples score too low: in a split of m samples the divergence is short of its limit by up to (K - 1) / (2 m)
(Miller, "Note on the bias of information estimates", 1955). Fewer than 5 samples a split for each class (10% too low at
worst) are marked, up to the 50,000 of the paper. Barratt and Sharma, "A note on the inception score" (2018), show what
else it misses: it says nothing about variety within a class.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated

import numpy as np
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, UserError, hookimpl
from ganrun.plugin.evaluation import Evaluation, Least, Score, bracket, not_finite
from ganrun_plugins.evaluators._classes import checked_logits, divergences, exponential, log_mean
from ganrun_plugins.evaluators._comparison import Classifier, OfClasses, Output

PUBLISHED = 50_000  # samples, in the paper
SHUFFLE = 2020  # torch-fidelity's seed


def inception_score(logits: Tensor, *, splits: int = 10, shuffle: int | None = SHUFFLE) -> Score:
    """The score of class logits (n, K), from 1 to K.

    shuffle: a seed; None splits the samples in the order they come in. The interval is that of the delta method: the
    mean of a split's divergences has the standard error of a mean of independent numbers, because KL(p(y|x) || q) is
    smallest on average at q = p(y), so that to first order it does not matter that p(y) was estimated from the same
    samples. With one sample a split there is none.

    Raises:
        UserError: for fewer samples than splits, or logits that are not finite.
    """
    x = checked_logits("inception-score", logits, "the set")
    n = len(x)
    if n < splits:
        raise UserError(
            f"inception-score: {n} samples cannot be parted into {splits} splits; "
            "ask for more samples, or for fewer splits"
        )
    order = np.arange(n) if shuffle is None else np.random.RandomState(shuffle).permutation(n)
    parts = [x[order[i * n // splits : (i + 1) * n // splits]] for i in range(splits)]
    found = [exponential(divergences(part, log_mean(part))) for part in parts]
    value = sum(score.value for score in found) / splits
    score = Score(value, enough=min(PUBLISHED, 5 * x.shape[1] * splits))
    if n < 2 * splits:
        return score
    # 1.96 standard errors each
    errors = [part.value * math.log((part.high or part.value) / part.value) for part in found]
    error = math.hypot(*errors) / (splits * value)  # of the mean's logarithm
    return replace(
        score,
        low=value * math.exp(-error),
        high=value * math.exp(error),
        method="standard error over samples (delta method)",
    )


class InceptionScore(OfClasses):
    """``[FEATURES]``: the score of fakes, NaN while they are not finite.

    With ``of_real``, ``[FEATURES].of-real``: what real samples score.

    With ``of``, the names are ``[FEATURES].OF``. The value grows with the number of samples: compare equal numbers
    only.
    """

    def __init__(
        self,
        *,
        features: Classifier,
        of: Output = None,
        splits: Annotated[
            int, Field(ge=1, description="parts that are scored alone and averaged; the paper has 10")
        ] = 10,
        of_real: Annotated[
            bool, Field(description="also score real test samples, as many as there are fakes or all")
        ] = False,
    ) -> None:
        super().__init__(features, of)
        self.splits = splits
        self.of_real = of_real
        why = f"splits: {splits}"
        self.least = [Least("fake", splits, why), *([Least("test", splits, why)] if of_real else [])]

    def evaluate(self, evaluation: Evaluation) -> Mapping[str, float | Score]:
        name = bracket(self.features, self.of)
        called = evaluation.called(self.features, "inception-score", self.of)
        fake = evaluation.logits_of(self.features, "fake", self.of)
        score = Score(math.nan) if not_finite(fake) else inception_score(fake, splits=self.splits)
        scores: dict[str, float | Score] = {name: replace(score, called=called)}
        if self.of_real:
            real = evaluation.logits_of(self.features, "real", self.of)[: len(fake)]  # as many: the value depends on it
            scores[f"{name}.of-real"] = inception_score(real, splits=self.splits)
        return scores


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("evaluator", "inception-score", InceptionScore)
