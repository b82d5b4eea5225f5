"""How a folder is laid out: splits, classes, two sides, lists; and the `dataset:` lines that read it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ganrun.data.file_facts import FileFacts
from ganrun.inspection.listing import Listing

_SPLIT = re.compile(r"(?i)(train|training|test|testing|val|valid|validation|dev)(?:[_-]?([ab]))?")
_LARGEST = 64  # side that is suggested for large pictures: of most networks' defaults
_LISTS = ("list_attr_celeba.txt",)


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


def suggested(found: Listing, facts: Mapping[Path, FileFacts], *, broken: int) -> Suggestion | None:
    """The data set that reads a folder, None if none is known. facts: of the files that can be read. broken: others."""
    root = found.root
    where = {"root": str(root.resolve())}
    if not facts:
        return _of_other_files(found, where)
    sides = _two_sides(root, list(facts))
    if sides is not None:
        name = "paired-folders" if sides else "unpaired-folders"
        words = "every file has one of its name on the other side" if sides else "sides A and B"
        return Suggestion(name, where | _shape(facts, two=True), {"root": words, **_shape_why(facts)})
    listed = next((path for path in found.others.get(".txt", ()) if path.name in _LISTS), None)
    if listed is not None and (names := _attributes(listed)):
        holder = Counter(path.parent for path in facts).most_common(1)[0][0]
        parameters = {"root": str(holder.resolve()), "listed": str(listed.resolve()), "attributes": names[:5]}
        why = {"attributes": f"the first of {len(names)} in the list"}
        return Suggestion("attributes", parameters | {"channels": _shape(facts, two=True)["channels"]}, why)
    if any(path.name == "captions.txt" and path.parent == root for path in found.others.get(".txt", ())):
        return Suggestion("captions", where | _shape(facts, two=True), _shape_why(facts))
    return _image_folder(root, where, facts)


def _image_folder(root: Path, where: dict[str, Any], facts: Mapping[Path, FileFacts]) -> Suggestion:
    parameters: dict[str, Any] = where | _shape(facts, two=False)
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


def _shape(facts: Mapping[Path, FileFacts], *, two: bool) -> dict[str, Any]:
    """Size and channels that suit most pictures."""
    shorts = np.array([min(one.size) for one in facts.values()])
    typical = int(np.quantile(shorts, 0.05))
    size = _LARGEST if typical >= _LARGEST else max(4, typical - typical % 4)
    grey = all(one.grey for one in facts.values())
    clear = not two and all(one.channels == 4 and one.transparent for one in facts.values())
    return {"size": size, "channels": 1 if grey else 4 if clear else 3}


def _shape_why(facts: Mapping[Path, FileFacts]) -> dict[str, str]:
    shorts = np.array([min(one.size) for one in facts.values()])
    low, middle, high = (int(value) for value in np.quantile(shorts, (0, 0.5, 1)))
    size = f"short sides are {low} to {high}, half of them up to {middle}" if low < high else f"all have {low} or more"
    grey = sum(one.grey for one in facts.values())
    channels = "all are grey" if grey == len(facts) else f"{grey:,} grey ones are repeated" if grey else ""
    return {"size": size, "channels": channels}


def _two_sides(root: Path, paths: Sequence[Path]) -> bool | None:
    """Whether the pictures of trainA and trainB are pairs by their names; None if there are no such folders."""
    names: dict[str, set[str]] = {"trainA": set(), "trainB": set()}
    for path in paths:
        parts = path.relative_to(root).with_suffix("").parts
        if len(parts) > 1 and parts[0] in names:
            names[parts[0]].add("/".join(parts[1:]))
    a, b = names.values()
    return (a == b) if a and b else None


def _attributes(path: Path) -> list[str]:
    """The names in the second line of a list in CelebA's format."""
    try:
        with path.open(encoding="utf-8") as file:
            return [file.readline(), file.readline()][1].split()
    except (OSError, UnicodeDecodeError):
        return []


def _of_other_files(found: Listing, where: dict[str, Any]) -> Suggestion | None:
    """For a folder without images: shards, tables or one array."""
    if shards := found.others.get(".tar"):
        return Suggestion("webdataset", {"path": str(shards[0].parent.resolve())})
    if found.others.get(".parquet"):
        return Suggestion("hf-dataset", {"path": where["root"]})
    if any(path.stem in ("train", "x_train") for path in found.others.get(".npy", []) + found.others.get(".npz", [])):
        return Suggestion("array", where)
    return None
