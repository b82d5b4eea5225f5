"""What ``ganrun recipe --check`` and ``--dry-run`` print, as rows of a table."""

from __future__ import annotations

import math

from ganrun.catalog.catalog import Catalog
from ganrun.cli.output import counted
from ganrun.data.labels import label_counts
from ganrun.errors import some
from ganrun.experiment.experiment import Experiment
from ganrun.preflight import check as preflight
from ganrun.preflight import costs
from ganrun.preflight.known import files_read
from ganrun.recipe import Recipe
from ganrun.training.initial import started
from ganrun.words.game import Phase

Rows = list[tuple[str, str]]


def check(recipe: Recipe) -> Rows:
    """Classes with counts, files, networks with sizes and shapes, players, games with their losses, phases, warnings.

    Raises RefusedError for a recipe that cannot be trained.
    """
    experiment, networks = preflight.check(recipe)
    rows = [("recipe", headline(recipe, experiment))]
    rows += [
        (f"network {n.name}", f"{n.part.partition(' ')[2]}, {n.parameters:,} parameters: {n.shapes}") for n in networks
    ]
    rows += [(f"data, {entry}", words) for entry, words in label_counts(experiment.dataset).items()]
    if read := files_read(experiment.dataset):
        rows.append(("data, files", read))
    for name, player in experiment.players.items():
        optimizer = recipe.players[name].optimizer
        size = sum(p.numel() for p in experiment.parameters(player))
        rows.append((f"player {name}", f"{optimizer.name}, {size:,} parameters of {', '.join(player.modules)}"))
        if frozen := experiment.frozen.get(name):
            kept = sum(p.numel() for p in frozen.parameters)
            when = "" if frozen.until is None else f" before step {frozen.until + 1}"
            rows.append((f"frozen of {name}", f"{kept:,} parameters, not trained{when}: {some(frozen.names)}"))
    for game in experiment.games:
        loss = experiment.loss_parts[game.name if game.name in experiment.loss_parts else ""]
        sides = f"{game.player} against {', '.join(game.against) or 'nobody'}"
        rows.append((f"game {game.name}", f"{loss.name}, {sides}, judged by {game.discriminator}"))
    rows.append(("phases of a step", ", ".join(_phase(phase) for phase in experiment.phases)))
    if longer := costs.step_costs(experiment):
        by = ", ".join(f"{name} {times:.2g}" for name, times in longer)
        cost = math.prod(times for _, times in longer)
        rows.append(("cost of a step", f"about {cost:.2g} times that of a plain one: {by}"))
    rows += [(f"before step 1, {name}", words) for name, words in costs.preparations(experiment).items()]
    rows += [("before step 1", line.strip()) for line in started(experiment).lines]
    rows += [("warning", " ".join(str(warning).split())) for warning in experiment.warnings]
    return [*rows, ("problems", "none")]


def headline(recipe: Recipe, experiment: Experiment) -> str:
    """What is trained on what, how long."""
    clock = experiment.clock
    return (
        f"{recipe.variant.name} on {recipe.dataset.name} ({counted(clock.dataset, 'item')}), "
        f"{counted(clock.total, 'step')} of {counted(clock.batch, 'sample')}"
    )


def _phase(phase: Phase) -> str:
    often = f" x {phase.repeats}" if phase.repeats > 1 else ""
    return f"{phase.name}{often}" + (f" every {phase.every} steps" if phase.every > 1 else "")


def dry_run(recipe: Recipe, catalog: Catalog) -> Rows:
    """What was tried, how it went, and how long the whole run will take."""
    found = preflight.dry_run(recipe, catalog)
    never = [name for name, count in found.phases.items() if count == 0]
    rows = [("phases", ", ".join(f"{name} x {count}" for name, count in found.phases.items() if count))]
    rows += [("not finite", found.not_finite)] if found.not_finite else []
    rows += [("phases never due", f"{', '.join(never)}, in {counted(found.steps, 'step')}")] if never else []
    rows += [
        ("speed", f"{found.speed:.4g} steps per second, over {found.timed_steps} steps"),
        ("peak memory", f"{size(found.memory)} {'on the GPU' if found.device == 'cuda' else 'of the whole process'}"),
        (
            "checkpoint",
            f"{size(found.checkpoint_size)}, written in {seconds(found.checkpoint_time)}, restored to the same bits",
        ),
        ("samples", f"made in {seconds(found.sampling_time)}"),
    ]
    for name, took in found.evaluation_times.items():
        scores = ", ".join(f"{metric} {value:.4g}" for metric, value in found.scores[name].items())
        rows.append((f"evaluator {name}", f"{scores} (of untrained networks), in {seconds(took)}"))
    rows.append(("whole run", f"about {seconds(found.duration)}: {_shares(found)}"))
    names = ", ".join(found.undetermined)
    verdict = f"{names}: a resumed run may differ in the last bits" if names else f"nothing on this {found.device}"
    return [*rows, ("not deterministic", verdict)]


def _shares(found: preflight.Report) -> str:
    parts = [f"{counted(found.steps, 'step')} {seconds(found.steps / found.speed)}"]
    parts.append(f"data and networks {seconds(found.building_time)}")
    parts += [f"{name} once {seconds(took)}" for name, took in found.once.items() if took > found.duration / 100]
    if found.checkpoints:
        took = seconds(found.checkpoints * found.checkpoint_time)
        parts.append(f"{counted(found.checkpoints, 'checkpoint')} {took}")
    for name, each in found.evaluation_times.items():
        parts.append(f"{found.evaluations[name]} x {name} {seconds(each * found.evaluations[name])}")
    return ", ".join(parts)


def size(count: float) -> str:
    """A number of bytes with a unit."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.4g} {unit}"
        count /= 1000
    return f"{count:.4g} GB"


def seconds(value: float) -> str:
    """A duration with a unit."""
    if value < 60:
        return f"{value:.2g} s"
    minutes = value / 60
    return f"{minutes:.3g} min" if minutes < 120 else f"{minutes / 60:.3g} h"
