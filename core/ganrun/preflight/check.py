"""Checks before a long run: ``--check`` builds on torch's meta device, ``--dry-run`` tries everything once."""

from __future__ import annotations

import math
import re
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from ganrun.catalog.catalog import Catalog
from ganrun.data.file_check import check_files
from ganrun.data.reader import read_items
from ganrun.data.splits import datasets_described
from ganrun.distributed import Processes
from ganrun.errors import UserError
from ganrun.evaluation.least import too_few
from ganrun.evaluation.provenance import measure, named
from ganrun.experiment.experiment import Experiment
from ganrun.experiment.shapes import output
from ganrun.preflight.costs import MUCH, step_costs
from ganrun.progress import OPENING, message_if_slow, track
from ganrun.recipe import Recipe
from ganrun.recipe.places import placed, settings_placed
from ganrun.training import checkpoint
from ganrun.training.build import Diagnostic, RefusedError, build, label
from ganrun.training.finite import place_of
from ganrun.training.initial import start_from
from ganrun.training.run import Run
from ganrun.training.start import check_data
from ganrun.words.game import DiscriminatorOutput, Network

FILES_READ = 256  # that a check reads of those that are not known yet
_ROWS = 2  # samples in a forward that shows shapes
TIMED_STEPS, TIMED_SECONDS = 32, 5.0
_OPERATION = re.compile(r"^(\S+) does not have a deterministic implementation")


# --- check: nothing is allocated or trained -------------------------------------------------------------------


@dataclass(frozen=True)
class NetworkLine:
    """One network: its name, its part, how many numbers it learns, and what it turns into what."""

    name: str
    part: str
    parameters: int
    shapes: str


def check(recipe: Recipe) -> tuple[Experiment, list[NetworkLine]]:
    """Build a recipe without allocating networks, and send shapes through them.

    Raises:
        RefusedError: with every reason why this recipe cannot be trained.
    """
    with message_if_slow(OPENING):
        with settings_placed(recipe):
            processes = Processes(recipe.train.device, recipe.train.precision)
        dataset = datasets_described(recipe)
        experiment = build(recipe, dataset("train"), processes, meta=True)
    with placed(recipe, recipe.dataset.path, f"dataset.{recipe.dataset.name}"):
        check_files(dataset("train"), most=FILES_READ)
    lines, refusals = [], []
    with experiment.settings():
        for name, network in experiment.description.networks.items():
            part = recipe.networks[network.kind]
            module = experiment.modules[name]
            try:
                shapes = _shapes(part.kind, network, module)
            except (RuntimeError, ValueError, TypeError, AssertionError) as error:
                why = " ".join(str(error).split()) or type(error).__name__
                refusals.append(
                    Diagnostic(
                        f"{label(part)} as {name}", why, "choose a network, or parameters of it, that fit the data"
                    )
                )
                continue
            lines.append(NetworkLine(name, label(part), sum(p.numel() for p in module.parameters()), shapes))
    costs = step_costs(experiment)
    if (cost := math.prod(times for _, times in costs)) > MUCH:
        why = f"a step costs about {cost:.2g} times that of a plain one"
        experiment.warn(", ".join(name for name, _ in costs), why, "less of it, or --dry-run, which measures it")
    refusals += too_few(experiment, dataset)
    if refusals:
        raise RefusedError(refusals, recipe, experiment.description.networks)
    return experiment, lines


