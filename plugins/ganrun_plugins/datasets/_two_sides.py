"""Images of two sides, a and b: their folders, the files of a split, and what may differ between them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from ganrun.plugin import RecipePath, stable_hash
from ganrun.plugin.data import DataError, DataFiles, FileList, list_pictures, split_folder
from ganrun_plugins.datasets._images import Channels
from ganrun_plugins.datasets._parts import held_out

Side = Literal["a", "b"]
SIDES = ("a", "b")
Roots = Annotated[
    dict[Side, Annotated[str, Field(min_length=1)]] | None,
    Field(
        description="instead of `root` a folder of a and one of b, each with train and test, or with images, of which "
        "test_fraction is the test split"
    ),
    RecipePath(),
]
TwoChannels = Annotated[
    Channels | dict[Side, Channels], Field(description="of both sides, or {a: 1, b: 3}: 1 grey, 3 RGB, 4 RGB and alpha")
]


TwoRanges = Annotated[
    tuple[float, float] | dict[Side, tuple[float, float] | None] | None,
    Field(
        description="values of the files that become -1 and 1, such as [0, 4095], of both sides, or {a: [0, 1], "
        "b: null}; null: 0 to 255 of 8 bits, and of more bits what is measured"
    ),
]


def of_both(value: Any, name: str) -> dict[str, Any]:
    """A parameter of the two sides: one value for both, or each its own.

    Raises DataError for a side without one.
    """
    if not isinstance(value, Mapping):
        return {"a": value, "b": value}
    missing = [side for side in SIDES if side not in value]
    if missing:
        raise DataError(f"{name}: {missing[0]} is missing; give both, such as {{a: ..., b: ...}}")
    return {side: value[side] for side in SIDES}


def folders(
    files: DataFiles, split: str, root: str | None, roots: Mapping[Side, str] | None, held: str
) -> tuple[dict[str, Path], bool]:
    """The folder of each side, and whether it is that of a split; else it holds all images.

    held: what a ``root`` has to hold, for messages.

    Raises DataError for a folder that is not there, and unless one of root and roots is given.
    """
    if (root is None) == (roots is None):
        raise DataError("set `root`, one folder that holds both sides, or `roots`, a folder of a and one of b")
    if roots is None:
        base = files.path(root or "")
        if not base.is_dir():
            raise DataError(f"{base}: there is no such folder; it has to hold {held}")
        return {side: _of_split(base, split, side.upper()) for side in SIDES}, True
    bases = {side: files.path(path) for side, path in of_both(roots, "roots").items()}
    for base in bases.values():
        if not base.is_dir():
            raise DataError(f"{base}: there is no such folder; it has to hold train and test, or images")
    apart = [split_folder(base, "train") is not None for base in bases.values()]
    if apart[0] != apart[1]:
        which = bases["a" if apart[0] else "b"]
        raise DataError(f"roots: {which} has a folder train, and the other has none; both have to, or neither")
    return {side: _of_split(base, split) for side, base in bases.items()} if apart[0] else bases, apart[0]


def _of_split(base: Path, split: str, side: str = "") -> Path:
    """The folder of a split; by its plain name if it is not there, so that who lists it says so."""
    return split_folder(base, split, side) or base / f"{split}{side}"


def unpaired_files(
    files: DataFiles, split: str, root: str | None, roots: Mapping[Side, str] | None, test_fraction: float
) -> dict[str, FileList]:
    """The files of each side. Raises DataError."""
    found, apart = folders(files, split, root, roots, "trainA, trainB, testA and testB")
    lists = {side: list_pictures(folder, arrays=True) for side, folder in found.items()}
    if apart:
        return lists
    return {
        side: every.take(_rows([*every.names()], split, test_fraction, found[side])) for side, every in lists.items()
    }


def paired_files(
    files: DataFiles,
    split: str,
    root: str | None,
    roots: Mapping[Side, str] | None,
    test_fraction: float,
    suffixes: tuple[str, str],
    prefixes: tuple[str, str],
) -> dict[str, FileList]:
    """The files of each side, pair by pair in the order of their common names. Raises DataError."""
    found, apart = folders(files, split, root, roots, "train and test, or trainA, trainB, testA and testB")
    every = {side: list_pictures(folder, arrays=True) for side, folder in found.items()}
    together = found["a"] == found["b"]
    first, second = (
        common_names(every[side], prefixes[i], suffixes[i], found[side], together=together)
        for i, side in enumerate(SIDES)
    )
    alone = sorted(first.keys() ^ second.keys())
    if alone:
        where = found["a" if alone[0] in first else "b"].name
        there = (prefixes, suffixes) != (("", ""), ("", ""))
        hint = "" if there else _suggested([*first], [*second])
        raise DataError(
            f"{found['a'].parent}: {len(alone)} images have no partner, the first is {alone[0]} in {where}; "
            f"a pair has one name in both folders{hint or ', but for `suffixes` and `prefixes`'}"
        )
    names = [*first]
    if not apart:
        names = [names[row] for row in _rows(names, split, test_fraction, found["a"])]
    rows = {"a": [first[name] for name in names], "b": [second[name] for name in names]}
    return {side: every[side].take(np.array(rows[side], np.int64)) for side in SIDES}


def common_names(every: FileList, prefix: str, suffix: str, folder: Path, *, together: bool) -> dict[str, int]:
    """What pairs share of the names of files -> the file's place.

    That is the path below the folder without the file's suffix, and without what is before and behind it.
    together: the folder holds both sides, so that other files are those of the other.

    Raises DataError if two have one name, or one has not what it should have.
    """
    found: dict[str, int] = {}
    for place, path in enumerate(every.names()):
        above, slash, name = Path(path).with_suffix("").as_posix().rpartition("/")
        inner = name[len(prefix) : len(name) - len(suffix)]
        if not (name.startswith(prefix) and name.endswith(suffix) and inner):
            if together:
                continue
            wanted = " and ".join(
                [f"begin with {prefix!r}"] * bool(prefix) + [f"end in {suffix!r} before their suffix"] * bool(suffix)
            )
            raise DataError(f"{folder}: {path} does not fit: names here have to {wanted or 'be names'}")
        key = f"{above}{slash}{inner}"
        if key in found:
            names = " and ".join(Path(every.name(row)).name for row in (found[key], place))
            raise DataError(f"{folder}: {names} have one name, so that it is open which is the partner; remove one")
        found[key] = place
    if not found:
        raise DataError(f"{folder}: no name begins with {prefix!r} and ends in {suffix!r}")
    return found


def _suggested(first: list[str], second: list[str]) -> str:
    """The suffixes, or prefixes, without which names would be the same, as a hint; nothing if there are none."""
    ends = tuple(_common([name[::-1] for name in names])[::-1] for names in (first, second))
    if {name[: len(name) - len(ends[0])] for name in first} == {name[: len(name) - len(ends[1])] for name in second}:
        return f"; set suffixes: [{ends[0]}, {ends[1]}] for what their names end in"
    begins = tuple(_common([Path(name).name for name in names]) for names in (first, second))
    if {Path(name).name[len(begins[0]) :] for name in first} == {Path(name).name[len(begins[1]) :] for name in second}:
        return f"; set prefixes: [{begins[0]}, {begins[1]}] for what their names begin with"
    near = difflib.get_close_matches(first[0], second, 1, 0.5)
    return f"; is {near[0]} the partner of {first[0]}? then set `suffixes` or `prefixes`" if near else ""


def _common(names: list[str]) -> str:
    """What all names begin with."""
    low, high = min(names), max(names)
    return low[: next((i for i, (one, other) in enumerate(zip(low, high)) if one != other), min(len(low), len(high)))]


def _rows(names: list[str], split: str, test_fraction: float, where: Path) -> np.ndarray:
    """The rows of a split, in their order, of a folder without splits: a fixed part, chosen by the names alone."""
    mixed = sorted(range(len(names)), key=lambda row: stable_hash("two sides", names[row]))
    return held_out(np.array(mixed, np.int64), split, test_fraction, str(where))
