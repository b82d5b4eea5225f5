"""How often translations, or samples, have the attributes or the domain that was asked for.

Choi et al., "StarGAN" (2018), section 5.4, report the error of a classifier of facial expressions, trained on the real
images, on translations into them. Here every yes-no attribute has a classifier with two answers and every entry of
one label has one with all of its classes, each trained on the train split; of several sets' items, on those that know
the labels.

What is asked for outside training is drawn, every answer as likely. So a generator that changes nothing is right about
attributes half of the time, and about one of K domains once in K. What the same classifier does on real test items is
given beside each score: no generator can be shown to be better than that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Experiment, Part, PartOf, Refusal, Space, UserError, hookimpl
from ganrun.plugin.data import ItemDraws, fingerprint, label_names
from ganrun.plugin.evaluation import Evaluation, FeatureContext, Least, Score, bracket, context_of, not_finite, share

ROWS = 256  # images classified at a time


@dataclass(frozen=True)
class Question:
    """What one classifier tells: a column of an entry of labels, or (``column`` None) which of an entry's classes."""

    entry: str
    column: int | None
    names: tuple[str, ...]  # of the attribute, or of the classes
    known: range | None  # the items that know it, None for all

    @property
    def answers(self) -> list[str]:
        """The classes of the classifier."""
        return list(self.names) if self.column is None else ["no", "yes"]

    def of(self, labels: Tensor) -> Tensor:
        """Labels (n,) or (n, A) -> this question's answers (n,)."""
        return labels if self.column is None else labels[:, self.column]


class Answered:
    """The items of a data set that know the answer to a question, as their ``label``: a classifier's training data."""

    def __init__(self, data: Any, question: Question, output: str) -> None:
        self.data = data
        self.question = question
        self.output = output
        self.classes = question.answers
        self.in_memory = data.in_memory
        self.spaces = {output: data.spaces[output], "label": Space("labels", (), len(self.classes))}
        self.start = question.known.start if question.known else 0
        if hasattr(data, "fingerprint"):
            self.fingerprint = lambda: fingerprint(data.fingerprint(), question)

    def __len__(self) -> int:
        return len(self.data) if self.question.known is None else len(self.question.known)

    def batch(self, indices: Tensor, draws: ItemDraws) -> dict[str, Tensor]:
        """Items (B,) -> the output's entry and ``label`` (B,)."""
        moved = ItemDraws(draws.key, draws.epochs, draws.indices + self.start)
        batch = self.data.batch(indices + self.start, moved)
        return {self.output: batch[self.output], "label": self.question.of(batch[self.question.entry])}


def questions(data: Any, codes: Mapping[str, Space]) -> list[Question]:
    """What can be asked of a generator and is known of the data's items."""
    found = []
    rows, known = getattr(data, "known_rows", {}), label_names(data)
    for entry, space in codes.items():
        if space.kind != "labels" or data.spaces.get(entry) != space or (space.shape and space.classes != 2):
            continue
        count = space.size if space.shape else space.classes
        names = known.get(entry, range(count))
        if space.shape:
            found += [Question(entry, column, (str(name),), rows.get(entry)) for column, name in enumerate(names)]
        else:
            found.append(Question(entry, None, tuple(map(str, names)), rows.get(entry)))
    return found


def of_rows(right: Tensor, rows: Tensor) -> Score:
    """The share of some rows that are right, NaN of none. Both (n,) bool."""
    return share(int((right & rows).sum()), int(rows.sum())) if bool(rows.any()) else Score(math.nan)


