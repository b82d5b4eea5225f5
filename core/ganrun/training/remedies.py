"""What could help: tricks say which problems they are a remedy for, and only those that fit a recipe are offered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from ganrun.distributed import DTYPES
from ganrun.errors import PluginError
from ganrun.experiment.capabilities import check_capabilities
from ganrun.experiment.experiment import Experiment
from ganrun.recipe import Part, Recipe
from ganrun.recipe.nodes import DEFAULT, from_plain
from ganrun.recipe.validate import Validator
from ganrun.training.build import build

if TYPE_CHECKING:
    from ganrun.catalog.catalog import Catalog
    from ganrun.training.run import Run

# The names that shipped tricks use in ``remedies``. Others may use more: a name that is not here is looked up just the
# same.
PROBLEMS = {
    "mode-collapse": "the samples are all alike, or of few kinds",
    "missing-diversity": "the samples differ less than the data",
    "oscillation": "the samples move from one kind to another and back, and do not settle",
    "saturated-discriminator": "the discriminator is nearly always right, and sure of it",
    "vanishing-gradient": "the generator's gradient is too small to learn from",
    "overfitting-discriminator": "the discriminator knows its training samples, and not others like them",
    "overfitting-generator": "the samples are copies of training samples",
    "exploding": "weights, gradients or losses grow without bounds",
    "bad-start": "training does not get going",
}


def knows(problem: str) -> bool:
    """Whether a problem is one of those that remedies are commonly declared for."""
    return problem in PROBLEMS


def remedies_for(run: Run, problem: str) -> list[str]:
    """Names of installed tricks that could be added to this run's recipe, with their defaults, against a problem.

    Each was built together with the recipe on torch's meta device: none that is refused, needs parameters, is broken,
    or is in the recipe already. Those that bring no new warning come first; each group is sorted by name. The run is
    left alone.
    """
    with undisturbed(run):
        before = tried(run, run.recipe)
        if before is None:
            return []
        known = {str(warning) for warning in before.warnings}
        found = []
        for name in candidates(run, problem):
            part = default_part(run.catalog, name)
            built = tried(run, replace(run.recipe, tricks=[*run.recipe.tricks, part])) if part is not None else None
            if built is not None:
                doubtful = any(str(warning) not in known for warning in built.warnings)
                found.append((doubtful, name))
    return [name for _, name in sorted(found)]


def candidates(run: Run, problem: str) -> Iterator[str]:
    """The tricks that declare a problem and that the run does not have; what cannot be imported is passed over."""
    used = {part.name for part in run.recipe.tricks}
    for name in run.catalog.names("trick"):
        if name in used:
            continue
        try:
            component = run.catalog.load("trick", name)
        except PluginError:
            continue
        declared = getattr(component.factory, "remedies", ())
        if isinstance(declared, set | frozenset | list | tuple) and problem in declared:
            yield name


def default_part(catalog: Catalog, name: str) -> Part | None:
    """A trick with its default parameters, None if some have to be given."""
    return Validator(catalog).part(from_plain({name: {}}, DEFAULT), "trick", ("tricks", name))


def tried(run: Run, recipe: Recipe) -> Experiment | None:
    """The experiment of a changed recipe, on meta; None if it is refused or fails.

    Evaluators and observers are not made again, which could load large networks; those of the run say what they stand.
    """
    try:
        experiment = build(
            replace(recipe, evaluators=[], observers=[]),
            run.experiment.dataset,
            run.processes,
            meta=True,
            data=run.dataset,
        )
        watching = replace(experiment, evaluators=run.experiment.evaluators, observers=run.experiment.observers)
        return None if check_capabilities(watching, {}) else watching
    except Exception:  # refused; or a plugin raised anything else, which must not end the run
        return None


@contextmanager
def undisturbed(run: Run) -> Iterator[None]:
    """Put torch's random numbers and default type back afterwards; in between the type is that of the run."""
    dtype, device = torch.get_default_dtype(), run.processes.device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), torch.enable_grad():
        torch.set_default_dtype(DTYPES[run.recipe.train.precision])
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)
