"""What a run keeps of the parts that act in training only, so that it can be opened where their plugins are not."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ganrun.contracts.events import Events
from ganrun.experiment.experiment import Experiment

if TYPE_CHECKING:
    from ganrun.recipe import Part

# These decide what the networks are, or happen when samples are made: a part with one of them is always needed.
ALWAYS = ("plan", "build", "sample", "pack", "sampling")


def kept_parts(experiment: Experiment) -> dict[str, dict[str, Any]]:
    """``kind.name`` -> parameters, events and capabilities of each part that does not affect samples."""
    found = {}
    for part, component in _candidates(experiment):
        events = events_of(component)
        if not set(events) & set(ALWAYS):
            found[f"{part.kind}.{part.name}"] = {
                "parameters": sorted(part.parameters),
                "events": events,
                "provides": sorted(getattr(component, "provides", ())),
                "logits": getattr(component, "logits", 1),
            }
    return found


def events_of(component: Any) -> list[str]:
    """The events that a component listens to."""
    return [
        name
        for name, spec in vars(Events).items()
        if inspect.isfunction(spec) and hasattr(getattr(component, name, None), "ganrun_impl")
    ]


def _candidates(experiment: Experiment) -> Iterator[tuple[Part, Any]]:
    """The parts whose kinds may act in training only, with their components."""
    recipe = experiment.recipe
    yield from zip(recipe.tricks, experiment.tricks)
    yield from ((part, experiment.losses[game]) for game, part in experiment.loss_parts.items())
    yield recipe.dataset, experiment.dataset  # what is needed of the data is kept beside it
    for name, optimizer in experiment.optimizers.items():
        yield recipe.players[name].optimizer, optimizer
