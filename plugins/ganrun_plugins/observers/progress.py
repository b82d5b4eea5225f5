"""Shows how a run goes: step, speed, time left, losses, scores and the newest picture.

A live table on a terminal, plain lines elsewhere: the first step, one every few seconds, the last. The losses shown are
the sums of each game's terms in each phase, and the variant's own terms, before weighting. Only the main process
prints.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator
from typing import Annotated, Any

import torch
from pydantic import Field

from ganrun.plugin import Component, Run, hookimpl

REFRESH = 0.5  # seconds between two updates of the live table


class Progress:
    """Reads the losses on a stride of the clock, because reading them waits for the device."""

    def __init__(
        self, *, seconds: Annotated[float, Field(gt=0, description="time between two plain lines")] = 10.0
    ) -> None:
        self.seconds = seconds
        self._live: Any = None
        self._began = self._next = 0.0
        self._first = 0
        self._marks: list[tuple[float, int]] = []
        self._scores: dict[str, float] = {}

    @hookimpl(tryfirst=True)
    def run_start(self, run: Run) -> None:
        if not run.is_main:
            return
        self._began = time.monotonic()
        self._count_from(run)
        for warning in run.experiment.warnings:
            print(f"warning: {warning}", flush=True)
        print(headline(run), flush=True)
        self._live = live_display()

    def _count_from(self, run: Run) -> None:
        """Measure the speed from here on, and show the next step."""
        self._first = run.step
        self._marks = [(time.monotonic(), run.step)]
        self._next = 0.0

    @hookimpl(tryfirst=True)
    def rolled_back(self, run: Run) -> None:
        if not run.is_main:
            return
        self._count_from(run)
        self._scores = {}
        back = run.rollbacks[-1]
        print(
            f"rolled back from step {back['from']} to {back['to']}: {back['reason']}; attempt {back['attempt']}",
            flush=True,
        )

    @hookimpl
    def evaluate(self, run: Run, scores: dict[str, float]) -> None:
        self._scores.update(scores)

    @hookimpl(trylast=True)
    def step_end(self, run: Run) -> None:
        """Comes last, so that it sees the picture of this step."""
        if not run.is_main:
            return
        now = time.monotonic()
        if now < self._next and run.step < run.steps:
            return
        self._marks = [*self._marks[-9:], (now, run.step)]
        if self._live is not None:
            self._live.update(table(run, self._speed(), self._left(run)), refresh=True)
        else:
            print(self._line(run), flush=True)
        # the second line comes soon, so that the speed is known early
        soon = min(2.0, self.seconds) if run.step == self._first + 1 else self.seconds
        self._next = now + (soon if self._live is None else REFRESH)

    @hookimpl(trylast=True)
    def run_closed(self, run: Run, reason: str) -> None:
        """Print how it ended, where everything is, and how to continue."""
        if not run.is_main:
            return
        if self._live is not None:
            self._live.stop()
            self._live = None
        took = clock(time.monotonic() - self._began)
        done = (
            f"{reason} after {run.step} of {run.steps} steps"
            if run.step < run.steps
            else f"{reason}: {run.steps} steps"
        )
        print("\n".join([f"{done}, {took}", *places(run), *self._how_to_resume(run, reason)]), flush=True)

    def _how_to_resume(self, run: Run, reason: str) -> list[str]:
        if run.step >= run.steps and reason != "failed":
            return []
        when = "once the error below is mended, " if reason == "failed" else ""
        if run.checkpoints.newest is None:
            return [f"  no checkpoint was written yet; {when}start it again with: {run.resume_command}"]
        return [f"  {when}continue with: {run.resume_command}"]

    def _speed(self) -> float:
        """Steps a second over the last few updates; 0 while unknown. The first step, which warms up, does not count."""
        marks = [mark for mark in self._marks if mark[1] > self._first]
        if len(marks) < 2 or marks[-1][0] <= marks[0][0]:
            return 0.0
        return (marks[-1][1] - marks[0][1]) / (marks[-1][0] - marks[0][0])

    def _left(self, run: Run) -> str:
        speed = self._speed()
        return clock((run.steps - run.step) / speed) if speed else ""

    def _line(self, run: Run) -> str:
        width = len(str(run.steps))
        parts = [f"step {run.step:>{width}}/{run.steps}"]
        if speed := self._speed():
            parts.append(f"{plain(speed)} steps/s")
            parts += [f"{self._left(run)} left"] if run.step < run.steps else []
        for phase, games in losses(run.metrics()).items():
            parts.append(" ".join([phase, *(_loss(name, value) for name, value in games.items())]))
        parts += [f"{name} {plain(value)}" for name, value in main_scores(self._scores).items()]
        self._scores = {}
        if run.newest_picture is not None and run.newest_picture.stem.endswith(f"{run.step:07d}"):
            parts.append(str(run.newest_picture))
        return "  ".join(parts)


def losses(metrics: dict[str, float]) -> dict[str, dict[str, float]]:
    """What matters of ``phase/game.role`` terms: phase -> game, or the name of a term -> the sum of its terms.

    Where a phase has one game and nothing else, its name is "".
    """
    sums: dict[str, dict[str, float]] = {}
    for name, value in metrics.items():
        phase, _, term = name.partition("/")
        game = term.partition(".")[0]
        sums.setdefault(phase, {})
        sums[phase][game] = sums[phase].get(game, 0.0) + value
    return {phase: {"": next(iter(games.values()))} if len(games) == 1 else games for phase, games in sums.items()}


def _loss(name: str, value: float) -> str:
    return f"{name} {plain(value)}".lstrip()


def main_scores(scores: dict[str, float]) -> dict[str, float]:
    """The first metric of each evaluator: the one it is about."""
    found: dict[str, str] = {}
    for name in scores:
        found.setdefault(re.split(r"[.\[]", name)[0], name)
    return {name: scores[name] for name in found.values()}


def headline(run: Run) -> str:
    """One line: what is trained on what, from which step on, and where it goes."""
    recipe, experiment = run.recipe, run.experiment
    sizes = ", ".join(
        f"{name} {sum(p.numel() for p in module.parameters()):,}" for name, module in experiment.modules.items()
    )
    start = f"resumed at step {run.step}; " if run.resumed_from is not None else ""
    kind, threads = run.processes.device.type, torch.get_num_threads()
    device = f"{kind}{f' x {run.processes.world}' if run.processes.world > 1 else ''}"
    if kind == "cpu":  # their number decides how sums round
        device += f" ({threads} thread{'s' if threads > 1 else ''}{' each' if run.processes.world > 1 else ''})"
    data = f"{recipe.dataset.name} ({len(experiment.dataset):,} items)"
    return f"{recipe.variant.name} on {data}, {start}{run.steps:,} steps on {device}; parameters: {sizes}"


def places(run: Run) -> list[str]:
    """Where everything of a run is, its latest scores, and of which weights they are if not of the trained ones."""
    found = [f"  {name}: {plain(value)}" for name, value in run.scores.items()]
    if run.newest_picture is not None:
        found.append(f"  newest picture: {run.newest_picture}")
    if found and (caption := run.sample_maker.caption()):
        found.append(f"  {caption.replace('weights', 'weights of samples and scores', 1)}")
    if newest := run.checkpoints.newest:
        found.append(f"  newest checkpoint: {newest}")
    metrics = None if run.folder is None else run.folder / "metrics.jsonl"
    return [*found, f"  metrics: {metrics}"] if metrics is not None and metrics.exists() else found


def plain(value: float) -> str:
    """A number as people read it: four significant digits."""
    return f"{value:.4g}"


def clock(seconds: float) -> str:
    """``0:07``, ``3:31`` or ``2:03:31``."""
    if not math.isfinite(seconds):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def live_display() -> Any:
    """A started live display on standard output, None if that is no terminal."""
    from rich.console import Console
    from rich.live import Live

    console = Console()
    if not console.is_terminal or console.is_dumb_terminal:
        return None
    live = Live(console=console, auto_refresh=False)
    live.start()
    return live


def table(run: Run, speed: float, left: str) -> Any:
    """The live table: a bar, then losses and scores, then notices, then the newest picture."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    head = Table.grid(padding=(0, 2))
    pace = [f"{plain(speed)} steps/s", f"{left} left" if run.step < run.steps else ""] if speed else []
    head.add_row(f"step {run.step}/{run.steps}", ProgressBar(total=run.steps, completed=run.step, width=40), *pace)
    body = Table.grid(padding=(0, 2))
    for phase, games in losses(run.metrics()).items():
        for name, value in games.items():
            body.add_row(
                Text(f"  {phase} {name}"), Text(plain(value), style="" if math.isfinite(value) else "bold red")
            )
    for name, value in main_scores(run.scores).items():
        body.add_row(Text(f"  {name}", style="bold"), Text(plain(value), style="bold"))
    notices = [Text(f"  {name}: {line}", style="yellow") for name, line in run.notices.items()]
    picture = [Text(f"  {run.newest_picture}")] if run.newest_picture is not None else []
    return Group(head, body, *notices, *picture)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("observer", "progress", Progress)