class AttributeAccuracy:
    """``[FEATURES].accuracy``, over all that was asked.

    ``.NAME`` for each attribute, or each domain, and ``.NAME-of-real`` of test items.

    NaN while fakes are not finite. A name that two sets have gets that of its entry before it.
    """

    least: ClassVar[Sequence[Least]] = (Least("test", 1, "a share"), Least("fake", 1, "a share"))

    def __init__(
        self,
        *,
        features: Annotated[
            Part, PartOf("features", default="classifier"), Field(description="the classifier of each question")
        ],
    ) -> None:
        self.features = features

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        """Refuse before training what could not be scored."""
        asked = questions(experiment.dataset, experiment.description.codes)
        if not asked:
            raise Refusal(
                "it compares samples with the labels they were asked to have, and this variant asks for "
                "none that the data have",
                "a variant such as stargan, on data with labels",
            )
        context = context_of(experiment, experiment.description.outputs[0])
        for question in asked:
            made = self._classifier(question, experiment.dataset, context)
            if not hasattr(made, "classify"):
                raise Refusal(
                    f"it needs recognised classes, and the features {self.features.name} do not classify",
                    "features: classifier",
                )

    def prepare(self, evaluation: Evaluation) -> None:
        """Train the classifiers of all questions, or find those that were kept."""
        for question in questions(evaluation.dataset("train"), evaluation.description.codes):
            self._noted(evaluation, question)

    def evaluate(self, evaluation: Evaluation) -> Mapping[str, float | Score]:
        if evaluation.sample_maker is None:
            raise UserError(
                "attribute-accuracy: it is not known what the images in a folder were made for; evaluate a run"
            )
        fake, real = evaluation.fakes(), evaluation.real()  # (n, *shape), (m, *shape)
        prefix, codes = bracket(self.features), evaluation.description.codes
        asked = questions(evaluation.dataset("train"), codes)
        names = [name for question in asked for name in question.names]
        hits, total, scores = 0, 0, dict[str, float | Score]()
        for question in asked:
            classify = self._noted(evaluation, question)
            wanted, counted = self._asked(evaluation, question, len(fake))
            truth = question.of(evaluation.real(question.entry).long())  # (m,)
            right, right_of_real = classify(fake) == wanted, classify(real) == truth
            hits, total = hits + int((right & counted).sum()), total + int(counted.sum())
            every_row = question.known is None
            known = (
                torch.ones(len(truth), dtype=torch.bool)
                if every_row
                else self._sets(evaluation, question, evaluation.real("source"))
            )
            for value, name in enumerate(question.names):
                called = name if names.count(name) == 1 else f"{question.entry}.{name}"
                every = question.column is not None  # of an attribute, both answers count
                scores[f"{prefix}.{called}"] = of_rows(right, counted if every else counted & (wanted == value))
                scores[f"{prefix}.{called}-of-real"] = of_rows(
                    right_of_real, known if every else known & (truth == value)
                )
        scores = {f"{prefix}.accuracy": share(hits, total), **scores}
        if not_finite(fake.flatten(1)):
            scores |= {name: Score(math.nan) for name in scores if not name.endswith("-of-real")}
        return scores

    def _asked(self, evaluation: Evaluation, question: Question, n: int) -> tuple[Tensor, Tensor]:
        """The answers that n samples were asked to have, and which of them were asked for this entry, (n,) each."""
        labels = evaluation.fake_labels(n, question.entry)
        assert labels is not None, "codes are latents"
        wanted = question.of(labels)
        if question.known is None:
            return wanted, torch.ones(n, dtype=torch.bool)
        source = evaluation.fake_labels(n, "source")
        assert source is not None, "data of several sets say which set an item is of"
        return wanted, self._sets(evaluation, question, source)

    def _sets(self, evaluation: Evaluation, question: Question, source: Tensor) -> Tensor:
        """Which samples are of the set that knows the answer, by the numbers of their sets: (n,) -> (n,) bool."""
        data: Any = evaluation.dataset("train")
        return source.eq(list(data.known_rows).index(question.entry))

    def _classifier(self, question: Question, data: Any, context: FeatureContext) -> Any:
        # the classifier that others use, trained once for all
        plain = question.entry == "label" and question.known is None
        answered: Any = data if plain else Answered(data, question, context.name)
        return self.features.make(
            FeatureContext(context.name, context.space, answered, context.cache, context.device, context.base)
        )

    def _noted(self, evaluation: Evaluation, question: Question) -> Any:
        """A function (n, *shape) -> (n,) that answers a question; the classifier is noted with the scores."""
        space = evaluation.spaces[evaluation.output]
        train = evaluation.dataset("train")
        context = FeatureContext(
            evaluation.output, space, train, evaluation.cache, evaluation.source.device, evaluation.base
        )
        made = self._classifier(question, train, context)
        title = question.entry if question.column is None else f"{question.entry}.{question.names[0]}"
        about = {"hash": made.fingerprint(), "preprocessing": getattr(made, "preprocessing", "")}
        evaluation.requested.features[f"{self.features.name} for {title}"] = {
            **self.features.as_recipe()[self.features.name],
            **about,
        }
        return lambda x: torch.cat([made.classify(rows).cpu() for rows in x.split(ROWS)])


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("evaluator", "attribute-accuracy", AttributeAccuracy)
