"""Which values of files the -1 and 1 of an entry stand for, and how many levels an image has when it is saved."""

from __future__ import annotations

from typing import Any

EIGHT_BITS = (0.0, 255.0)
DEEPEST = 16


def range_of(dataset: Any, entry: str) -> tuple[float, float] | None:
    """What -1 and 1 of an entry stand for, by the optional attribute ``ranges`` of a data set; None: of 8 bits."""
    found = getattr(dataset, "ranges", {}).get(entry)
    return None if found is None else (float(found[0]), float(found[1]))


def level_count(values: tuple[float, float] | None) -> int | None:
    """How many values a saved image can have: 256 without a range, each whole number of a range of at least as many.

    None: it is saved as floats, because 16 bits do not hold its values, or they are hardly whole numbers.
    """
    low, high = values or EIGHT_BITS
    whole = low == round(low) and high == round(high) and low >= 0
    return int(high - low) + 1 if whole and high - low >= 255 and high < 2**DEEPEST else None


def level_words(values: tuple[float, float] | None) -> str:
    """The same in words."""
    count = level_count(values)
    return "none" if count is None else f"{count:,} levels"
