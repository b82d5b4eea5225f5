"""How often samples show what their captions ask for: the number, the style, and both.

For images of texts there is no single class to be right about. Where the data know what each caption means, aspect by
aspect (``meanings()``), one classifier is trained for each aspect on real images, as the features ``classifier`` do it,
and an image counts as a match in an aspect if it is recognised as what its caption says. This is the accuracy of Odena
et al., "Conditional image synthesis with auxiliary classifier GANs" (2017), for each part of a text.

Beside it stands the share for the real test images of the same captions: no generator can be shown to be better than
that. By chance an image would match in an aspect of K equally frequent values in 1 of K cases.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Experiment, Part, PartOf, Reason, Refusal, Space, UserError, hookimpl
from ganrun.plugin.data import fingerprint
from ganrun.plugin.evaluation import Evaluation, FeatureContext, Least, Score, context_of, share

BLOCK = 256  # images at a time


class Aspect:
    """A data set as a classifier of one aspect of its captions sees it: images and their labels."""

    in_memory = True

    def __init__(self, data: Any, entry: str, aspect: str) -> None:
        self.data, self.entry, self.aspect = data, entry, aspect
        self.label, names = data.meanings()[aspect]
        self.classes: Sequence[str] = list(names)
        self.spaces: Mapping[str, Space] = {entry: data.spaces[entry], "label": Space("labels", (), len(self.classes))}

    def __len__(self) -> int:
        return len(self.data)

    def batch(self, indices: Tensor, draws: Any) -> dict[str, Tensor]:
        """Items (B,) -> the images and what their captions say."""
        return {self.entry: self.data.batch(indices, draws)[self.entry], "label": self.label[indices.cpu()]}

    def fingerprint(self) -> str:
        """A hash of the data, the aspect and its labels."""
        return fingerprint(
            self.data.fingerprint() if hasattr(self.data, "fingerprint") else len(self.data),
            self.aspect,
            self.label,
            self.classes,
        )


def matches(found: Mapping[str, Tensor], asked: Mapping[str, Tensor]) -> dict[str, Score]:
    """Aspect -> the share of samples recognised as asked, (n,) int64 both, and ``all``: of matches in every aspect."""
    right = {aspect: found[aspect] == wanted for aspect, wanted in asked.items()}
    together = torch.stack(list(right.values())).all(0)  # (n,)
    return {aspect: share(int(hits.sum()), len(hits)) for aspect, hits in {**right, "all": together}.items()}


class CaptionMatch:
    """``ASPECT`` for each aspect, such as ``number`` and ``style``, and ``all`` of them; each also with ``-of-real``.

    NaN while samples are not finite. ``meanings()`` of the data is aspect -> (what each item's caption says (N,), the
    names).
    """

    needs = {
        "caption-meanings": Reason(
            "it compares images with what their captions mean, which these data do not say", "dataset: caption-digits"
        )
    }

    least: ClassVar[Sequence[Least]] = (Least("test", 1, "a share"),)

    def __init__(
        self,
        *,
        features: Annotated[
            Part, PartOf("features", default="classifier"), Field(description="what learns to recognise each aspect")
        ],
    ) -> None:
        self.features = features

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        """Refuse before training what could not be scored."""
        data, entry = experiment.dataset, experiment.description.outputs[0]
        if not hasattr(data, "meanings"):
            return  # refused because they are missing
        if not experiment.description.conditional:
            raise Refusal(
                "it scores images that were made of captions, and this variant makes its samples of latents alone",
                "variant: gan-cls",
            )
        for aspect in data.meanings():
            context = replace(context_of(experiment, entry), data=Aspect(data, entry, aspect))
            if not hasattr(self.features.make(context), "classify"):
                raise Refusal(
                    f"it recognises what an image shows, and the features {self.features.name} do not classify",
                    "features: classifier",
                )

    def evaluate(self, evaluation: Evaluation) -> Mapping[str, Score]:
        held: Any = evaluation.dataset("test")
        if evaluation.sample_maker is None or not hasattr(held, "meanings"):
            raise UserError(
                "caption-match: it scores images made of the captions of test items; "
                "evaluate a run on data such as caption-digits"
            )
        name = evaluation.output
        made = evaluation.fakes()  # of the captions of the first test samples
        real = evaluation.real(n=len(made))
        rows = torch.from_numpy(evaluation.rows("test", range(len(made))))
        asked = {aspect: label[rows] for aspect, (label, _) in held.meanings().items()}
        recognise = {aspect: self._recogniser(evaluation, name, aspect) for aspect in asked}
        scores: dict[str, Score] = {}
        for ending, images in (("", made), ("-of-real", real)):
            found = {aspect: classified(extract, images) for aspect, extract in recognise.items()}
            finite = bool(images.isfinite().all())
            scores |= {
                f"{aspect}{ending}": score if finite else Score(math.nan)
                for aspect, score in matches(found, asked).items()
            }
        return scores

    def _recogniser(self, evaluation: Evaluation, name: str, aspect: str) -> Any:
        data = Aspect(evaluation.dataset("train"), name, aspect)
        extract = self.features.make(
            FeatureContext(
                name, evaluation.spaces[name], data, evaluation.cache, evaluation.source.device, evaluation.base
            )
        )
        about = {"hash": extract.fingerprint(), "preprocessing": getattr(extract, "preprocessing", "")}
        evaluation.requested.features[f"{self.features.name} of {aspect}"] = {
            **self.features.as_recipe()[self.features.name],
            **about,
        }
        return extract


def classified(extract: Any, images: Tensor) -> Tensor:
    """The class of each image, (n,) int64 on the CPU."""
    return torch.cat([extract.classify(some).cpu() for some in torch.split(images, BLOCK)])


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("evaluator", "caption-match", CaptionMatch)
