"""What an evaluator has to keep."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

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


class _First:
    """The first items of a data set."""

    def __init__(self, data: Any, n: int) -> None:
        self._data, self._n = data, n

    def __len__(self) -> int:
        return self._n

    def __getattr__(self, name: str) -> Any:
        return getattr(self._data, name)


def check_scores_the_least(plugin: Plugin) -> None:
    """It scores as few samples as it says it takes (``least``; else one): with fewer a recipe is refused."""
    run = small(plugin)
    (evaluator,) = run.experiment.evaluators
    least: dict[str, int] = {}
    for needs in getattr(evaluator, "least", ()):
        least[needs.of] = max(needs.n, least.get(needs.of, 1))
    splits = {split: run.dataset(split) for split in ("train", "test")}
    few: dict[str, Any] = {split: _First(data, least.get(split, 1)) for split, data in splits.items()}
    run.evaluation.dataset = few.__getitem__
    conditional = run.experiment.description.conditional
    few["test"] = _First(splits["test"], max(len(few["test"]), least.get("fake", 1) if conditional else 1))
    (part,) = run.recipe.evaluators
    run.recipe = replace(run.recipe, evaluators=[replace(part, samples=least.get("fake", 1))])
    run.evaluators = [(run.recipe.evaluators[0], evaluator)]
    assert scores(run), "no score"


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
