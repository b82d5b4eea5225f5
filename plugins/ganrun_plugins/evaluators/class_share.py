"""Which classes the samples are recognised as: how many, how evenly, and whether they are the ones asked for.

The accuracy of a classifier on class-conditional samples is the measure of Odena et al., "Conditional image synthesis
with auxiliary classifier GANs" (2017). Counting recognised classes, and
KL(shares of the samples || shares of real data), in nats, are from Srivastava et al., "VEEGAN" (2017), and Metz et al.,
"Unrolled generative adversarial networks" (2016). Total variation, half the sum of the absolute differences of shares,
is from 0 to 1 and finite always.

Shares count the most likely class of each sample, on both sides, so that the mistakes that the classifier makes on real
data cancel in part. What it does on real data is given beside the accuracy: no generator can be shown to be better
than that.

Differences from the papers: they know the true shares of real data, while here they are those of real samples. KL is
infinite if a sample is of a class that no real sample is recognised as, which with few real samples for a class is no
fault of the generator; total variation is the number to look at then. Neither is 0 for an exact generator: its n
samples score a KL of about (K - 1) / (2 n) + (K - 1) / (2 m) against m real ones.

Below about K (log K + 3) samples even an exact generator of K equal classes misses one (more often than 1 time in 20:
Erdos and Renyi, "On a classical problem of probability theory", 1961), so fewer are marked; for KL and total variation
fewer than 10 K.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, UserError, hookimpl
from ganrun.plugin.evaluation import Evaluation, Least, Score, bracket, not_finite, share
from ganrun_plugins.evaluators._classes import of_counts
from ganrun_plugins.evaluators._comparison import Classifier, OfClasses, Output, Split


def class_share(real: Tensor, fake: Tensor, classes: int, *, enough: int = 20, seed: int = 0) -> dict[str, Score]:
    """``classes``, ``classes-with-ENOUGH``, ``kl`` and ``total-variation`` of recognised classes, (m,) and (n,).

    They are int64 from 0 to ``classes`` - 1. The intervals of KL and total variation are centred bootstraps of the
    counts.

    Raises:
        UserError: for an empty set, or a number that is no class.
    """
    expected = _counted("the real set", real, classes).double()
    expected /= expected.sum()  # (K,)
    counts = _counted("the set of fakes", fake, classes)

    def divergence(found: Tensor) -> Tensor:
        of_fake = found.double() / found.sum(-1, keepdim=True)
        terms: Tensor = torch.special.xlogy(of_fake, of_fake) - torch.special.xlogy(of_fake, expected)
        return terms.sum(-1).clamp(min=0)

    def variation(found: Tensor) -> Tensor:
        return (found.double() / found.sum(-1, keepdim=True) - expected).abs().sum(-1) / 2

    def with_enough(found: Tensor) -> Tensor:
        return (found >= enough).sum(-1)

    return {
        # no interval: resampling loses classes and never finds one that was not seen, so the value would be its upper
        # end always
        "classes": Score(int((counts > 0).sum()), enough=math.ceil(classes * (math.log(classes) + 3))),
        f"classes-with-{enough}": of_counts(with_enough, counts, centred=False, seed=seed, enough=2 * enough * classes),
        "kl": of_counts(divergence, counts, centred=True, seed=seed, enough=10 * classes),
        "total-variation": of_counts(variation, counts, centred=True, seed=seed, enough=10 * classes),
    }


def _counted(what: str, found: Tensor, classes: int) -> Tensor:
    """How many samples are of each class, (K,) int64."""
    if found.ndim != 1 or not len(found):
        raise UserError(f"class-share: {what} holds no sample; ask for at least one")
    if int(found.min()) < 0 or int(found.max()) >= classes:
        outside = f"from {int(found.min())} to {int(found.max())}"
        raise UserError(f"class-share: {what} has classes {outside}; they count from 0 to {classes - 1}")
    return torch.bincount(found.cpu(), minlength=classes)


class ClassShare(OfClasses):
    """``[FEATURES].classes``, ``.classes-with-N``, ``.kl`` and ``.total-variation``, NaN while fakes are not finite.

    If the variant asks its generator for classes and the features classify into the data's own: ``.accuracy``, the
    share of fakes recognised as what was asked for. If the data have labels: ``.accuracy-of-real``, that of real
    samples. With ``of``, the names are ``[FEATURES].OF``.
    """

    def __init__(
        self,
        *,
        features: Classifier,
        of: Output = None,
        split: Split = "test",
        enough: Annotated[int, Field(ge=2, description="samples that make a class count in classes-with-N")] = 20,
    ) -> None:
        super().__init__(features, of)
        self.split = split
        self.enough = enough
        self.least = [Least(split, 1, "a share"), Least("fake", 1, "a share")]

    def evaluate(self, evaluation: Evaluation) -> Mapping[str, float | Score]:
        real = evaluation.logits_of(self.features, "real", self.of, self.split)
        fake = evaluation.logits_of(self.features, "fake", self.of)
        seen, made = real.argmax(1), fake.argmax(1)  # (m,), (n,)
        scores = class_share(seen, made, fake.shape[1], enough=self.enough, seed=evaluation.seed)
        if hasattr(evaluation.features(self.features, self.of), "classify"):  # else its classes are not the data's
            for name, found, wanted in (
                ("accuracy", made, evaluation.fake_labels(len(made))),
                ("accuracy-of-real", seen, evaluation.labels(self.of, self.split, len(seen))),
            ):
                if wanted is not None:
                    scores[name] = share(int((found == wanted).sum()), len(found))
        if not_finite(fake):
            scores |= {name: Score(math.nan) for name in scores if name != "accuracy-of-real"}
        prefix = bracket(self.features, self.of)
        return {f"{prefix}.{name}": score for name, score in scores.items()}


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("evaluator", "class-share", ClassShare)
