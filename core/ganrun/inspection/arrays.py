"""What the arrays of an .npy or .npz file hold: types, shapes, ranges, and rows with numbers that are not finite."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ganrun.errors import DataError

PIECE = 1 << 24  # numbers that are looked at together


@dataclass(frozen=True)
class ArrayFacts:
    """Of one array; low and high are None where it holds no numbers. odd: rows with a number that is not finite."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    low: float | None
    high: float | None
    odd: list[int]


def array_facts(path: Path) -> list[ArrayFacts]:
    """The facts of all arrays in a file. Nothing pickled is opened.

    Raises:
        DataError: for a file that cannot be read.
    """
    try:
        if path.suffix.lower() == ".npy":
            return [_facts("", np.load(path, mmap_mode="r", allow_pickle=False))]
        with np.load(path, allow_pickle=False) as archive:
            return [_facts(name, archive[name]) for name in archive.files]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        pickled = any(word in str(error) for word in ("pickle", "Python objects"))
        why = "it holds pickled objects" if pickled else " ".join(str(error).split())
        raise DataError(
            f"{path}: cannot be read as numpy's ({why}); write it with numpy.save or numpy.savez"
        ) from error


def _facts(name: str, values: np.ndarray) -> ArrayFacts:
    shape = tuple(int(n) for n in values.shape)
    if values.dtype.kind not in "buif" or not values.size:
        return ArrayFacts(name, str(values.dtype), shape, None, None, [])
    lows, highs, odd = [], [], []
    rows = values.reshape(1, -1) if values.ndim == 0 else values
    each = max(1, PIECE // max(1, rows[0].size))
    for first in range(0, len(rows), each):
        piece = np.asarray(rows[first : first + each])
        finite = np.isfinite(piece)
        odd += (first + np.flatnonzero(~finite.reshape(len(piece), -1).all(1))).tolist()
        if finite.any():
            lows.append(float(piece[finite].min()))
            highs.append(float(piece[finite].max()))
    return ArrayFacts(name, str(values.dtype), shape, min(lows, default=None), max(highs, default=None), odd)
