"""What a trick has to keep. ``strength`` names the parameter that turns it off, at 0 or at ``neutral``."""

from __future__ import annotations

import functools
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ganrun.recipe import parameters
from ganrun.testing.conditions import events_of, when
from ganrun.testing.plugin import Plugin
from ganrun.testing.runs import (
    assert_resumes,
    assert_sound,
    build_run,
    common,
    first_difference,
    probe_of,
    probed,
    samples,
    steps,
    trained,
    weights,
    written_and_read,
)
from ganrun.words.finding import Finding

_STEPS = 10  # enough to fill a pool of 50 with batches of 8


STRUCTURAL = ("plan", "build", "phase_start", "pack")  # the events by which a trick changes batch, schedule or networks


def has_strength(plugin: Plugin) -> bool:
    """Whether the trick can be turned off."""
    return bool(getattr(plugin.factory, "strength", ""))


def has_plain_run(plugin: Plugin) -> bool:
    """Whether the trick can be turned off without changing the structure of the run."""
    return has_strength(plugin) and not hasattr(plugin.factory, "restructures")


def has_structured_run(plugin: Plugin) -> bool:
    """Whether the trick can be turned off, but for what it changes of the structure."""
    return has_strength(plugin) and hasattr(plugin.factory, "restructures")


def neutral(plugin: Plugin) -> dict[str, Any]:
    """The parameters that turn the trick off."""
    return {plugin.factory.strength: getattr(plugin.factory, "neutral", 0)}


def off(plugin: Plugin) -> dict[str, Any]:
    """The plugin's experiment, with the trick in it but turned off."""
    return plugin.put(plugin.without(plugin.recipe), **neutral(plugin))


def check_strength_is_declared(plugin: Plugin) -> None:
    """``strength`` names a parameter or is empty; then ``restructures`` describes what changes in batch or schedule."""
    missing = 'no strength: name the parameter that turns the trick off at 0 (or at neutral), or write strength = ""'
    assert hasattr(plugin.factory, "strength"), missing
    names = parameters.fields_of(parameters.parameter_model(plugin.factory))
    strength = plugin.factory.strength
    assert strength in names or (not strength and hasattr(plugin.factory, "restructures")), (
        f"strength is {strength!r}, which is not one of its parameters"
    )


@when(has_plain_run)
def check_strength_zero_changes_nothing(plugin: Plugin) -> None:
    """Turned off, the trick leaves weights and samples as they are without it, bit for bit."""
    with_it, without = trained(plugin, off(plugin), _STEPS), trained(plugin, plugin.without(plugin.recipe), _STEPS)
    plain = weights(without)
    different = first_difference(plain, common(plain, weights(with_it))) or first_difference(
        samples(without), samples(with_it)
    )
    assert not different, f"turned off by {neutral(plugin)}, the run differs from one without the trick: {different}"


@when(has_structured_run)
def check_strength_zero_is_the_run_of_that_structure(plugin: Plugin) -> None:
    """Turned off, a trick that restructures the run equals its structural events alone, bit for bit."""
    with_it = trained(plugin, off(plugin), _STEPS)
    recipe = plugin.load(off(plugin))
    part = recipe.tricks[-1]
    part.component = replace(part.component, factory=bare(plugin.factory))
    without = steps(build_run(plugin, recipe), _STEPS)
    different = first_difference(weights(without), weights(with_it)) or first_difference(
        samples(without), samples(with_it)
    )
    assert not different, (
        f"turned off by {neutral(plugin)}, the run differs from one with its structural events alone: {different}"
    )


@when(has_strength)
def check_strength_zero_runs_the_code(plugin: Plugin) -> None:
    """Turned off, the trick draws what it draws otherwise: no early return makes the identity hold."""
    off_run = trained(plugin, probed(off(plugin)), _STEPS)
    on_run = trained(plugin, probed(plugin.recipe), _STEPS)
    assert probe_of(off_run).draws == probe_of(on_run).draws, (
        f"turned off by {neutral(plugin)}, the trick draws other random numbers than at its default"
    )


def check_default_strength_changes_something(plugin: Plugin) -> None:
    """At its default strength the trick changes the weights, or what is sampled if it listens to sampling."""
    with_it, without = trained(plugin, plugin.recipe, _STEPS), trained(plugin, plugin.without(plugin.recipe), _STEPS)
    changed = bool(first_difference(weights(without), weights(with_it)))
    if not changed and {"sample", "sampling"} & set(events_of(plugin.factory)):
        changed = bool(first_difference(samples(without), samples(with_it)))
    assert changed, f"the trick changes nothing in {_STEPS} steps at its defaults"


