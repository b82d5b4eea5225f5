"""What a run's folder says of the run, read without torch: of one that goes on still, broke off, or was copied here.

What is damaged or was left out is passed over, and said in ``damaged``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from ganrun import jsonl
from ganrun.errors import UserError

PICTURE = re.compile(r"step-(\d+)\.png")
LONGEST = 600  # points of a curve


@dataclass(frozen=True)
class Curve:
    """A number over the steps of a run, gaps where it was not finite. low, high: its 95% interval, empty for none."""

    name: str
    steps: list[int]
    values: list[float | None]
    low: list[float | None] = field(default_factory=list)
    high: list[float | None] = field(default_factory=list)

    @property
    def last(self) -> float | None:
        """The newest value that is a number."""
        return next((value for value in reversed(self.values) if value is not None), None)


@dataclass(frozen=True)
class Record:
    """A run as its folder tells it.

    steps: how many it is to have. step: the newest that anything was written at. losses, rates, notes, scores: curves
    by name. findings: lines of ``health.jsonl``. pictures: step -> file. damaged: what could not be read, and why.
    """

    folder: Path
    recipe: Mapping[str, Any]
    text: str
    versions: Mapping[str, Any]
    step: int
    steps: int | None
    seconds: float
    losses: list[Curve]
    rates: list[Curve]
    notes: list[Curve]
    scores: list[Curve]
    findings: list[dict[str, Any]]
    pictures: dict[int, Path]
    checkpoints: list[int]
    damaged: list[str]

    @property
    def state(self) -> str:
        """How it stands, in words."""
        if self.steps is None:
            return f"at step {self.step:,}"
        if self.step >= self.steps:
            return f"finished: {self.steps:,} steps"
        return f"step {self.step:,} of {self.steps:,}: going on, or broken off"


def read_record(folder: Path) -> Record:
    """Read a run's folder. Raises UserError if it holds no run."""
    file = folder / "recipe.yaml"
    if not file.is_file():
        what = "holds no run (it has no recipe.yaml)" if folder.is_dir() else "is not there"
        raise UserError(f"{folder} {what}; give the folder that `ganrun recipe` printed, such as runs/dcgan_digits")
    damaged: list[str] = []
    text = _text(file, damaged)
    recipe = _mapping(text, file, damaged)
    metrics = _lines(folder / "metrics.jsonl", damaged)
    evaluations = _lines(folder / "evaluations.jsonl", damaged)
    findings = _lines(folder / "health.jsonl", damaged)
    pictures = _numbered(folder / "samples")
    checkpoints = sorted(
        int(path.name[5:]) for path in _listed(folder / "checkpoints") if re.fullmatch(r"step-\d+", path.name)
    )
    curves = _curves(metrics)
    scores = _scores(evaluations)
    measured = {curve.name for curve in scores}
    step = max([line["step"] for line in (*metrics, *evaluations)] + [*pictures, *checkpoints, 0])
    return Record(
        folder,
        recipe,
        text,
        _versions(folder / "versions.json", damaged),
        step,
        _steps(recipe),
        _seconds(metrics),
        [curve for curve in curves if "/" in curve.name and not curve.name.startswith("rate/")],
        [curve for curve in curves if curve.name.startswith("rate/")],
        [curve for curve in curves if "/" not in curve.name and curve.name not in measured],
        scores,
        [line for line in findings if "finding" in line or "gone" in line],
        pictures,
        checkpoints,
        damaged,
    )


def thinned(curve: Curve, most: int = LONGEST) -> Curve:
    """A curve of at most so many points: of each stretch the least and the greatest value, so that no peak is lost."""
    count = len(curve.steps)
    if count <= most:
        return curve
    kept: set[int] = {0, count - 1}
    size = math.ceil(2 * count / most)
    for start in range(0, count, size):
        numbers = [(value, i) for i in range(start, min(start + size, count)) if (value := curve.values[i]) is not None]
        kept |= {min(numbers)[1], max(numbers)[1]} if numbers else {start}
    places = sorted(kept)

    def of(values: Sequence[Any]) -> list[Any]:
        return [values[i] for i in places] if values else []

    return Curve(curve.name, of(curve.steps), of(curve.values), of(curve.low), of(curve.high))


def _curves(lines: list[dict[str, Any]]) -> list[Curve]:
    found: dict[str, Curve] = {}
    for line in lines:
        for name, value in line.items():
            if name in ("step", "time") or isinstance(value, str | bool | list | dict):
                continue
            curve = found.setdefault(name, Curve(name, [], []))
            curve.steps.append(int(line["step"]))
            curve.values.append(_number(value))
    return list(found.values())


def _scores(lines: list[dict[str, Any]]) -> list[Curve]:
    found: dict[str, Curve] = {}
    for line in lines:
        for name, score in line.get("scores", {}).items():
            if isinstance(score, dict):
                curve = found.setdefault(name, Curve(name, [], [], [], []))
                curve.steps.append(int(line["step"]))
                for values, key in ((curve.values, "value"), (curve.low, "low"), (curve.high, "high")):
                    values.append(_number(score.get(key)))
    return list(found.values())


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _steps(recipe: Mapping[str, Any]) -> int | None:
    """The steps of a run whose recipe says them as a number; None for epochs and images."""
    steps = (recipe.get("train") or {}).get("steps")
    return steps if isinstance(steps, int) else None


def _seconds(lines: list[dict[str, Any]]) -> float:
    """From the first to the newest line, breaks of more than ten times the usual distance left out."""
    times = [float(line["time"]) for line in lines if isinstance(line.get("time"), int | float)]
    apart = sorted(b - a for a, b in pairwise(times) if b > a)
    usual = apart[len(apart) // 2] if apart else 0.0
    return sum(gap for gap in apart if gap <= 10 * usual)


def _lines(path: Path, damaged: list[str]) -> list[dict[str, Any]]:
    try:
        return [line for line in jsonl.read(path) if isinstance(line.get("step"), int)]
    except (OSError, ValueError, UserError) as error:
        damaged.append(f"{path.name}: {' '.join(str(error).split())[:120]}")
        return []


def _text(path: Path, damaged: list[str]) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        damaged.append(f"{path.name}: {error}")
        return ""


def _mapping(text: str, path: Path, damaged: list[str]) -> Mapping[str, Any]:
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        damaged.append(f"{path.name}: {' '.join(str(error).split())[:120]}")
        return {}
    return found if isinstance(found, Mapping) else {}


def _versions(path: Path, damaged: list[str]) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_text()) if path.is_file() else {}
    except (OSError, ValueError) as error:
        damaged.append(f"{path.name}: {' '.join(str(error).split())[:120]}")
        return {}
    return found if isinstance(found, Mapping) else {}


def _numbered(folder: Path) -> dict[int, Path]:
    """Step -> picture, sorted."""
    found = {int(match[1]): path for path in _listed(folder) if (match := PICTURE.fullmatch(path.name))}
    return dict(sorted(found.items()))


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir()) if folder.is_dir() else []
    except OSError:
        return []
