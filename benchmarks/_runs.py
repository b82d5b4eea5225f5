"""What tables of several seeds share: each run is kept as a line of JSON, and rows are means with their spread.

A run is named by a dict of what identifies it (method, seed, steps, ...). Its line holds that and its scores; a run
whose line is there is not trained again, so a script that was stopped continues where it was when it is started again.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Line = dict[str, Any]


@dataclass(frozen=True)
class Method:
    """A row: what it adds to the configuration, what a step of it costs, and which part of the steps it is given.

    recipe: keys of a recipe. milliseconds: CPU time of a step, for estimates. share: of the other rows' steps.
    """

    recipe: Mapping[str, Any] = field(default_factory=dict)
    milliseconds: float = 0.0
    share: float = 1.0

    def steps(self, steps: int) -> int:
        """Its steps where the other rows take ``steps``."""
        return round(steps * self.share)

    def minutes(self, steps: int) -> float:
        """CPU minutes that a run of it takes, about."""
        return self.steps(steps) * self.milliseconds / 60_000


def parser(description: str | None, methods: Sequence[str], steps: str, out: str) -> argparse.ArgumentParser:
    """The options of all tables."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument(
        "--methods",
        nargs="*",
        default=list(methods),
        choices=list(methods),
        metavar="METHOD",
        help=f"rows: {'; '.join(methods)}",
    )
    made.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    made.add_argument("--steps", type=int, help=f"generator updates; {steps}. Unrolling takes its share of them")
    made.add_argument(
        "--set",
        dest="changes",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="changes of the recipe of every row",
    )
    made.add_argument(
        "--out", type=Path, default=Path(out), help=f"JSON lines; runs that are there are not repeated ({out})"
    )
    made.add_argument(
        "--estimate", action="store_true", help="print the CPU minutes that the runs not yet there will take, and stop"
    )
    made.add_argument("--table", action="store_true", help="print the table of what is there, and stop")
    return made


def kept(path: Path) -> list[Line]:
    """The lines of a file, none if it is not there. A last line that is incomplete is left out."""
    found = []
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            found.append(json.loads(text))
        except ValueError:
            print(f"{path}: a line that is no JSON is left out: {text[:60]}", file=sys.stderr)
    return found


def of(run: Line, lines: Sequence[Line]) -> Line | None:
    """The newest line of a run."""
    return next((line for line in reversed(lines) if all(line.get(key) == value for key, value in run.items())), None)


def collect(runs: Sequence[Line], train: Callable[[Line], Mapping[str, Any]], out: Path) -> None:
    """Train the runs that are not there, one after the other, and append a line for each as soon as it has ended."""
    for run in runs:
        if of(run, kept(out)):
            continue
        line = {**run, **train(run)}
        out.parent.mkdir(parents=True, exist_ok=True)
        incomplete = out.exists() and not out.read_bytes().endswith(b"\n") and out.stat().st_size > 0
        with out.open("a", encoding="utf-8") as file:
            file.write("\n" * incomplete + json.dumps(line) + "\n")
        print(json.dumps(line), file=sys.stderr, flush=True)


def trained(recipe: Mapping[str, Any], changes: Sequence[str]) -> tuple[Any, float]:
    """The ended run of a recipe, with one thread, and the CPU minutes it took.

    A run that was stopped ends the script.
    """
    import ganrun

    started = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        run = ganrun.run(recipe, ["train.threads=1", *changes], Path(folder) / "run")
    if run.step < run.steps:
        raise SystemExit(f"stopped at step {run.step} of {run.steps}: nothing is kept of this run")
    return run, (time.process_time() - started) / 60


def spread(values: Sequence[float], digits: int) -> str:
    """Mean and standard deviation; how many are infinite, if some are."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return "infinite" if values else "-"
    text = f"{statistics.mean(finite):.{digits}f}"
    if len(finite) > 1:
        text += f" +- {statistics.stdev(finite):.{digits}f}"
    return text if len(finite) == len(values) else f"{text} ({len(values) - len(finite)} infinite)"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
