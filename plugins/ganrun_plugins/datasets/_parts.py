"""The test split of data that have none: a part of all rows, chosen by a key."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from ganrun.plugin.data import DataError, permutation

TestFraction = Annotated[float, Field(ge=0, lt=1, description="share of the test split where the data have none")]


def part(count: int, split: str, test_fraction: float, key: str, where: str) -> np.ndarray:
    """The rows (n,) int64 of a split of ``count`` rows, in their order; at least one is for testing, unless 0 is asked.

    Raises DataError if nothing is in it, naming ``where``.
    """
    return held_out(permutation(count, key, "split"), split, test_fraction, where)


def held_out(mixed: np.ndarray, split: str, test_fraction: float, where: str) -> np.ndarray:
    """As :func:`part`, of rows (N,) that are mixed: the first are those for testing."""
    count = len(mixed)
    held = min(count - 1, max(1, round(test_fraction * count))) if test_fraction else 0
    rows = np.sort(mixed[:held] if split == "test" else mixed[held:])
    if not len(rows):
        why = f"test_fraction is {test_fraction:g}" if not test_fraction else f"there is only {count} item"
        raise DataError(f"{where}: the test split is empty: the data have none of their own, and {why}")
    return rows
