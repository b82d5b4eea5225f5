"""Running the evaluators of a run when they are due."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ganrun.evaluation.provenance import keep, measure, named
from ganrun.recipe import EvaluatorPart

if TYPE_CHECKING:
    from ganrun.training.run import Run


def prepare(run: Run) -> None:
    """Have what the evaluators of a run need besides samples, such as trained classifiers."""
    for part, evaluator in run.evaluators:
        run.evaluation.prepare(part.part, evaluator)


def due(run: Run) -> list[tuple[str, EvaluatorPart, Any]]:
    """The evaluators due at this step of a run, with their names."""
    found = []
    for name, part, evaluator in named(run.evaluators):
        every = part.every.whole_steps(run.experiment.clock) if part.every is not None else 0
        if run.step == run.steps or (every and run.step % every == 0):
            found.append((name, part, evaluator))
    return found


def evaluate(run: Run) -> dict[str, float]:
    """Run the due evaluators and keep their scores with the run: name -> value, empty if none is due."""
    scores: dict[str, float] = {}
    run.evaluation.step = run.step
    now = due(run)
    run.evaluation.evaluators = [evaluator for _, _, evaluator in now]
    for name, part, evaluator in now:
        found = measure(run.evaluation, name, part, evaluator, run.catalog)
        scores |= {score: float(value) for score, value in found.scores.items()}
        if run.folder is not None:
            keep(run.folder, found)
    return scores
