"""Lists of images and what is known of them, as people have them: CelebA's text files, CSV, tables with tabs."""

from __future__ import annotations

import csv
import os
import re
import warnings
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ganrun.plugin.data import DataError

VALUES = {"1": 1, "-1": 0, "0": 0, "1.0": 1, "-1.0": 0, "0.0": 0, "true": 1, "false": 0, "yes": 1, "no": 0}
# What the column of names is mostly called, in small letters without what is no letter.
TITLES = ("", "id", "image", "imageid", "imagename", "imagefile", "img", "file", "filename", "filepath", "name", "path")
PARTS = {
    "train": ("0", "train", "training"),
    "val": ("1", "val", "valid", "validation"),
    "test": ("2", "test", "testing"),
}
_WORD = re.compile(r'"((?:[^"]|"")*)"|(\S+)')


def read_list(path: Path, wanted: Collection[str] = ()) -> tuple[list[str], list[str], Tensor]:
    """A list file -> names of attributes, names of images, and (N, A) int64 of 0 and 1.

    The number of images may stand in a line of its own before the names of the attributes, and these may begin with a
    title of the images' names, which is none of the ``wanted`` attributes.

    Raises:
        DataError: naming the file and the line.
    """
    lines = table(path, "the list of attributes")
    start = 1 if len(lines[0][1]) == 1 and lines[0][1][0].isdecimal() else 0  # the number of images
    if len(lines) == start:
        raise DataError(f"{path}: it ends before the names of the attributes; it may be truncated")
    (heading, known), rows = lines[start], lines[start + 1 :]
    if known[1:] and all(word.lower() in VALUES for word in known[1:]):
        raise DataError(f"{path}:{heading}: expected the names of the attributes, one for each column; add such a line")
    known = _without_title(path, heading, known, rows, wanted)
    names, values = [], []
    for number, row in rows:
        name, answers = " ".join(row[: -len(known)]), [word.lower() for word in row[-len(known) :]]
        if len(row) <= len(known) or not set(answers) <= VALUES.keys():
            # the line is not shown: the file may be another than a list of attributes, and private
            raise DataError(
                f"{path}:{number}: expected a name, and 1 or -1 for each of the {len(known)} attributes of "
                f"line {heading}; {_cause(row, known)}"
            )
        names.append(name.replace("\\", "/"))
        values.append(answers)
    _check(path, lines[0][1] if start else None, names)
    found = {word for row in values for word in row}
    if {"0", "-1"} <= found:
        warnings.warn(f"{path}: it holds 1, 0 and -1; 0 and -1 are both taken as no", stacklevel=2)
    return known, names, torch.tensor([[VALUES[word] for word in row] for row in values])


def _without_title(
    path: Path, line: int, known: list[str], rows: Sequence[tuple[int, list[str]]], wanted: Collection[str]
) -> list[str]:
    """The names of the attributes, without a title of the column of names.

    Raises DataError if none remains.
    """
    titled = bool(rows) and all(len(row) == len(known) for _, row in rows) and known[0] not in wanted
    if not titled:
        return known
    if len(known) == 1:
        raise DataError(f"{path}:{line}: there are names of images, and no attributes")
    if re.sub(r"[\W_]", "", known[0].lower()) not in TITLES:
        warnings.warn(f"{path}:{line}: {known[0]!r} is taken as the title of the images' names", stacklevel=3)
    return known[1:]


def _cause(row: Sequence[str], known: Sequence[str]) -> str:
    """What is wrong with a row, without showing it."""
    if len(row) == 1:
        return "the line is one word: are its values separated by blanks, commas, semicolons or tabs?"
    if len(row) <= len(known):
        title = "; or is the first of those names the title of the images' names, which other lines do not fit?"
        return f"it has {len(row) - 1} values{title if len(row) == len(known) else ''}"
    return "a value is something else"


def _check(path: Path, stated: Sequence[str] | None, names: Sequence[str]) -> None:
    if not names or (stated is not None and int(stated[0]) != len(names)):
        said = stated[0] if stated is not None else "nothing about their number"
        raise DataError(f"{path}: it lists {len(names)} images, and its first line says {said}; it may be truncated")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:  # it could be in both splits
        raise DataError(f"{path}: {twice[0]} is listed twice; remove one of its lines")


def in_partition(path: Path, names: Sequence[str], split: str) -> list[int]:
    """The rows of a split by a partition file: a name and 0 or train, 1 or val, 2 or test a line.

    It is warned of other values, whose images are left out.

    Raises DataError for an image that it does not name.
    """
    lines = [row for _, row in table(path, "the partition")]
    parts = {" ".join(row[:-1]).replace("\\", "/"): row[-1].lower() for row in lines}
    unknown = next((name for name in names if name not in parts), None)
    if unknown is not None:
        raise DataError(f"{path}: it does not say which split {unknown} belongs to")
    odd = Counter(parts[name] for name in names if not any(parts[name] in words for words in PARTS.values()))
    if odd:
        counted = ", ".join(f"{word!r} ({count})" for word, count in odd.most_common(5))
        warnings.warn(f"{path}: images whose part is {counted} are left out; parts are 0, 1 and 2", stacklevel=2)
    return [row for row, name in enumerate(names) if parts[name] in PARTS[split]]


def table(path: Path, what: str) -> list[tuple[int, list[str]]]:
    """The lines of a text file that are not empty: their numbers and words.

    Words are separated by tabs, commas or semicolons, if all lines but a first one have such, or else by blanks; those
    in double quotes are one word.

    Raises DataError for a file that cannot be read, or is empty.
    """
    if not path.is_file():
        raise DataError(f"{path}: there is no such file; it has to hold {what}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: {what} cannot be read ({getattr(error, 'strerror', None) or error})") from error
    lines = [(number, line.strip(" \r\n")) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        raise DataError(f"{path}: {what} is empty")
    between = next((mark for mark in "\t,;" if len(lines) > 1 and all(mark in line for _, line in lines[1:])), "")
    return [(number, _words(line, between)) for number, line in lines]


def _words(line: str, between: str) -> list[str]:
    if '"' not in line:
        return [word.strip() for word in line.split(between)] if between else line.split()
    if not between:
        return [quoted.replace('""', '"') or plain for quoted, plain in _WORD.findall(line)]
    return [word.strip() for word in next(csv.reader([line], delimiter=between, skipinitialspace=True))]


def located(base: Path, names: Sequence[str], where: Path) -> list[str]:
    """The files of images by their names, which may lack the suffix: paths below ``base``.

    Raises DataError for those that are not there.
    """
    there = {entry.name for entry in os.scandir(base) if os.path.isfile(entry.path)}
    stems: dict[str, list[str]] = {}
    if any(name not in there for name in names):
        for each in sorted(there):
            stems.setdefault(Path(each).stem, []).append(each)
    found, missing = [], []
    for name in names:
        alone = stems.get(name, [])
        if name in there or ("/" in name and (base / name).is_file()):
            found.append(name)
        elif len(alone) == 1:
            found.append(alone[0])
        else:
            missing.append(name)
    if missing:
        more = f", nor are {len(missing) - 1} more images" if len(missing) > 1 else ""
        raise DataError(
            f"{base}: {missing[0]} is not there{more}; {where.name} lists {'them' if more else 'it'}: "
            f"remove {'their lines' if more else 'its line'}, or add the file{'s' if more else ''}"
        )
    return found
