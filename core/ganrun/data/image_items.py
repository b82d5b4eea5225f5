"""Which frames of which files are the items of a data set, and which of their values become -1 and 1."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from ganrun.data.file_check import facts_of
from ganrun.data.file_facts import FileFacts, look_at
from ganrun.data.file_list import FileList
from ganrun.data.image_array import ValueRange, measured_range
from ganrun.data.image_values import ARRAYS
from ganrun.errors import DataError

LOOKED_AT = 1024  # files of a kind whose heads are read
MAY_BE_DEEP = ARRAYS | {".j2k", ".jp2", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff"}
MAY_HAVE_FRAMES = ARRAYS | {".avif", ".gif", ".png", ".tif", ".tiff", ".webp"}


class ImageItems(NamedTuple):
    """rows: which file each item is of, (N,). frames: which frame of it, (N,), None if all are first ones.

    skipped: path -> why it was left out.
    """

    rows: np.ndarray
    frames: np.ndarray | None
    skipped: dict[Path, str]


@dataclass(frozen=True)
class ImageReading:
    """What recipes say of how files of images are read: the parameters ``range``, ``frames``, ``bad_images``.

    Raises DataError for a range whose first value is not the lesser one.
    """

    range: tuple[float, float] | None = None
    frames: Literal["first", "all"] = "first"
    bad_images: Literal["fail", "skip"] = "fail"

    def __post_init__(self) -> None:
        if self.range is not None and not self.range[0] < self.range[1]:
            raise DataError(f"range {list(self.range)}: the first value has to be less than the second")

    def items(self, lists: Sequence[FileList]) -> ImageItems:
        """The items of files: of several lists, such as both sides of pairs, those whose files can all be read.

        Raises:
            DataError: if nothing is left, or the files of a pair have several numbers of frames.
        """
        rows, skipped = np.arange(len(lists[0])), _other_arrays(lists)
        if self.bad_images == "skip":
            skipped |= {path: one.error for files in lists for path, one in facts_of(files) if one.error}
        if skipped:
            rows = np.array([row for row in rows if not any(files[int(row)] in skipped for files in lists)], np.int64)
            _warn_of(skipped, sum(map(len, lists)), lists[0].root)
        if not len(rows):
            raise DataError(f"{lists[0].root}: no image is left, because none can be read")
        if self.frames == "first":
            _warn_of_frames(lists)
            return ImageItems(rows, None, skipped)
        counts = [np.array([_frame_count(files[int(row)]) for row in rows]) for files in lists]
        for files, count in zip(lists[1:], counts[1:]):
            if (differ := np.flatnonzero(count != counts[0])).size:
                row = int(rows[differ[0]])
                raise DataError(
                    f"{lists[0][row]} has {counts[0][differ[0]]} frames and {files[row]} has {count[differ[0]]}; "
                    "a pair needs as many, or frames: first"
                )
        frames = np.concatenate([np.arange(count) for count in counts[0]])
        return ImageItems(np.repeat(rows, counts[0]), frames if counts[0].max() > 1 else None, skipped)

    def values(self, files: FileList) -> ValueRange | None:
        """Which values of files become -1 and 1: those of ``range``, else, where some have more than 8 bits, measured.

        files: those to measure, of the training split. None: all files have 8 bits. It is warned of what is measured.
        """
        if self.range is not None:
            return ValueRange(*self.range)
        some = _sample(files, MAY_BE_DEEP)
        if not any(look_at(path, whole=False).deep for path in some):
            return None
        return _measured(tuple(files), files.root)


@lru_cache(maxsize=8)
def _measured(paths: tuple[Path, ...], root: Path) -> ValueRange:
    """Once in a process: both splits of a data set, and both of its openings, ask for the same files."""
    facts = [one for _, one in facts_of(paths) if not one.error]
    values, words = measured_range(facts, root)
    deep = sum(one.deep for one in facts)
    others = f"; {len(facts) - deep:,} of 8 bits keep 0 to 255" if deep < len(facts) else ""
    warnings.warn(
        f"{root}: {words}: {values.low:g} to {values.high:g} become -1 to 1{others}; "
        f"`range: [{values.low:g}, {values.high:g}]` says what they mean",
        stacklevel=1,
    )
    return values


def _sample(files: FileList, suffixes: frozenset[str] | set[str]) -> list[Path]:
    """Files with certain suffixes, spread over all if there are many."""
    rows = [row for row, name in enumerate(files.names()) if Path(name).suffix.lower() in suffixes]
    places = np.linspace(0, len(rows) - 1, min(LOOKED_AT, len(rows))).astype(np.int64)
    return [files[rows[place]] for place in places]


def _frame_count(path: Path) -> int:
    return look_at(path, whole=False).frames if path.suffix.lower() in MAY_HAVE_FRAMES else 1


def _other_arrays(lists: Sequence[FileList]) -> dict[Path, str]:
    """Files of numpy among images that hold no image, such as labels, and why."""
    found: dict[Path, str] = {}
    for files in lists:
        arrays = [row for row, name in enumerate(files.names()) if Path(name).suffix.lower() in ARRAYS]
        if 0 < len(arrays) < len(files):
            facts: list[tuple[Path, FileFacts]] = [(files[row], look_at(files[row], whole=False)) for row in arrays]
            found |= {path: one.error for path, one in facts if one.error}
    return found


def _warn_of(skipped: dict[Path, str], count: int, root: Path) -> None:
    first, why = next(iter(skipped.items()))
    more = f", and {len(skipped) - 1:,} more" if len(skipped) > 1 else ""
    warnings.warn(
        f"{root}: {len(skipped):,} of {count:,} files cannot be read and are left out: {first} ({why}){more}; a run "
        "lists them in skipped_files.txt",
        stacklevel=1,
    )


def _warn_of_frames(lists: Sequence[FileList]) -> None:
    some = [path for files in lists for path in _sample(files, MAY_HAVE_FRAMES)]
    several = [path for path in some if _frame_count(path) > 1]
    if several:
        warnings.warn(
            f"{lists[0].root}: {len(several):,} of {len(some):,} files have several frames, such as {several[0].name}: "
            "the first is read; `frames: all` makes each an item",
            stacklevel=1,
        )
