"""The checkpoints of a run's folder as observers see them: which there are, which stays, which is the best."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganrun import files
from ganrun.training import checkpoint
from ganrun.training.stored import StoredBest, checked

BEST = "best.json"


class Checkpoints:
    """What lies in the folder ``checkpoints`` of a run. A run without a folder has none."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def steps(self) -> list[int]:
        """The steps that have a checkpoint, oldest first."""
        return [] if self._folder is None else [step for step, _ in checkpoint.listing(self._folder)]

    @property
    def newest(self) -> Path | None:
        """The folder of the newest checkpoint, None if there is none."""
        listed = [] if self._folder is None else checkpoint.listing(self._folder)
        return listed[-1][1] if listed else None

    @property
    def best(self) -> dict[str, Any] | None:
        """What was marked as the best: ``step``, ``metric`` and ``value``; None if nothing was.

        Raises CheckpointError if the mark is damaged.
        """
        if self._folder is None or not (self._folder / BEST).exists():
            return None
        try:
            return checked(StoredBest, files.read_json(self._folder / BEST))
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise checkpoint.CheckpointError(
                f"{self._folder / BEST} is damaged: {why}; ask for a step instead"
            ) from error

    def mark_best(self, best: Mapping[str, Any] | None) -> None:
        """Mark the checkpoint of ``best["step"]`` as the best one, or none. The mark is written as a whole."""
        assert self._folder is not None, "a run without a folder keeps no checkpoint"
        if best is None:
            (self._folder / BEST).unlink(missing_ok=True)
            return
        files.write(files.below(self._folder.parent, f"{self._folder.name}/{BEST}"), json.dumps(best) + "\n")

    def prune(self, keep: int, protect: set[int]) -> None:
        """Remove all but the newest ``keep`` and those of the steps in ``protect``."""
        if self._folder is not None:
            checkpoint.prune(self._folder, keep, protect)
