"""The folders in which people keep their splits: ``train`` and ``test``, ``Validation``, ``valA``."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from pathlib import Path

from ganrun.errors import DataError

# Split -> names of its folder in small letters, the first that is there is taken.
_NAMES = {"train": ("train", "training"), "test": ("test", "testing", "val", "valid", "validation", "dev")}


def split_folder(root: Path, split: str, side: str = "") -> Path | None:
    """The folder of a split, whatever the case of its name; None if there is none.

    Of ``test`` the first that is there of test, val, valid, validation and dev. side: what follows the name, such as A
    of ``trainA``, with or without ``_`` or ``-`` before it.

    Raises:
        DataError: for two folders that differ in case or in that sign alone.
    """
    there = _folders(root)
    for name in _NAMES[split]:
        wanted = {f"{name}{sign}{side.lower()}" for sign in (("", "_", "-") if side else ("",))}
        found = sorted(folder for folder in there if folder.lower() in wanted)
        if len(found) > 1:
            raise DataError(f"{root}: which is the {split} split, {found[0]} or {found[1]}? rename one of them")
        if found:
            return root / found[0]
    return None


def warn_of_unread(root: Path, read: Iterable[Path]) -> None:
    """Warn of the folders beside those of splits that are not read, such as a ``val`` beside ``train`` and ``test``."""
    kept = {path.name for path in read}
    if unread := sorted(_folders(root) - kept):
        more = f" and {len(unread) - 5} more" if len(unread) > 5 else ""
        warnings.warn(
            f"{root}: of its folders {', '.join(sorted(kept))} are read as splits; not read: "
            f"{', '.join(unread[:5])}{more}",
            stacklevel=1,
        )


def _folders(root: Path) -> set[str]:
    try:
        with os.scandir(root) as entries:
            return {entry.name for entry in entries if not entry.name.startswith(".") and os.path.isdir(entry.path)}
    except OSError as error:
        raise DataError(f"{root}: this folder cannot be listed ({error.strerror or error})") from error
