"""How a folder is laid out: splits, classes, two sides, lists; and the `dataset:` lines that read it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ganrun.data.file_facts import FileFacts
from ganrun.inspection.listing import Listing

_SPLIT = re.compile(r"(?i)(train|training|test|testing|val|valid|validation|dev)(?:[_-]?([ab]))?")
_LARGEST = 64  # side that is suggested for large pictures: of most networks' defaults
_YES_NO = {"0", "1", "-1"}
_SOME = 5  # attributes that are suggested


@dataclass(frozen=True)
class Suggestion:
    """A data set, its parameters, and why each is as it is, in words; ``tried``: what came of opening it."""

    name: str
    parameters: dict[str, Any]
    why: dict[str, str] = field(default_factory=dict)
    tried: list[str] = field(default_factory=list)
    works: bool = False

    def lines(self) -> str:
        """As a recipe has them."""
        found = [f"{key}: {_written(value)}" for key, value in self.parameters.items()]
        width = min(40, max(map(len, found)))
        why = [self.why.get(key, "") for key in self.parameters]
        rows = [f"    {line.ljust(width)}  # {words}" if words else f"    {line}" for line, words in zip(found, why)]
        return "\n".join(["dataset:", f"  {self.name}:", *rows])


def _written(value: Any) -> str:
    """A value in YAML, on one line: JSON is YAML, and plain words need no quotes."""
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*|[A-Za-z0-9_./-]*/[A-Za-z0-9_./-]+", value):
        return value if value.lower() not in ("yes", "no", "on", "off", "true", "false", "null") else json.dumps(value)
    return json.dumps(value, ensure_ascii=False)


def split_folders(root: Path, paths: Sequence[Path]) -> dict[str, int]:
    """First-level folders with the name of a split, such as ``train`` or ``testB`` -> how many pictures are in each."""
    firsts = Counter(path.relative_to(root).parts[0] for path in paths if len(path.relative_to(root).parts) > 1)
    return {name: count for name, count in sorted(firsts.items()) if _SPLIT.fullmatch(name)}


def place(root: Path, path: Path) -> tuple[str, str]:
    """The split folder of a file, empty if it is in none, and the first-level folder in it, which may be a class."""
    parts = path.relative_to(root).parts[:-1]
    split = parts[0] if parts and _SPLIT.fullmatch(parts[0]) else ""
    rest = parts[1:] if split else parts
    return split, rest[0] if rest else ""


def classes(root: Path, paths: Sequence[Path]) -> dict[str, dict[str, int]]:
    """Split folder -> class -> how many pictures. Empty if they are not in folders, or all in one."""
    counts: dict[str, Counter[str]] = {}
    for path in paths:
        split, name = place(root, path)
        counts.setdefault(split, Counter())[name] += 1
    names = {name for found in counts.values() for name in found}
    if len(names - {""}) < 2:
        return {}
    return {split: dict(sorted(found.items())) for split, found in sorted(counts.items())}


def suggested(found: Listing, facts: Mapping[Path, FileFacts], *, broken: int = 0) -> Suggestion | None:
    """The data set that reads a folder, None if none is known. facts: of the files that can be read. broken: others."""
    if not facts:
        return _of_other_files(found, {"root": str(found.root.resolve())})
    plain = _of_pictures(found, facts)
    more, why = _reading(facts, broken)
    return replace(plain, parameters={**plain.parameters, **more}, why={**plain.why, **why})


def _of_pictures(found: Listing, facts: Mapping[Path, FileFacts]) -> Suggestion:
    root = _inner(found.root, list(facts))
    where = {"root": str(root.resolve())}
    if (two := _two_sided(root, facts)) is not None:
        return two
    if (listed := _attribute_list(found, facts)) is not None:
        return listed
    if any(path.name == "captions.txt" and path.parent == root for path in found.others.get(".txt", ())):
        shape = {"size": _size(facts), "channels": _channels(facts)}
        return Suggestion("captions", {**where, **shape}, _shape_why(facts))
    return _image_folder(root, where, facts)


def _reading(facts: Mapping[Path, FileFacts], broken: int) -> tuple[dict[str, Any], dict[str, str]]:
    """What has to be said of how files are read, and why: values, frames, files that cannot be read."""
    parameters: dict[str, Any] = {}
    why = {}
    if all(one.deep for one in facts.values()):
        low, high = (pick(getattr(one, name) for one in facts.values()) for pick, name in ((min, "low"), (max, "high")))
        parameters["range"] = _range(low, high, floats=any("float" in one.dtype for one in facts.values()))
        why["range"] = f"values are {low:g} to {high:g}"
    if 2 * sum(one.frames > 1 for one in facts.values()) > len(facts):
        parameters["frames"] = "all"
        why["frames"] = f"{sum(one.frames for one in facts.values()):,} in {len(facts):,} files"
    if broken:
        parameters["bad_images"] = "skip"
        why["bad_images"] = f"{broken:,} cannot be read"
    return parameters, why


def _range(low: float, high: float, *, floats: bool) -> list[float]:
    """The values that are most likely black and white: those of whole bits, 0 to 1, -1 to 1, else what was found."""
    if floats:
        return next(([a, b] for a, b in ((0, 1), (-1, 1)) if a <= low and high <= b), [low, high])
    return [int(low), int(high)] if low < 0 else [0, 2 ** max(8, int(high).bit_length()) - 1]


def _inner(root: Path, paths: Sequence[Path]) -> Path:
    """The folder in which splits, sides or classes begin: archives often hold one folder, which holds everything."""
    tops = {path.relative_to(root).parts[:1] if path.parent != root else () for path in paths}
    (top,) = tops if len(tops) == 1 else ((),)
    return _inner(root / top[0], paths) if top and not _SPLIT.fullmatch(top[0]) else root


def _image_folder(root: Path, where: dict[str, Any], facts: Mapping[Path, FileFacts]) -> Suggestion:
    clear = all(one.channels == 4 and one.transparent for one in facts.values())
    parameters: dict[str, Any] = where | {"size": _size(facts), "channels": 4 if clear else _channels(facts)}
    why = _shape_why(facts)
    per_class = classes(root, list(facts))
    names = {name for counts in per_class.values() for name in counts}
    if not per_class:
        parameters["labels"] = False
        why["labels"] = "the pictures are not in folders of several classes"
    elif "" in names:
        parameters["labels"] = False
        why["labels"] = "some pictures are in folders and some are not"
    else:
        parameters["labels"] = True
        why["labels"] = f"{len(names)} classes by their folders"
    return Suggestion("image-folder", parameters, why)


def _size(facts: Mapping[Path, FileFacts]) -> int:
    """A side that most pictures have without being enlarged; a multiple of 4."""
    typical = int(np.quantile([min(one.size) for one in facts.values()], 0.05))
    return _LARGEST if typical >= _LARGEST else max(4, typical - typical % 4)


def _channels(facts: Mapping[Path, FileFacts]) -> int:
    return 1 if all(one.grey for one in facts.values()) else 3


def _shape_why(facts: Mapping[Path, FileFacts]) -> dict[str, str]:
    shorts = np.array([min(one.size) for one in facts.values()])
    low, middle, high = (int(value) for value in np.quantile(shorts, (0, 0.5, 1)))
    size = f"short sides are {low} to {high}, half of them up to {middle}" if low < high else f"short sides are {low}"
    shapes = {one.shown_size for one in facts.values()}
    if len(shapes) == 1 and len({*(shape := next(iter(shapes)))}) > 1:
        size = f"all pictures have {shape[0]} x {shape[1]}: [HEIGHT, WIDTH] keeps their shape"
    grey = sum(one.grey for one in facts.values())
    channels = "all are grey" if grey == len(facts) else f"{grey:,} grey ones are repeated" if grey else ""
    return {"size": size, "channels": channels}


def _two_sided(root: Path, facts: Mapping[Path, FileFacts]) -> Suggestion | None:
    """The data set of two sides: folders trainA and trainB, or A and B, or one image beside the other."""
    parts = {path: path.relative_to(root).with_suffix("").parts for path in facts}
    tops = {names[0] for names in parts.values() if len(names) > 1}
    where: dict[str, Any] = {"root": str(root.resolve())}
    if {"trainA", "trainB"} <= tops:
        pair, why = ("trainA", "trainB"), {}
    elif tops == {"A", "B"} and all(len(names) > 1 for names in parts.values()):
        pair, why = ("A", "B"), {"roots": "if A and B are two classes, use image-folder"}
        where = {"roots": {name.lower(): str((root / name).resolve()) for name in pair}}
    else:
        return _side_by_side(root, facts)
    sides = [{path: "/".join(names[1:]) for path, names in parts.items() if names[0] == one} for one in pair]
    alike = _endings({*sides[0].values()}, {*sides[1].values()})
    grey, colour = (_channels({path: facts[path] for path in side}) for side in sides)
    shape = {"size": _size(facts), "channels": grey if grey == colour else {"a": grey, "b": colour}}
    name = "unpaired-folders" if alike is None else "paired-folders"
    return Suggestion(name, {**where, **(alike or {}), **shape}, _shape_why(facts) | why)


def _side_by_side(root: Path, facts: Mapping[Path, FileFacts]) -> Suggestion | None:
    """Pairs in the halves of pictures, if there are splits and all are twice as wide as high."""
    splits = {name.lower() for name in split_folders(root, list(facts))}
    twice = all(one.shown_size[0] == 2 * one.shown_size[1] for one in facts.values())
    if not (twice and "train" in splits and len(splits) > 1):
        return None
    why = _shape_why(facts) | {"root": "all are twice as wide as high: pairs side by side; else use image-folder"}
    parameters = {"root": str(root.resolve()), "size": _size(facts), "channels": _channels(facts)}
    return Suggestion("paired-folders", parameters, why)


def _endings(first: set[str], second: set[str]) -> dict[str, list[str]] | None:
    """What has to be taken off the names of two sides so that they are the same: nothing, or what all of a side have.

    None if they are not pairs by their names.
    """
    if first == second:
        return {}
    if min(len(first), len(second)) < 2:
        return None
    ends = [_beginning([name[::-1] for name in names])[::-1] for names in (first, second)]
    if {name.removesuffix(ends[0]) for name in first} == {name.removesuffix(ends[1]) for name in second}:
        return {"suffixes": ends}
    begins = [_beginning(names) for names in (first, second)]
    if {name.removeprefix(begins[0]) for name in first} == {name.removeprefix(begins[1]) for name in second}:
        return {"prefixes": begins}
    return None


def _beginning(names: Collection[str]) -> str:
    """What all names begin with."""
    low, high = min(names), max(names)  # what these two share, all between them do
    return low[: next((i for i, (one, other) in enumerate(zip(low, high)) if one != other), min(len(low), len(high)))]


def _attribute_list(found: Listing, facts: Mapping[Path, FileFacts]) -> Suggestion | None:
    """The data set of a list of attributes: a line of their names, then lines of a picture and a yes or no for each."""
    names = {path.stem for path in facts}
    holder = Counter(path.parent for path in facts).most_common(1)[0][0]
    for path in (each for suffix in (".txt", ".csv", ".tsv") for each in found.others.get(suffix, ())):
        try:
            with path.open(encoding="utf-8") as file:
                rows = [re.split(r"[\s,;]+", line.strip()) for line in islice(file, 4) if line.strip()]
        except (OSError, UnicodeDecodeError):
            continue
        rows = rows[1:] if rows and len(rows[0]) == 1 and rows[0][0].isdecimal() else rows  # the number of pictures
        if len(rows) > 1 and Path(rows[1][0]).stem in names and rows[1][1:] and {*rows[1][1:]} <= _YES_NO:
            known = rows[0][-len(rows[1][1:]) :]
            why = {"attributes": f"{_SOME} of {len(known)} in the list"} if len(known) > _SOME else {}
            parameters = {"root": str(holder.resolve()), "listed": str(path.resolve()), "attributes": known[:_SOME]}
            held = {"held_out": max(1, len(facts) // 10), "size": _size(facts), "channels": _channels(facts)}
            return Suggestion("attributes", {**parameters, **held}, {"held_out": "a tenth is for testing", **why})
    return None


def _of_other_files(found: Listing, where: dict[str, Any]) -> Suggestion | None:
    """For a folder without images: shards, tables or one array."""
    if shards := found.others.get(".tar"):
        return Suggestion("webdataset", {"shards": str(shards[0].parent.resolve())})
    if found.others.get(".parquet"):
        return Suggestion("hf-dataset", {"path": where["root"]})
    if any(path.stem in ("train", "x_train") for path in found.others.get(".npy", []) + found.others.get(".npz", [])):
        return Suggestion("array", where)
    return None