def check_only_the_turns_player_gets_gradients(plugin: Plugin) -> None:
    """No turn leaves gradients in a player whose turn it is not, and every term is finite."""
    assert_sound(trained(plugin, probed(plugin.recipe), _STEPS))


def check_two_instances_work(plugin: Plugin) -> None:
    """A recipe may name the trick twice; both keep a state of their own."""
    recipe = probed(plugin.put(plugin.recipe))
    run = trained(plugin, recipe, 3)
    assert_sound(run)
    assert sum(isinstance(trick, plugin.factory) for trick in run.experiment.tricks) == 2, (
        "a recipe that names the trick twice does not have two instances of it"
    )
    assert_resumes(plugin, recipe, 1, 2)


def check_every_event_fires(plugin: Plugin) -> None:
    """Each event that the trick implements happens in a run of its experiment."""
    fired: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        recipe = plugin.load(plugin.recipe)
        part = recipe.tricks[-1]
        part.component = replace(part.component, factory=recorded(plugin.factory, fired))
        run = build_run(plugin, recipe, Path(folder))
        run.train()
        run.save()
        run.experiment.hooks.evaluate(run=run, scores={"some.score": 1.0})
        run.report(Finding("mode-collapse", "a check"))
        run.rollbacks.append({"from": run.step, "to": run.step, "attempt": 1, "reason": "a check"})
        run.experiment.hooks.rolled_back(run=run)
        samples(run)
    missing = [name for name in events_of(plugin.factory) if not fired[name]]
    assert not missing, f"events never called in its experiment: {', '.join(missing)}"


def bare(factory: Any) -> Any:
    """A subclass that keeps of a trick's events only those which change the structure of a run."""
    return type(factory.__name__, (factory,), {name: None for name in events_of(factory) if name not in STRUCTURAL})


def recorded(factory: Any, fired: Counter[str]) -> Any:
    """A subclass whose hooks count their calls."""

    def counted(name: str) -> Any:
        original = getattr(factory, name)

        @functools.wraps(original)
        def hook(self: Any, *args: Any, **named: Any) -> Any:
            fired[name] += 1
            return original(self, *args, **named)

        return hook

    return type(factory.__name__, (factory,), {name: counted(name) for name in events_of(factory)})


@when(lambda plugin: hasattr(plugin.factory, "state_dict"))
def check_state_survives_a_checkpoint(plugin: Plugin) -> None:
    """What ``state_dict`` returns can be written and read, and ``load_state_dict`` puts all of it back."""
    run, fresh = trained(plugin, plugin.recipe, _STEPS), build_run(plugin, plugin.recipe)
    pair: list[Any] = [built.experiment.tricks[-1] for built in (run, fresh)]
    before, again = pair
    state = before.state_dict()
    again.load_state_dict(written_and_read(state))
    one, other = leaves(state), leaves(again.state_dict())
    assert one.keys() == other.keys(), (
        f"state_dict has other entries after loading: {sorted(one.keys() ^ other.keys())[:3]}"
    )
    for path, value in one.items():
        equal = torch.equal(value, other[path]) if isinstance(value, torch.Tensor) else value == other[path]
        assert equal, f"{path} differs from what was saved"


def check_resumes_late(plugin: Plugin) -> None:
    """Resumed after its state has filled, the trick continues as if it had not been stopped."""
    assert_resumes(plugin, plugin.recipe, _STEPS - 2, 2)


def check_restores_its_sampling(plugin: Plugin) -> None:
    """A restored run makes the same samples, before it trains another step."""
    run, fresh = trained(plugin, plugin.recipe, 3), build_run(plugin, plugin.recipe)
    fresh.load_state_dict(written_and_read(run.state_dict()))
    different = first_difference(samples(run), samples(fresh))
    assert not different, f"samples of {different} differ after a checkpoint is loaded"
    different = first_difference(weights(steps(run, 1)), weights(steps(fresh, 1)))
    assert not different, f"{different} differs one step after a checkpoint is loaded"


def leaves(tree: Any, path: str = "") -> dict[str, Any]:
    """path -> tensor or plain value, for every leaf of a state."""
    if isinstance(tree, dict | list | tuple):
        entries = tree.items() if isinstance(tree, dict) else enumerate(tree)
        return {key: value for name, inner in entries for key, value in leaves(inner, f"{path}/{name}").items()}
    return {path: tree}
