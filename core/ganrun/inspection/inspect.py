"""Look at data as a whole: a folder, what a recipe reads, or a file of arrays."""

from __future__ import annotations

import os
import time
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from PIL import Image

from ganrun.catalog.catalog import Catalog
from ganrun.contracts.protocols import Dataset
from ganrun.data.file_contents import Contents, as_shown
from ganrun.data.known_files import read_files
from ganrun.data.splits import datasets
from ganrun.errors import DataError, UserError, some
from ganrun.inspection import layout
from ganrun.inspection.arrays import ArrayFacts, array_facts
from ganrun.inspection.items import MOST_ITEMS, item_contents, item_picture
from ganrun.inspection.layout import Suggestion
from ganrun.inspection.likeness import alike, same_bytes
from ganrun.inspection.listing import Listing, described, listing
from ganrun.inspection.remarks import Counts, Remark, peculiarities, ranges, tables
from ganrun.paths import resolved
from ganrun.recipe import Recipe, load_recipe
from ganrun.recipe.parameters import describe_parameters

_FEW = 10  # pictures of a class below which it can hardly be learnt
_TIMES = 10  # that the largest class is of the smallest, from which balance is warned of
_SPLITS = ("train", "test")


@dataclass
class Inspection:
    """What was found; all of it but ``picture`` is plain data.

    kind: what ``data`` is, in words. looked_at: how many pictures, ``known`` of them from an earlier look. tables,
    ranges: of the readable ones. unreadable: (path, why). skipped: (what, how many, one of them, why) of what is there
    and is not read. splits: split folder -> pictures in it. classes: split -> class -> pictures. duplicates: groups
    of the same bytes; near_duplicates: of nearly the same look. reads: what came of opening the data set.
    sheet: some pictures by name, for people to see. picture: of a name.
    """

    data: str
    kind: str
    looked_at: int = 0
    known: int = 0
    bytes: int = 0
    seconds: float = 0.0
    tables: dict[str, Counts] = field(default_factory=dict)
    ranges: list[tuple[str, str, int]] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    skipped: list[tuple[str, int, str, str]] = field(default_factory=list)
    splits: dict[str, int] = field(default_factory=dict)
    classes: dict[str, dict[str, int]] = field(default_factory=dict)
    duplicates: list[list[str]] = field(default_factory=list)
    near_duplicates: list[list[str]] = field(default_factory=list)
    arrays: list[ArrayFacts] = field(default_factory=list)
    reads: list[str] = field(default_factory=list)
    suggestion: Suggestion | None = None
    sheet: list[str] = field(default_factory=list)
    picture: Callable[[str], Image.Image] = field(default=lambda name: Image.new("L", (1, 1)), repr=False)


def inspect_folder(root: Path, catalog: Catalog, *, again: bool = False) -> Inspection:
    """Look at all image files in a folder, and find the data set that reads them.

    again: files are read even if they were looked at before. Raises DataError for a folder that cannot be listed.
    """
    began = time.monotonic()
    found = Inspection(str(root), "a folder")
    there = listing(resolved(root))  # data sets name their files so, whatever the folder is called here
    contents, found.known = read_files(there.pictures, f"looking at pictures of {root.name or root}", again=again)
    good = {path: one.facts for path, one in contents.items() if not one.facts.error}
    found.suggestion = layout.suggested(there, good, broken=len(contents) - len(good))
    opened: dict[str, Dataset] = {}
    if found.suggestion is not None:
        found.suggestion, opened = tried(found.suggestion, catalog)
        found.reads = found.suggestion.tried
    _of_files(found, there, contents, _paths(opened))
    found.seconds = time.monotonic() - began
    return found


def inspect_recipe(recipe: Recipe, name: str, *, again: bool = False) -> Inspection:
    """Look at all that the data set of a recipe reads: image files, else the first items. Missing data are downloaded.

    Raises DataError if its train split cannot be opened at all.
    """
    began = time.monotonic()
    found = Inspection(name, f"a recipe with the data set {recipe.dataset.name}")
    opened, found.reads, failed = _opened(datasets(recipe))
    found.remarks += [Remark("bad", f"the {split} split cannot be opened", why) for split, why in failed.items()]
    paths = _paths(opened)
    root = _root(recipe, [path for some_paths in paths.values() for path in some_paths])
    if root is not None:
        there = listing(root)
        wanted = list(dict.fromkeys([*there.pictures, *(path for each in paths.values() for path in each)]))
        contents, found.known = read_files(wanted, f"looking at pictures of {root.name}", again=again)
        _of_files(found, there, contents, paths)
    elif opened:
        _of_items(found, opened)
    elif failed:
        raise DataError("\n".join(failed.values()))
    found.seconds = time.monotonic() - began
    return found


