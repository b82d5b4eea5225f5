"""The fewest samples that an evaluator can score, and whether a run has as many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ganrun.contracts.protocols import Dataset
from ganrun.experiment.diagnostics import Diagnostic, RefusedError, label
from ganrun.experiment.experiment import Experiment
from ganrun.recipe import EvaluatorPart

LIMIT = 10_000  # real samples, unless more fakes are scored


@dataclass(frozen=True)
class Least:
    """An evaluator needs ``n`` samples ``of`` a kind: made ones, or real ones of a split. ``why``: what needs them."""

    of: Literal["fake", "train", "test"]
    n: int
    why: str


def refuse_too_few(experiment: Experiment, dataset: Callable[[str], Dataset]) -> None:
    """Raise RefusedError if :func:`too_few` finds something."""
    if refusals := too_few(experiment, dataset):
        raise RefusedError(refusals, experiment.recipe, experiment.description.networks)


def too_few(experiment: Experiment, dataset: Callable[[str], Dataset]) -> list[Diagnostic]:
    """The refusals of a recipe's evaluators that its data, or the samples it asks for, are too few for.

    dataset: split -> data set, of which only the length is asked, and only for what an evaluator names.
    """
    refusals = []
    for part, evaluator in zip(experiment.recipe.evaluators, experiment.evaluators):
        for least in getattr(evaluator, "least", ()):
            there, instead = _there(experiment, part, least, dataset)
            if there < least.n:
                what = "made samples" if least.of == "fake" else f"items of the {least.of} split"
                why = f"{least.why} needs at least {least.n} {what}, and there {'is' if there == 1 else 'are'} {there}"
                refusals.append(Diagnostic(label(part.part), why, instead))
    return refusals


def _there(
    experiment: Experiment, part: EvaluatorPart, least: Least, dataset: Callable[[str], Dataset]
) -> tuple[int, str]:
    """How many samples an evaluator of a recipe gets, and what would give more."""
    if least.of != "fake":
        return len(dataset(least.of)), _more_items(experiment, part, least)
    if part.samples is not None and not experiment.description.conditional:
        return part.samples, f"samples: {least.n} of this evaluator, or more"
    items = len(dataset("test"))
    there = min(items, LIMIT if part.samples is None else part.samples)
    if part.samples is not None and there < items:
        return there, f"samples: {least.n} of this evaluator, or more"
    if experiment.description.conditional:
        return there, _more_items(experiment, part, least)
    more = f"samples: {max(least.n, 1000)} of this evaluator"
    return there, f"{more}; by default as many are made as there are test items"


def _more_items(experiment: Experiment, part: EvaluatorPart, least: Least) -> str:
    ways = ["more data"]
    if "test_fraction" in experiment.recipe.dataset.parameters and least.of != "train":
        ways.insert(0, "a larger test_fraction of the dataset")
    if part.part.parameters.get("split") == "test" and least.of == "test":
        ways.append("split: train of this evaluator")
    return ", or ".join(ways)