def _shapes(kind: str, network: Network, module: torch.nn.Module) -> str:
    """Input and output shapes of a network.

    Raises ValueError if they are not what was asked for.
    """
    wanted = network.interface
    takes = wanted.takes
    given = ", ".join(str(space) for space in wanted.given)
    arrow = f"{takes}{f' and {given}' if given else ''}{f', {wanted.pack} packed' if wanted.pack > 1 else ''} -> "
    out = output(module, wanted, _ROWS)
    if kind == "discriminator":
        if not isinstance(out, DiscriminatorOutput):
            raise ValueError(f"a discriminator returns a DiscriminatorOutput, this one returned a {type(out).__name__}")
        if out.logits.shape[:1] != (_ROWS,):
            raise ValueError(
                f"{_ROWS} samples gave logits of shape {tuple(out.logits.shape)}; the first axis must be the samples"
            )
        return f"{arrow}logits of shape {tuple(out.logits.shape[1:])}"
    if isinstance(out, Tensor) and wanted.makes is not None and tuple(out.shape[1:]) != wanted.makes.shape:
        raise ValueError(f"it makes shape {tuple(out.shape[1:])} where {wanted.makes} is asked for")
    return f"{arrow}{wanted.makes}"


# --- dry run: everything once, on real data -------------------------------------------------------------------


@dataclass
class Report:
    """What a dry run found. Times are in seconds, sizes in bytes.

    ``building_time``: data read, networks built. ``scores``: name of an evaluator -> its scores. ``once``: what its
    first evaluation took more than a later one, such as trained features, or those of real samples, which stay.
    ``not_finite``: where a number first was not finite, empty if none was. ``undetermined`` names operations torch
    calls non-deterministic.
    """

    phases: dict[str, int] = field(default_factory=dict)
    speed: float = 0.0
    timed_steps: int = 0
    memory: int = 0
    device: str = ""
    checkpoint_size: int = 0
    checkpoint_time: float = 0.0
    checkpoints: int = 0
    sampling_time: float = 0.0
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    building_time: float = 0.0
    evaluation_times: dict[str, float] = field(default_factory=dict)
    once: dict[str, float] = field(default_factory=dict)
    evaluations: dict[str, int] = field(default_factory=dict)
    steps: int = 0
    not_finite: str = ""
    undetermined: list[str] = field(default_factory=list)

    @property
    def duration(self) -> float:
        """The estimated length of the whole run in seconds."""
        evaluating = sum(seconds * self.evaluations[name] for name, seconds in self.evaluation_times.items())
        once = self.building_time + sum(self.once.values())
        return self.steps / self.speed + self.checkpoints * self.checkpoint_time + once + evaluating


def dry_run(recipe: Recipe, catalog: Catalog) -> Report:
    """Build everything, run every phase twice, save, restore, sample and evaluate once, in a folder that is removed.

    Raises:
        UserError: if a part does not come back from a checkpoint as it was.
    """
    report = Report()
    with tempfile.TemporaryDirectory(prefix="ganrun-") as folder:
        began = time.perf_counter()
        run = Run(recipe, catalog, Path(folder))
        check_data(run)
        report.building_time = time.perf_counter() - began
        if recipe.init is not None:
            start_from(run)
        report.device, report.steps = run.processes.device.type, run.steps
        with noted_operations(report.undetermined):
            _every_phase_twice(run, report)
        with message_if_slow("timing steps"):
            _measure_speed(run, report)
        report.not_finite = next(map(place_of, run.engine.watch.look()), "")
        _save_and_restore(run, report)
        _sample_and_evaluate(run, report)
        report.memory = peak_memory(run.processes.device)
    return report


def _every_phase_twice(run: Run, report: Report) -> None:
    """Run the steps in which some phase is due that did not have its two turns; a rare phase is not waited for."""
    report.phases = {phase.name: 0 for phase in run.experiment.phases}
    wanted = 2 * len(report.phases)
    for step in track(range(run.steps), "trying each phase twice, steps", min(run.steps, wanted)):
        due = [phase.name for phase in run.engine.due(step)]
        if any(report.phases[name] < 2 for name in due):
            run.engine.step(step)
            run.step += 1
            for name in due:
                report.phases[name] += 1
        if min(report.phases.values()) >= 2:
            break


