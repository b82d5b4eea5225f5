"""Which values of files the -1 and 1 of an entry stand for, and how many levels an image has when it is saved."""

from __future__ import annotations

from typing import Any

BYTES = (0.0, 255.0)
MOST_BITS = 16


def range_of(dataset: Any, entry: str) -> tuple[float, float] | None:
    """What -1 and 1 of an entry stand for, by the optional attribute ``ranges`` of a data set; None: of 8 bits."""
    found = getattr(dataset, "ranges", {}).get(entry)
    return None if found is None else (float(found[0]), float(found[1]))


def level_count(values: tuple[float, float] | None) -> int | None:
    """How many values a saved image can have: 256 without a range, 2^n of a range 0 to 2^n - 1 (n to 16), else None.

    None: it is saved as floats, because no whole number of bits is known to hold its values.
    """
    low, high = values or BYTES
    return next((2**n for n in range(8, MOST_BITS + 1) if (low, high) == (0, 2**n - 1)), None)


def level_words(values: tuple[float, float] | None) -> str:
    """The same in words."""
    count = level_count(values)
    return "none" if count is None else f"{count:,} levels"
