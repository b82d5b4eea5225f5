"""How far translations are from the true counterparts, which an unpaired data set kept from training.

Unpaired translation (Zhu et al., "Unpaired image-to-image translation using cycle-consistent adversarial networks",
2017) is mostly judged by eye, because real unpaired sets have no true answers. A made one has: the mean absolute error
and the root of the mean squared error against them, in the units of the images ([-1, 1]), over all pixels of all pairs.
Intervals are over pairs: of the root, they are the roots of the ends of the mean squared error's. Those of accuracies
are Wilson's.

Two baselines stand beside them: to do nothing, and to answer every input with the mean image of the target domain's
train split. Where the pairs have labels and the features classify, the share of translations recognised as what their
input shows is given, and the same share of the true counterparts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Experiment, Part, PartOf, Reason, Refusal, UserError, hookimpl
from ganrun.plugin.data import Dataset, read_items
from ganrun.plugin.evaluation import Evaluation, Least, Score, check_features, of_rows, share


def errors(x: Tensor, truth: Tensor) -> dict[str, Score]:
    """Mean absolute error ``l1`` and root of the mean squared error ``rmse`` of x against truth, (N, C, H, W) both.

    NaN if x is not finite. Raises UserError for no pairs, or unequal shapes.
    """
    if x.shape != truth.shape or not x.numel():
        raise UserError(
            f"hidden-pairs: it compares images pair by pair, and got {tuple(x.shape)} and {tuple(truth.shape)}"
        )
    if not bool(x.isfinite().all()):
        return {"l1": Score(math.nan), "rmse": Score(math.nan)}
    pieces = [(a.double() - b.double()).flatten(1) for a, b in zip(torch.split(x, 256), torch.split(truth, 256))]
    absolute = of_rows(torch.cat([piece.abs().mean(1) for piece in pieces]))
    return {"l1": absolute, "rmse": root(of_rows(torch.cat([piece.square().mean(1) for piece in pieces])))}


def root(score: Score) -> Score:
    """The square root of a score that is not negative, and of the ends of its interval: a root keeps their order."""
    low, high = (None if end is None else math.sqrt(max(0.0, end)) for end in (score.low, score.high))
    return replace(
        score,
        value=math.sqrt(score.value),
        low=low,
        high=high,
        method=score.method and f"{score.method}, then the root",
    )


def mean_image(dataset: Dataset, name: str) -> Tensor:
    """The mean of an entry over a data set, (C, H, W) float64 in [-1, 1]."""
    total: Tensor = sum(batch[name].double().sum(0) for batch in read_items(dataset, key=("mean image",)))  # type: ignore[assignment]
    return total.cpu() / len(dataset)


class HiddenPairs:
    """``A-to-B.l1`` and ``.rmse`` both ways.

    ``.nothing.`` and ``.mean-image.`` with the same ending; ``.accuracy`` and ``.accuracy-of-truth``.

    The test split's ``hidden_pairs()`` returns entry -> (N, C, H, W), row i of one the counterpart of row i of the
    other, and perhaps ``label`` (N,).
    """

    needs = {
        "hidden-pairs": Reason(
            "it compares translations with true counterparts, and this data set has none", "dataset: restyled-digits"
        )
    }

    least: ClassVar[Sequence[Least]] = (Least("test", 1, "a mean"),)

    def __init__(
        self,
        *,
        features: Annotated[
            Part | None,
            PartOf("features", default="classifier"),
            Field(description="what recognises the translations; null: nothing does"),
        ],
    ) -> None:
        self.features = features
        self._means: dict[str, Tensor] = {}

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        """Refuse before training what could not be scored."""
        if not experiment.description.conditional:
            raise Refusal("it scores translations, and this variant makes samples from latents", "variant: cyclegan")
        if self.features is not None:
            for name in experiment.description.outputs:
                check_features(experiment, self.features, name)

    def evaluate(self, evaluation: Evaluation) -> Mapping[str, Score]:
        held: Any = evaluation.dataset("test")
        if evaluation.sample_maker is None or not hasattr(held, "hidden_pairs"):
            raise UserError(
                "hidden-pairs: it translates the test items of a data set that hides their true counterparts; "
                "evaluate a run on such data, or score two folders with files of the same names by psnr-ssim"
            )
        pairs = evaluation.hidden_pairs(evaluation.samples)
        label = pairs.pop("label", None)
        first, second = pairs
        scores: dict[str, Score] = {}
        for source, target in ((first, second), (second, first)):
            if target in evaluation.description.outputs:
                made = evaluation.generate(pairs, target)
                scores |= self._direction(evaluation, source, target, made, pairs, label)
        return scores

    def _direction(
        self,
        evaluation: Evaluation,
        source: str,
        target: str,
        made: Tensor,
        pairs: Mapping[str, Tensor],
        label: Tensor | None,
    ) -> dict[str, Score]:
        if target not in self._means:
            self._means[target] = mean_image(evaluation.dataset("train"), target)
        truth = pairs[target]
        answers = {"": made, "mean-image.": self._means[target].expand_as(truth)}
        if pairs[source].shape == truth.shape:
            answers["nothing."] = pairs[source]
        scores = {
            f"{kind}{name}": value for kind, answer in answers.items() for name, value in errors(answer, truth).items()
        }
        if self.features is not None and label is not None:
            extract: Any = evaluation.features(self.features, target)
            if hasattr(extract, "classify"):
                for name, x in (("accuracy", made), ("accuracy-of-truth", truth)):
                    found = torch.cat([extract.classify(some).cpu() for some in torch.split(x, 256)])
                    # what a network returns for NaN means nothing
                    finite = bool(x.isfinite().all())
                    scores[name] = share(int((found == label).sum()), len(label)) if finite else Score(math.nan)
        return {f"{source}-to-{target}.{name}": value for name, value in scores.items()}


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("evaluator", "hidden-pairs", HiddenPairs)
