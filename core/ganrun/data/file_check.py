"""All files of a data set are read once before training, so that no broken one ends it later."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ganrun.data.file_facts import FileFacts
from ganrun.data.known_files import known_files, read_files
from ganrun.data.value_range import EIGHT_BITS
from ganrun.errors import DataError

_AT_ONCE = 1 << 15  # files whose facts are in memory together
_SHOWN = 20  # files that a message names


def check_files(dataset: Any, most: int | None = None) -> None:
    """Look at the files that a data set's ``paths`` names, each of which is read once and then known.

    most: how many of those that are not known yet are read, spread over all; None: all of them.

    Raises:
        DataError: naming the files that cannot be read.
    """
    paths = list(dict.fromkeys(getattr(dataset, "paths", ())))
    bad: dict[Path, str] = {}
    ends = _ends(dataset)
    deep = cut = beyond = 0
    low, high = np.inf, -np.inf
    for path, facts in facts_of(paths, most):
        if facts.error:
            bad[path] = facts.error
        deep += facts.deep and not getattr(dataset, "ranges", {})
        cut += facts.cut
        if ends is not None and facts.low is not None and facts.high is not None:
            beyond += facts.low < ends[0] or facts.high > ends[1]
            low, high = min(low, facts.low), max(high, facts.high)
    if bad:
        cure = ", or set `bad_images: skip`, which leaves them out" if hasattr(dataset, "skipped") else ""
        raise DataError(
            f"{len(bad):,} of {len(paths):,} images cannot be read; repair them or remove them{cure}:\n{listed(bad)}"
        )
    if deep:
        warnings.warn(
            f"{deep:,} of {len(paths):,} images have more than 8 bits, which are scaled to 8, as 65535 to 255; "
            "`range: [LOW, HIGH]` keeps their levels",
            stacklevel=2,
        )
    if beyond and ends is not None:
        warnings.warn(
            f"{beyond:,} of {len(paths):,} images have values outside the range of {ends[0]:g} to {ends[1]:g}, from "
            f"{low:g} to {high:g}: what lies outside is cut off; `range: [LOW, HIGH]` says what they mean",
            stacklevel=2,
        )
    if cut:
        warnings.warn(
            f"{cut:,} of {len(paths):,} images have several channels of 16 bits, which are cut to 8; with "
            'pip install "ganrun[images]" all 16 are read',
            stacklevel=2,
        )


def _ends(dataset: Any) -> tuple[float, float] | None:
    """The least and the greatest value that any image of a data set may have; None where all are of 8 bits."""
    given: dict[str, tuple[float, float]] = getattr(dataset, "ranges", {})
    if not given:
        return None
    images = [name for name, space in dataset.spaces.items() if space.kind == "image"]
    every = [given.get(name, EIGHT_BITS) for name in images]
    return min(low for low, _ in every), max(high for _, high in every)


def facts_of(paths: Sequence[Path], most: int | None = None) -> Iterator[tuple[Path, FileFacts]]:
    """(path, facts) of files in their order; with ``most``, of those that are known and so many others."""
    if most is not None:
        known = known_files(paths)
        others = [path for path in paths if path not in known]
        some = np.linspace(0, len(others) - 1, min(most, len(others))).astype(np.int64)
        chosen = {others[i] for i in some}
        paths = [path for path in paths if path in known or path in chosen]
    for first in range(0, len(paths), _AT_ONCE):
        piece = paths[first : first + _AT_ONCE]
        where = f" from {first:,} on" if first else ""
        found, _ = read_files(piece, f"reading all images once{where}")
        yield from ((path, one.facts) for path, one in found.items())


def listed(bad: Mapping[Path, str], most: int = _SHOWN) -> str:
    """Files and why they cannot be read, a line each."""
    lines = [f"  {path}: {why}" for path, why in islice(bad.items(), most)]
    return "\n".join(lines + ([f"  and {len(bad) - most:,} more"] if len(bad) > most else []))
