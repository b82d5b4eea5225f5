"""Whether the files of a data set can be read: what an earlier look found, or a sample that is read now."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganrun.data.known_files import known_files, read_files
from ganrun.errors import some
from ganrun.experiment.diagnostics import Diagnostic, label
from ganrun.experiment.experiment import Experiment
from ganrun.progress import message_if_slow

SAMPLE = 64  # files that are read where not all are known


@dataclass(frozen=True)
class FilesLooked:
    """files: how many a data set reads. looked: how many of them are known or were read now. bad: file -> why not."""

    files: int
    looked: int
    bad: dict[Path, str]

    def words(self) -> str:
        """What was looked at, and whether all of it can be read."""
        if self.looked == self.files:
            return self._bad() if self.bad else f"all {self.files:,} can be read"
        sampled = f"{self.looked:,} of {self.files:,} were looked at"
        if self.bad:
            return f"{sampled}: {self._bad()}"
        return f"{sampled}, and can be read; `ganrun inspect` looks at all"

    def _bad(self) -> str:
        listed = some((f"{path.name} ({why})" for path, why in self.bad.items()), 3)
        return f"{len(self.bad):,} cannot be read: {listed}"


def files_looked(experiment: Experiment) -> FilesLooked | None:
    """What is known of the files of the training data, of an evenly spread sample where not all are known.

    None for data without files of their own. A second call reads nothing.
    """
    dataset: Any = experiment.dataset
    with message_if_slow("looking up the files of the data set"):
        paths: list[Path] = list(dict.fromkeys(getattr(dataset, "paths", ())))
        found = known_files(paths)
    if len(found) < len(paths):
        sample = [paths[number * len(paths) // SAMPLE] for number in range(SAMPLE)] if len(paths) > SAMPLE else paths
        found |= read_files([path for path in sample if path not in found], "looking at some pictures")[0]
    bad = {path: one.facts.error for path, one in found.items() if one.facts.error}
    return FilesLooked(len(paths), len(found), bad) if paths else None


def unreadable(experiment: Experiment) -> list[Diagnostic]:
    """A refusal if files of the training data are known to be unreadable."""
    looked = files_looked(experiment)
    if looked is None or not looked.bad:
        return []
    cure = "repair or remove them; `ganrun inspect` of the recipe or the folder lists all"
    return [Diagnostic(label(experiment.recipe.dataset), looked.words(), cure)]
