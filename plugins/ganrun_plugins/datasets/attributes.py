"""Images with yes-no attributes: a folder, and a list file in CelebA's format.

The list (``list_attr_celeba.txt`` of Liu et al., "Deep Learning Face Attributes in the Wild", 2015) has the number of
images in its first line, the names of all attributes in its second, and then for each image its name and 1 (yes) or
-1 (no) for each attribute. Preprocessing is that of Choi et al., "StarGAN" (2018): a square of 178 pixels from the
middle, scaled to 128, half of them mirrored in training. Scaling is antialiased, and bicubic; that of StarGAN's code is
``interpolation: bilinear``.

With a ``partition`` (CelebA's ``list_eval_partition.txt``: a name and 0, 1 or 2) the train split is 0 and the test
split 2. Without one, ``held_out`` images chosen by a key are the test split. StarGAN holds out 1,999 too, but those
that Python's shuffle with the seed 1234 puts first: not the same ones.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, hookimpl
from ganrun.plugin.data import DataError, DataFiles, FileList
from ganrun_plugins.datasets._attributes import AttributePictures
from ganrun_plugins.datasets._centre import (
    FACES,
    PAPER,
    Centre,
    CentreFit,
    Crop,
    Flip,
    Interpolation,
    Names,
    chosen,
    columns_of,
)
from ganrun_plugins.datasets._fit import Pad, Resize, Size
from ganrun_plugins.datasets._images import Cache, Channels, InMemory

LIST = "list_attr_celeba.txt"


class Attributes(AttributePictures):
    """A folder of images and a list of their attributes."""

    def __init__(
        self,
        files: DataFiles,
        split: str,
        *,
        root: Annotated[
            str, Field(min_length=1, description="the folder of the images; a relative path starts at the recipe")
        ],
        listed: Annotated[
            str | None, Field(description=f"the list of attributes; null: {LIST} in or beside the folder")
        ] = None,
        attributes: Names = PAPER,
        partition: Annotated[
            str | None, Field(description="a file of a name and 0 (train), 1 or 2 (test) a line; null: see held_out")
        ] = None,
        held_out: Annotated[
            int, Field(ge=1, description="images of the test split where there is no partition")
        ] = 1999,
        size: Size = 128,
        resize: Resize = "crop",
        pad: Pad = "black",
        crop: Crop = FACES,
        centre: Centre = None,
        interpolation: Interpolation = "bicubic",
        channels: Channels = 3,
        flip: Flip = True,
        in_memory: InMemory = False,
        cache: Cache = False,
    ) -> None:
        if split not in ("train", "test"):
            raise DataError(f"there is no split {split!r}; attributes has train and test")
        base = files.path(root)
        if not base.is_dir():
            raise DataError(f"{base}: there is no such folder; it has to hold the images")
        where = (
            files.path(listed)
            if listed
            else next((p for p in (base / LIST, base.parent / LIST) if p.is_file()), base / LIST)
        )
        known, names, values = read_list(where)
        values = values[:, columns_of(attributes, known, str(where))]
        rows = (
            in_partition(files.path(partition), names, split)
            if partition
            else chosen(len(names), held_out, split, "attributes")
        )
        there = {entry.name for entry in os.scandir(base) if os.path.isfile(entry.path)}
        missing = [names[row] for row in rows if names[row] not in there]
        if missing:
            raise DataError(
                f"{base}: {missing[0]} is not there, nor are {len(missing) - 1} more images that {where.name} lists"
            )
        flip = flip and split == "train"
        fit = CentreFit(
            channels, size, size, resize, flip=flip, pad=pad, crop=crop, centre=centre, interpolation=interpolation
        )
        values = values[torch.tensor(rows, dtype=torch.int64)]  # (N, A)
        paths = FileList(base, (PurePath(names[row]).as_posix() for row in rows))
        kept = files.cache if cache else None
        super().__init__(base, paths, values, attributes, fit, keep=in_memory, cache=kept)


def read_list(path: Path) -> tuple[list[str], list[str], Tensor]:
    """A list file -> names of attributes, names of images, and (N, A) int64 of 0 and 1.

    Raises:
        DataError: naming the file and the line.
    """
    lines = _lines(path, "the list of attributes")
    start = 1 if len(lines[0]) == 1 and lines[0][0].isdecimal() else 0  # the number of images
    if len(lines) == start:
        raise DataError(f"{path}: it ends before the names of the attributes; it may be truncated")
    known, rows = lines[start], lines[start + 1 :]
    values = []
    for number, (_, *row) in enumerate(rows, start + 2):
        if len(row) != len(known) or not set(row) <= {"1", "-1", "0"}:
            raise DataError(
                # the line is not shown: the file may be another than a list of attributes, and private
                f"{path}:{number}: expected a name, and 1 or -1 for each of the {len(known)} attributes of "
                f"line {start + 1}"
            )
        values.append([value == "1" for value in row])
    if not values or (start and int(lines[0][0]) != len(values)):
        stated = lines[0][0] if start else "nothing about their number"
        raise DataError(f"{path}: it lists {len(values)} images, and its first line says {stated}; it may be truncated")
    twice = [name for name, count in Counter(row[0] for row in rows).items() if count > 1]
    if twice:  # it could be in both splits
        raise DataError(f"{path}: {twice[0]} is listed twice; remove one of its lines")
    return known, [row[0] for row in rows], torch.tensor(values).long()


def in_partition(path: Path, names: Sequence[str], split: str) -> list[int]:
    """The rows of a split by a partition file. Raises DataError for an image that it does not name."""
    wanted = {"train": "0", "test": "2"}[split]
    parts = {line[0]: line[-1] for line in _lines(path, "the partition")}
    unknown = next((name for name in names if name not in parts), None)
    if unknown is not None:
        raise DataError(f"{path}: it does not say which split {unknown} belongs to")
    return [row for row, name in enumerate(names) if parts[name] == wanted]


def _lines(path: Path, what: str) -> list[list[str]]:
    if not path.is_file():
        raise DataError(f"{path}: there is no such file; it has to hold {what}")
    try:
        found = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: {what} cannot be read ({getattr(error, 'strerror', None) or error})") from error
    if not found:
        raise DataError(f"{path}: {what} is empty")
    return found


@hookimpl
def ganrun_components() -> Iterable[Component]:
    yield Component("dataset", "attributes", Attributes)
