"""Small runs for checks: built through the public path, trained for some steps, resumed, compared."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganrun.catalog.catalog import Catalog
from ganrun.recipe import Recipe
from ganrun.testing.plugin import Plugin
from ganrun.testing.probe import Probe
from ganrun.training import checkpoint
from ganrun.training.run import Run

PROBE = "probe"


def build_run(plugin: Plugin, recipe: Mapping[str, Any] | Recipe, folder: Path | None = None) -> Run:
    """The run of a recipe, built and not trained."""
    return new_run(recipe if isinstance(recipe, Recipe) else plugin.load(recipe), plugin.catalog, folder)


def new_run(recipe: Recipe, catalog: Catalog, folder: Path | None = None) -> Run:
    """The run of a resolved recipe, built and not trained."""
    return Run(recipe, catalog, folder)


def probed(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe with the probe at the end of its tricks."""
    return {**recipe, "tricks": [*recipe.get("tricks", []), PROBE]}


def probe_of(run: Run) -> Probe:
    """The probe of a run."""
    return next(trick for trick in run.experiment.tricks if isinstance(trick, Probe))


def steps(run: Run, count: int) -> Run:
    """Train some steps, without the events of a whole run."""
    for _ in range(count):
        run.engine.step(run.step)
        run.step += 1
    return run


def trained(plugin: Plugin, recipe: Mapping[str, Any], count: int) -> Run:
    """A new run after some steps."""
    return steps(build_run(plugin, recipe), count)


def weights(run: Run) -> dict[str, Tensor]:
    """Every tensor of every network, by name; what stands behind a parametrised ``weight`` is called ``weight``."""
    states = {name: module.state_dict() for name, module in run.engine.modules.items()}
    return {
        f"{name}.{plain_name(key)}": value.detach().clone()
        for name, state in states.items()
        for key, value in state.items()
    }


def plain_name(key: str) -> str:
    """The name a tensor has without a parametrisation: ``parametrizations.weight.original`` is ``weight``."""
    return key.replace("parametrizations.", "").removesuffix(".original")


def common(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The entries of ``other`` that ``one`` has, too: a trick may add tensors of its own."""
    return {name: other[name] for name in one if name in other}


def samples(run: Run, n: int = 4) -> dict[str, Tensor]:
    """What the run makes outside training, by output."""
    real = None
    if run.experiment.description.conditional:
        real = {name: run.evaluation.real(name, n=n) for name in run.experiment.dataset.spaces}
    made = run.sample_maker.turn(n, real=real).made
    return {name: made[name].clone() for name in run.experiment.description.outputs}


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Whether two mappings of tensors are equal bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def first_difference(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> str:
    """The first name at which two mappings of tensors differ; empty if they are equal."""
    if one.keys() != other.keys():
        return f"names {sorted(one.keys() ^ other.keys())[:3]}"
    return next((name for name in one if not torch.equal(one[name], other[name])), "")


def written_and_read(state: dict[str, Any]) -> dict[str, Any]:
    """A state as it comes back from a checkpoint."""
    tensors: dict[str, Tensor] = {}
    tree = json.loads(json.dumps(checkpoint.flatten(state, tensors), allow_nan=False))
    found: dict[str, Any] = checkpoint.unflatten(tree, tensors)
    return found


def assert_resumes(plugin: Plugin, recipe: Mapping[str, Any], before: int, after: int) -> None:
    """A run that is stopped, written, read and continued ends in the bits of one that was never stopped.

    So does one that is rolled back.
    """
    straight = trained(plugin, recipe, before + after)
    whole, made = weights(straight), samples(straight)
    stopped = trained(plugin, recipe, before)
    state = written_and_read(stopped.state_dict())
    resumed = build_run(plugin, recipe)
    resumed.load_state_dict(written_and_read(stopped.state_dict()))
    steps(resumed, after)
    different = first_difference(whole, weights(resumed)) or first_difference(made, samples(resumed))
    assert not different, (
        f"resumed after {before} steps, {different} differs from a run without the stop; is all state in state_dict?"
    )
    straight.load_state_dict(state)
    steps(straight, after)
    different = first_difference(whole, weights(straight)) or first_difference(made, samples(straight))
    assert not different, (
        f"rolled back to step {before}, {different} differs; does load_state_dict restore an object that is in use?"
    )


def assert_sound(run: Run) -> None:
    """What the probe of a run found, and its last terms."""
    problems = probe_of(run).problems
    assert not problems, "; ".join(problems[:3])
    broken = [
        name for name, value in weights(run).items() if value.is_floating_point() and not bool(value.isfinite().all())
    ]
    assert not broken, f"{broken[0]} is not finite after {run.step} steps"
