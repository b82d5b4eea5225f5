"""What a run costs beyond plain steps: what is prepared before the first one, and what tricks make of a step."""

from __future__ import annotations

from collections.abc import Iterator

from ganrun.evaluation.features import context_of
from ganrun.experiment.diagnostics import label
from ganrun.experiment.experiment import Experiment
from ganrun.recipe import Part

MUCH = 10.0  # times a plain step: worth a warning


def preparations(experiment: Experiment) -> dict[str, str]:
    """Features of a recipe -> what they do once before the first step, in words; none of those that do nothing."""
    found = {}
    for part, of in _features(experiment):
        name = of if of is not None and of in experiment.dataset.spaces else experiment.description.outputs[0]
        place = f"{label(part)} of {name}" if name != experiment.description.outputs[0] else label(part)
        extract = part.make(context_of(experiment, name))
        words = extract.beforehand() if hasattr(extract, "beforehand") else ""
        if words:
            found[place] = words
    return found


def step_costs(experiment: Experiment) -> list[tuple[str, float]]:
    """The tricks that make a step longer, each with how many times: together, their product."""
    made = zip(experiment.recipe.tricks, experiment.tricks)
    costs = [(label(part), float(trick.cost(experiment))) for part, trick in made if hasattr(trick, "cost")]
    return [(name, cost) for name, cost in costs if cost > 1]


def _features(experiment: Experiment) -> Iterator[tuple[Part, str | None]]:
    """The feature extractors of evaluators and tricks, each once, with the output that they are of.

    An evaluator that has ``prepare`` makes its extractors itself, of data that it alone knows.
    """
    seen = set()
    made = zip(experiment.recipe.evaluators, experiment.evaluators)
    scored = (evaluator.part for evaluator, plugin in made if not hasattr(plugin, "prepare"))
    for part in (*scored, *experiment.recipe.tricks):
        of = part.parameters.get("of")
        for inner in part.parameters.values():
            if isinstance(inner, Part) and inner.kind == "features" and (repr(inner), of) not in seen:
                seen.add((repr(inner), of))
                yield inner, of if isinstance(of, str) else None