def _measure_speed(run: Run, report: Report) -> None:
    """Time steps in a row, so that rare phases count as often as they come."""
    synchronise(run.processes.device)
    began = time.perf_counter()
    while report.timed_steps < TIMED_STEPS and (report.timed_steps < 2 or time.perf_counter() - began < TIMED_SECONDS):
        run.engine.step(report.timed_steps)
        synchronise(run.processes.device)
        report.timed_steps += 1
    report.speed = report.timed_steps / (time.perf_counter() - began)


def _save_and_restore(run: Run, report: Report) -> None:
    """Write and read a checkpoint, and hold what was restored against what was saved."""
    assert run.folder is not None
    before: dict[str, Tensor] = {}
    tree = checkpoint.flatten(run.state_dict(), before)
    began = time.perf_counter()
    path = checkpoint.write(run.folder / f"checkpoints-{run.processes.rank}", run.step, run.state_dict())
    report.checkpoint_time = time.perf_counter() - began
    report.checkpoint_size = sum(file.stat().st_size for file in path.iterdir())
    run.load_state_dict(checkpoint.read(path)[1])
    after: dict[str, Tensor] = {}
    same_tree = checkpoint.flatten(run.state_dict(), after) == tree
    wrong = [
        name
        for name in before
        if name not in after or not torch.equal(before[name].nan_to_num(), after[name].nan_to_num())
    ]
    if wrong or not same_tree:
        what = wrong[0].lstrip("/") if wrong else "a number or a text of the state"
        raise UserError(
            f"{what} does not come back from a checkpoint as it was saved, so a resumed run would not be the same; "
            "the state_dict and load_state_dict of that part must be inverses"
        )
    every = run.recipe.checkpoint.every
    if every.unit != "minutes":
        report.checkpoints = -(-run.steps // every.whole_steps(run.experiment.clock))


def _sample_and_evaluate(run: Run, report: Report) -> None:
    began = time.perf_counter()
    n, real = 64, None
    if run.experiment.description.conditional:
        n = min(8, len(run.dataset("test")))
        (real,) = read_items(run.dataset("test"), range(n), rows=n, key=("samples",))
    run.sample_maker.panels(n, real=real)
    synchronise(run.processes.device)
    report.sampling_time = time.perf_counter() - began
    for name, part, _ in named(run.evaluators):
        every = part.every.whole_steps(run.experiment.clock) if part.every is not None else run.steps
        report.evaluations[name] = -(-run.steps // every)
    report.evaluation_times = _evaluate(run, report)
    if any(count > 1 for count in report.evaluations.values()):
        first, report.evaluation_times = report.evaluation_times, _evaluate(run, report)
        report.once = {name: max(0.0, took - report.evaluation_times[name]) for name, took in first.items()}


def _evaluate(run: Run, report: Report) -> dict[str, float]:
    """Evaluate as a run does, all evaluators on the same samples. Returns the seconds of each."""
    run.evaluation.forget_fakes()
    run.evaluation.evaluators = [evaluator for _, evaluator in run.evaluators]
    took = {}
    for name, part, evaluator in named(run.evaluators):
        began = time.perf_counter()
        run.evaluation.prepare(part.part, evaluator)
        scores = measure(run.evaluation, name, part, evaluator, run.catalog).scores
        took[name] = time.perf_counter() - began
        report.scores[name] = {metric: float(value) for metric, value in scores.items()}
    return took


@contextmanager
def noted_operations(found: list[str]) -> Iterator[None]:
    """Collect the names of operations for which torch has no deterministic form on this device, each once."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
    for warning in caught:
        text = str(warning.message)
        match = _OPERATION.match(text)
        name = match[1] if match else text.partition(".")[0] if "deterministic" in text.lower() else ""
        if name and name not in found:
            found.append(name)
        elif not name:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)


def synchronise(device: torch.device) -> None:
    """Wait until a device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_memory(device: torch.device) -> int:
    """The most memory used so far, in bytes: allocated on a GPU, resident for a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
