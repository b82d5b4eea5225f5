"""How often two outputs made of one latent are recognised as the same class, as coupled domains ought to be.

Liu and Tuzel, "Coupled Generative Adversarial Networks" (2016), section 4, count pairs whose two images agree; there
the second image is a function of the first, here a classifier reads both. With p_k and q_k the shares of class k among
samples of the one and of the other output:

    agreement = share of latents whose two samples are read as one class        chance = sum over k of p_k q_k

Chance is what the same samples score after their pairs were shuffled (its mean over all shuffles; Cohen, "A coefficient
of agreement for nominal scales", 1960). A generator that makes one class alone agrees always, and by chance always:
look at both numbers.

A classifier that misreads a domain hides agreement. Where real samples have labels, its accuracy on real ones of each
output stands beside: about the product of both is what pairs that do agree would score. Classes need not be the data's
own for agreement itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Experiment, Part, PartOf, Refusal, UserError, hookimpl
from ganrun.plugin.data import normalised
from ganrun.plugin.evaluation import Evaluation, Least, Score, check_classifier, check_output, not_finite, share

CHUNK = 256  # images read at a time


def agreement(one: Tensor, other: Tensor, classes: int) -> dict[str, Score]:
    """``agreement`` and ``chance`` of recognised classes of pairs of samples.

    Both samples: (n,) int64, 0 to ``classes`` - 1.

    Raises:
        UserError: for no pairs, or a sample without its partner.
    """
    if one.shape != other.shape or one.ndim != 1 or not len(one):
        raise UserError(
            f"pair-agreement: it compares the classes of pairs, and got {tuple(one.shape)} and {tuple(other.shape)}"
        )
    p, q = (torch.bincount(found.cpu(), minlength=classes).double() / len(found) for found in (one, other))  # (K,) each
    return {"agreement": share(int((one == other).sum()), len(one)), "chance": Score(float((p * q).sum()))}


class PairAgreement:
    """``[FEATURES].agreement`` and ``.chance``, NaN while samples are not finite.

    ``.accuracy-of-real-OUTPUT`` where there are labels.
    """

    least: ClassVar[Sequence[Least]] = (Least("fake", 1, "a share"),)

    def __init__(
        self,
        *,
        features: Annotated[Part, PartOf("features", default="classifier"), Field(description="the classifier")],
        first: Annotated[str | None, Field(description="an output of the variant; null: its first")] = None,
        second: Annotated[
            str | None, Field(description="the output that is compared with it; null: its second")
        ] = None,
    ) -> None:
        self.features = features
        self.first = first
        self.second = second
        self._accuracies: dict[str, Score | None] = {}

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        """Refuse before training what could not be scored."""
        description = experiment.description
        if description.conditional:
            why = "it compares outputs made of one latent, and this variant makes its samples from real items"
            raise Refusal(why, "evaluators: hidden-pairs")
        if len(description.outputs) < 2:
            raise Refusal(
                f"it compares two outputs of one latent, and this variant makes {description.outputs[0]} alone",
                "variant: cogan",
            )
        for name in self._outputs(description.outputs):
            check_output(experiment, name)
            check_classifier(experiment, self.features, name)

    def _outputs(self, outputs: tuple[str, ...]) -> tuple[str, str]:
        return self.first or outputs[0], self.second or outputs[1]

    def evaluate(self, evaluation: Evaluation) -> Mapping[str, float | Score]:
        if len(evaluation.description.outputs) < 2:
            raise UserError(
                "pair-agreement: it compares two outputs of one latent; evaluate a run of a variant that makes them"
            )
        names = self._outputs(evaluation.description.outputs)
        # (n, K) each, row by row of one latent
        one, other = (evaluation.logits_of(self.features, "fake", name) for name in names)
        if one.shape[1] != other.shape[1]:
            raise UserError(
                f"pair-agreement: {names[0]} and {names[1]} are read as one of {one.shape[1]} and "
                f"{other.shape[1]} classes"
            )
        scores = agreement(one.argmax(1), other.argmax(1), one.shape[1])
        if not_finite(one) or not_finite(other):
            scores = {name: Score(math.nan) for name in scores}
        for name in names:
            if name not in self._accuracies:
                self._accuracies[name] = self._accuracy(evaluation, name)
            found = self._accuracies[name]
            if found is not None:
                scores[f"accuracy-of-real-{name}"] = found
        return {f"[{self.features.name}].{name}": score for name, score in scores.items()}

    def _accuracy(self, evaluation: Evaluation, name: str) -> Score | None:
        """The share of an output's real test samples that the classifier reads as their label; None without labels."""
        extract: Any = evaluation.features(self.features, name)
        held: Any = evaluation.dataset("test")
        if not hasattr(extract, "classify"):  # its classes are not the data's
            return None
        if hasattr(held, "labelled"):
            x, label = held.labelled(name)
            x = normalised({name: x}, "cpu")[name]
        else:
            found = evaluation.labels(name)
            if found is None:
                return None
            x, label = evaluation.real(name), found
        seen = torch.cat([extract.classify(some.float()).cpu() for some in torch.split(x, CHUNK)])
        return share(int((seen == label.cpu()).sum()), len(label))


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("evaluator", "pair-agreement", PairAgreement)
