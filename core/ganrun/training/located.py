"""Where a run is: a folder, a model on the hub (``hf://user/name``), or a zip file."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from ganrun.errors import UserError
from ganrun.paths import expanded
from ganrun.training.archive import unpacked
from ganrun.training.hub import cached

HUB = re.compile(r"hf:/{1,2}(?P<name>[^/].*)")  # a Path has made one slash of two


def located(run: str | Path) -> Path:
    """The folder of a run; of one on the hub or in a zip file, that of its copy in the data cache.

    Raises:
        UserError: for a file that is no zip file of a run, a name that is not on the hub, or a hub out of reach.
    """
    if match := HUB.fullmatch(str(run)):
        return cached(match["name"])
    path = expanded(run)
    if not path.is_file():
        return Path(run)
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path} is neither the folder of a run nor a zip file of `ganrun pack`")
    return unpacked(path)


def is_on_hub(run: str | Path) -> bool:
    """Whether a run is named as one on the hub."""
    return HUB.fullmatch(str(run)) is not None


def is_copy(run: str | Path) -> bool:
    """Whether a run is opened from a copy, beside which nothing of a user's is written."""
    return is_on_hub(run) or expanded(run).is_file()


def place_for(run: str | Path, name: str) -> Path:
    """Where what is made of a run goes by default: into its folder, or the working directory if that is a copy."""
    if not is_copy(run):
        return expanded(run) / name
    stem = re.split(r"[/@]", HUB.fullmatch(str(run))["name"])[1] if HUB.fullmatch(str(run)) else Path(run).stem  # type: ignore[index]
    return Path(f"{stem}-{name}")
