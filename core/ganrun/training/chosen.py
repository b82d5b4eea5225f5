"""Which checkpoint of a run is opened: the newest that can be, the best one, or that of a step."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ganrun.errors import UserError
from ganrun.training import checkpoint
from ganrun.training.checkpoints import Checkpoints


def chosen(folder: Path, which: str) -> Path | None:
    """The checkpoint that ``best`` or the number of a step names in the folder of a run; None for ``last``.

    Raises:
        UserError: for anything else, and if there is no such checkpoint, naming those that are there.
    """
    if which == "last":
        return None
    listed = dict(checkpoint.listing(folder / "checkpoints"))
    there = ", ".join(map(str, listed)) or "none"
    if which == "best":
        best = Checkpoints(folder / "checkpoints").best
        if best is None:
            asked = "checkpoint: {best: {evaluator: NAME, mode: min}}"
            raise UserError(f"{folder} has no best checkpoint; a recipe asks for one with {asked}")
        step = best["step"]
        if step not in listed:
            raise UserError(f"{folder} has lost its best checkpoint, that of step {step}; there are {there}")
        return listed[step]
    step = int(which) if re.fullmatch("[0-9]{1,18}", which) else -1
    if step not in listed:
        raise UserError(f"{folder} has no checkpoint {which!r}; write last, best, or a step that is kept: {there}")
    return listed[step]


def load_checkpoint(folder: Path, path: Path | None, load: Callable[[dict[str, Any]], None]) -> int:
    """Load a checkpoint of a run, by default the newest that can be loaded. Returns its step.

    Raises:
        CheckpointError: if it cannot be read, or does not fit.
    """
    place = folder / "checkpoints"
    if path is None:
        _, step, _, damaged = checkpoint.load_newest(place, load)
        for line in damaged:
            warnings.warn(f"{line}; an older one is used", stacklevel=3)
        return step
    try:
        step, state = checkpoint.read(path)
        load(state)
        return step
    except checkpoint.CheckpointError as error:
        others = ", ".join(str(step) for step, other in checkpoint.listing(place) if other != path)
        raise checkpoint.CheckpointError(
            f"{error}; ask for another one: last{f', or one of {others}' if others else ''}"
        ) from error