def inspect_arrays(path: Path, catalog: Catalog) -> Inspection:
    """Look at an .npy or .npz file. Raises DataError for one that cannot be read."""
    began = time.monotonic()
    found = Inspection(str(path), "a file of arrays", bytes=path.stat().st_size)
    found.arrays = array_facts(path)
    for one in found.arrays:
        if one.odd:
            where = f"the array {one.name}" if one.name else "the array"
            title = f"{len(one.odd):,} rows of {where} hold numbers that are not finite"
            found.remarks.append(Remark("bad", title, f"rows {some(one.odd, 20)}: mend them or leave them out"))
    suggestion, opened = tried(Suggestion("array", {"root": str(path.resolve())}), catalog)
    found.suggestion, found.reads = suggestion, suggestion.tried
    if opened:
        _of_items(found, opened)
    found.seconds = time.monotonic() - began
    return found


def tried(suggestion: Suggestion, catalog: Catalog) -> tuple[Suggestion, dict[str, Dataset]]:
    """Open a suggested data set, with those of the parameters that it has: what came of it, and its splits."""
    try:
        known = {row.name for row in describe_parameters(catalog.load("dataset", suggestion.name))}
        parameters = {key: value for key, value in suggestion.parameters.items() if key in known}
        suggestion = replace(suggestion, parameters=parameters)
        lines = {"variant": "gan", "dataset": {suggestion.name: parameters}}
        recipe = load_recipe(lines, catalog=catalog)
    except UserError as error:  # such as a plugin that is disabled
        return replace(suggestion, tried=[str(error)]), {}
    opened, said, failed = _opened(datasets(recipe))
    words = said + [f"{split}: {why}" for split, why in failed.items()]
    return replace(suggestion, tried=words, works=not failed), opened


def _opened(dataset: Callable[[str], Dataset]) -> tuple[dict[str, Dataset], list[str], dict[str, str]]:
    """The splits that can be opened, a line about each, and why the others cannot be."""
    opened: dict[str, Dataset] = {}
    said, failed = [], {}
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for split in _SPLITS:
            try:
                opened[split] = dataset(split)
            except UserError as error:
                failed[split] = str(error)
                continue
            spaces = ", ".join(f"{name}: {space}" for name, space in opened[split].spaces.items())
            left = len(getattr(opened[split], "skipped", ()))
            words = f"; {_files(left)} left out" if left else ""
            said.append(f"{split}: {len(opened[split]):,} items; {spaces}{words}")
    return opened, [*said, *dict.fromkeys(f"warning: {one.message}" for one in warned)], failed


def _paths(opened: Mapping[str, Dataset]) -> dict[str, list[Path]]:
    """Split -> the files that its items are read from, of data sets that say so."""
    return {split: list(dict.fromkeys(getattr(dataset, "paths", ()))) for split, dataset in opened.items()}


def _root(recipe: Recipe, paths: Sequence[Path]) -> Path | None:
    """The folder that a data set of image files reads: its `root`, else the one that all its files are in."""
    if not paths:
        return None
    given = recipe.dataset.parameters.get("root")
    place = recipe.base / os.path.expanduser(given) if isinstance(given, str) else None
    return place if place is not None and place.is_dir() else Path(os.path.commonpath([path.parent for path in paths]))


def _of_files(
    found: Inspection, there: Listing, contents: Mapping[Path, Contents], read: Mapping[str, Sequence[Path]]
) -> None:
    """Fill in what files show. read: split -> the files that a data set reads."""
    root = there.root
    shown = {path: _shown(root, path) for path in contents}
    found.bytes = sum(_size(path) for path in contents)
    found.unreadable = [(shown[path], one.facts.error) for path, one in contents.items() if one.facts.error]
    if found.unreadable:
        title = f"{_files(len(found.unreadable))} cannot be read"
        found.remarks.append(Remark("bad", title, "repair or remove them", found.unreadable))
    for place, why in {**there.unlisted, **there.left_out}.items():
        found.remarks.append(Remark("bad", f"{_shown(root, place)} is left out", why))
    splits = {path: name for name, paths in read.items() for path in paths}
    found.splits = layout.split_folders(root, list(contents))
    found.classes = layout.classes(root, list(contents))
    _of_contents(found, contents, shown, lambda path: splits.get(path) or layout.place(root, path)[0])
    _balance(found)
    _skipped(found, there, contents, splits)
    found.picture = lambda name: as_shown(root / name, contents[root / name].facts, 128)


def _of_items(found: Inspection, opened: Mapping[str, Dataset]) -> None:
    """Fill in what items show, of a data set without files of its own."""
    contents: dict[Path, Contents] = {}
    for split, dataset in opened.items():
        some_items, labels = item_contents(dataset, split)
        contents |= some_items
        for entry, counts in labels.items():
            found.classes[split if len(labels) == 1 else f"{split}, {entry}"] = dict(counts)
        if len(dataset) > MOST_ITEMS:
            found.reads.append(f"{split}: the first {MOST_ITEMS:,} items were looked at")
    _of_contents(found, contents, {path: path.as_posix() for path in contents}, lambda path: path.parts[0])
    _balance(found)
    found.picture = lambda name: item_picture(opened[Path(name).parts[0]], Path(name))


