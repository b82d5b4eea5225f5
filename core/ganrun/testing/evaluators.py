"""What an evaluator has to keep."""

from __future__ import annotations

import torch

from ganrun.testing.plugin import Plugin
from ganrun.testing.runs import build_run, first_difference, weights
from ganrun.training.run import Run
from ganrun.training.scoring import evaluate


def scores(run: Run) -> dict[str, float]:
    """The scores of the run's evaluators, as at the end of a run."""
    run.step = run.steps
    run.evaluation.forget_fakes()
    return evaluate(run)


def small(plugin: Plugin) -> Run:
    """A run that is not trained, with the evaluator on 64 samples."""
    recipe = {**plugin.recipe, "evaluators": [{plugin.name: {**plugin.example.parameters, "samples": 64}}]}
    return build_run(plugin, recipe)


def check_scores(plugin: Plugin) -> None:
    """It returns numbers by name; after nothing has changed, the same ones."""
    run = small(plugin)
    first, second = scores(run), scores(run)
    assert first, "no score"
    assert all(isinstance(name, str) and isinstance(value, float) for name, value in first.items()), (
        "scores map names to floats"
    )
    assert repr(first) == repr(second), "two evaluations in a row differ"


def check_leaves_training_alone(plugin: Plugin) -> None:
    """Weights, modes and torch's global generator are what they were."""
    run = small(plugin)
    modes = {name: module.training for name, module in run.engine.modules.items()}
    before, state = weights(run), torch.get_rng_state()
    scores(run)
    assert not first_difference(before, weights(run)), "the evaluation changes weights or buffers"
    assert torch.equal(state, torch.get_rng_state()), "the evaluation draws from torch's global generator"
    assert modes == {name: module.training for name, module in run.engine.modules.items()}, (
        "the evaluation changes the training mode of networks"
    )
