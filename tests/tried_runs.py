"""One member of a cover, tried: it trains, every event of its tricks fires, and it resumes bit for bit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ganrun.catalog.catalog import Catalog
from ganrun.recipe import Recipe, load_recipe
from ganrun.testing.conditions import events_of
from ganrun.testing.runs import first_difference, new_run, probe_of, probed, samples, steps, weights, written_and_read
from ganrun.testing.tricks import recorded

BEFORE, AFTER = 2, 2  # steps before and after the checkpoint
RUN_LEVEL = {"run_start", "step_end", "checkpoint", "evaluate", "rolled_back", "run_end", "run_closed"}


def problems_of_run(catalog: Catalog, recipe: Mapping[str, Any]) -> list[str]:
    """What goes wrong in a small run of a recipe, one line each.

    Checked: terms and weights are finite; only the turn's player holds gradients; each event that a trick implements
    fires; a run that is stopped, written, read and continued ends in the bits of one that was not.
    """
    watched = load_recipe(probed(recipe), catalog=catalog)
    fired = watch(watched)
    straight = steps(new_run(watched, catalog), BEFORE)
    state = written_and_read(straight.state_dict())
    steps(straight, AFTER)
    made = samples(straight)
    resumed = new_run(load_recipe(probed(recipe), catalog=catalog), catalog)
    resumed.load_state_dict(state)
    steps(resumed, AFTER)
    found = list(dict.fromkeys(probe_of(straight).problems))
    found += [
        f"{name} is not finite"
        for name, value in weights(straight).items()
        if value.is_floating_point() and not bool(value.isfinite().all())
    ]
    different = first_difference(weights(straight), weights(resumed)) or first_difference(made, samples(resumed))
    found += [f"resumed, {different} differs from a run without the stop"] if different else []
    return found + [
        f"{trick}: the event {event} was never called"
        for trick, events in fired.items()
        for event, count in events.items()
        if not count
    ]


def watch(recipe: Recipe) -> dict[str, Counter[str]]:
    """Make the tricks of a recipe count the calls of their events: name -> event -> how often."""
    fired: dict[str, Counter[str]] = {}
    for part in recipe.tricks[:-1]:  # all but the probe
        expected = [name for name in events_of(part.component.factory) if name not in RUN_LEVEL]
        counts = fired[part.name] = Counter(dict.fromkeys(expected, 0))
        part.component = replace(part.component, factory=recorded(part.component.factory, counts))
    return fired