def _of_contents(
    found: Inspection, contents: Mapping[Path, Contents], shown: Mapping[Path, str], split: Callable[[Path], str]
) -> None:
    facts = {path: one.facts for path, one in contents.items() if not one.facts.error}
    found.looked_at = len(contents)
    found.tables = tables(facts.values())
    found.ranges = ranges(facts.values())
    found.remarks += peculiarities(facts, lambda path: shown[path])
    same = same_bytes({path: one.digest for path, one in contents.items() if path in facts})
    copies = {path for group in same for path in group[1:]}  # they look alike for sure
    rest = [path for path in facts if path not in copies]
    near = alike(rest, [contents[path].grey for path in rest])
    for groups, words, advice in (
        (same, "the same bytes as another one", "remove the copies: they are seen more often than the others"),
        (near, "nearly the same look as another one", "copies in another size, quality or brightness: look at them"),
    ):
        _doubles(found, groups, words, advice, shown, split)
    found.duplicates = [[shown[path] for path in group] for group in same]
    found.near_duplicates = [[shown[path] for path in group] for group in near]
    found.sheet = _spread([shown[path] for path in facts], 60)


def _doubles(
    found: Inspection,
    groups: Sequence[Sequence[Path]],
    words: str,
    advice: str,
    shown: Mapping[Path, str],
    split: Callable[[Path], str],
) -> None:
    if not groups:
        return
    count = sum(len(group) - 1 for group in groups)
    rows = [(shown[group[0]], some((shown[path] for path in group[1:]), 3)) for group in groups]
    found.remarks.append(Remark("warn", f"{_files(count)} with {words}", advice, rows))
    mixed = [row for row, group in zip(rows, groups) if len({split(path) for path in group}) > 1]
    if mixed:
        title = f"in more than one split: {len(mixed):,} of these"
        found.remarks.append(Remark("warn", title, "scores on test pictures that were trained on are too good", mixed))


def _balance(found: Inspection) -> None:
    for split, counts in found.classes.items():
        if not counts:
            continue
        where = f" of {split}" if split else ""
        least, most = min(counts, key=lambda name: counts[name]), max(counts, key=lambda name: counts[name])
        few = [f"{name or 'in no folder'} ({count})" for name, count in counts.items() if count < _FEW]
        if few:
            found.remarks.append(Remark("warn", f"classes{where} with fewer than {_FEW} pictures: {some(few, 8)}"))
        if counts[most] >= _TIMES * max(1, counts[least]):
            title = (
                f"the largest class{where}, {most}, has {counts[most] / max(1, counts[least]):.0f} times the pictures"
            )
            found.remarks.append(
                Remark("warn", f"{title} of the smallest, {least}", "classes are drawn as often as they are there")
            )


def _skipped(found: Inspection, there: Listing, contents: Mapping[Path, Contents], splits: Mapping[Path, str]) -> None:
    """What is in the folder and is not read by the data set, if there is one, or is no image."""
    root = there.root
    if splits:
        missed = [path for path, one in contents.items() if path not in splits and not one.facts.error]
        places = Counter(path.relative_to(root).parts[0] if path.parent != root else "." for path in missed)
        for place, count in places.items():
            example = next(path for path in missed if place == "." or path.relative_to(root).parts[0] == place)
            what = "pictures beside the folders" if place == "." else f"pictures in {place}"
            found.skipped.append((what, count, _shown(root, example), "the data set does not read them"))
    for suffix, paths in there.others.items():
        why = described(suffix, paths)
        found.skipped.append((f"files {_ending(suffix)}", len(paths), _shown(root, paths[0]), why or "no images"))
        if why:
            title = f"{_files(len(paths))} {_ending(suffix)} that no data set of image files reads"
            found.remarks.append(Remark("warn", title, why))
    if there.hidden:
        found.skipped.append(("hidden files and folders", there.hidden, "", "names that begin with a point"))


def _spread(names: Sequence[str], count: int) -> list[str]:
    """Some names, spread evenly over all."""
    if len(names) <= count:
        return list(names)
    return [names[number * len(names) // count] for number in range(count)]


def _shown(root: Path, path: Path) -> str:
    text = path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
    return text.encode("utf-8", "backslashreplace").decode()


def _ending(suffix: str) -> str:
    return f"ending in {suffix}" if suffix else "without a suffix"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _files(count: int) -> str:
    return f"{count:,} file{'' if count == 1 else 's'}"


def as_data(found: Inspection) -> dict[str, Any]:
    """What was found as plain data, for JSON."""
    from dataclasses import asdict

    whole = asdict(replace(found, picture=lambda name: Image.new("L", (1, 1))))
    del whole["picture"], whole["sheet"]
    whole["suggestion"] = (
        None if found.suggestion is None else {**whole["suggestion"], "lines": found.suggestion.lines()}
    )
    return whole
