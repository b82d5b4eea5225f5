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
    mixed = permutation(count, key, "split")
    held = min(count - 1, max(1, round(test_fraction * count))) if test_fraction else 0
    rows = np.sort(mixed[:held] if split == "test" else mixed[held:])
    if not len(rows):
        why = f"test_fraction is {test_fraction:g}" if not test_fraction else f"there is only {count} item"
        raise DataError(f"{where}: the test split is empty: the data have none of their own, and {why}")
    return rows
