"""Features of real data on disk, so that they are computed once for all runs on the same data.

A file's name is a fingerprint of everything that decides its content: data, split, entry, rows, quantisation, extractor
and the format's version. Deleting the folder loses nothing but time.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from ganrun.data.locks import written_whole
from ganrun.data.reader import fingerprint
from ganrun.errors import UserError

_FORMAT = 1


class FeatureStore:
    """Tensors by key in a folder.

    A file is there whole or not at all, and one that cannot be read counts as not there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: Mapping[str, Any], what: str) -> Path:
        """The file of a key: ``what`` is ``features``, ``logits`` or ``statistics``."""
        return self.folder / f"{fingerprint(_FORMAT, sorted(key.items()))}.{what}.safetensors"

    def read(self, key: Mapping[str, Any], what: str) -> dict[str, Tensor] | None:
        """What was kept, None if nothing was."""
        try:
            return load_file(self.path(key, what))
        except (OSError, SafetensorError):
            return None

    def write(self, key: Mapping[str, Any], what: str, tensors: dict[str, Tensor]) -> None:
        """Keep tensors. A disk that is full or not to be written costs the next run time, and nothing else."""
        try:
            write_tensors(self.path(key, what), tensors, key)
        except OSError as error:
            warnings.warn(
                f"{self.folder}: features cannot be kept ({error.strerror or error}); they will be computed again",
                stacklevel=2,
            )


def write_tensors(path: Path, tensors: dict[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write tensors and a JSON description of them to a file that is there whole or not at all.

    Raises OSError if it cannot be.
    """
    try:
        with written_whole(path) as unfinished:
            save_file(tensors, unfinished, {"about": json.dumps(about)})
    except SafetensorError as error:  # what a full disk is to safetensors
        raise OSError(str(error)) from error


def about_of(path: Path) -> dict[str, Any]:
    """The description kept in a file; empty if there is none that can be read."""
    try:
        with safe_open(path, "pt") as file:
            return dict(json.loads((file.metadata() or {}).get("about", "{}")))
    except (OSError, SafetensorError, ValueError):
        return {}


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file. Raises UserError if it cannot be read."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: cannot be read ({error}); write it again") from error
