"""Images with yes-no attributes: a folder, and a list file in CelebA's format.

The list (``list_attr_celeba.txt`` of Liu et al., "Deep Learning Face Attributes in the Wild", 2015) has the number of
images in its first line, the names of all attributes in its second, and then for each image its name and 1 (yes) or
-1 (no) for each attribute. Lists as people have them are read, too: without the number, with commas, semicolons or tabs
and quotes (CSV), with a title above the images' names, 0 for no, names without a suffix or in subfolders.

Preprocessing is that of Choi et al., "StarGAN" (2018): a square of 178 pixels from the middle, scaled to 128, half of
them mirrored in training. Scaling is antialiased, and bicubic; that of StarGAN's code is ``interpolation: bilinear``.

With a ``partition`` (CelebA's ``list_eval_partition.txt``: a name and 0, 1 or 2) the train split is 0 and the test
split 2. Without one, ``held_out`` images chosen by a key are the test split. StarGAN holds out 1,999 too, but those
that Python's shuffle with the seed 1234 puts first: not the same ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePath
from typing import Annotated

import torch
from pydantic import Field

from ganrun.plugin import Component, RecipePath, hookimpl
from ganrun.plugin.data import DataError, DataFiles, FileList, ImageReading
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
from ganrun_plugins.datasets._lists import in_partition, located, read_list
from ganrun_plugins.datasets._reading import BadImages, Frames, Range

LISTS = ("list_attr_celeba.txt", "list_attr_celeba.csv")
Root = Annotated[
    str, Field(min_length=1, description="the folder of the images; a relative path starts at the recipe"), RecipePath()
]
Listed = Annotated[
    str | None,
    Field(description=f"the list of attributes; null: {LISTS[0]} (or .csv) in or beside the folder"),
    RecipePath(),
]
Partition = Annotated[
    str | None,
    Field(description="a file of a name and 0 (or train), 1 (val) or 2 (test) a line; null: see held_out"),
    RecipePath(),
]
HeldOut = Annotated[int, Field(ge=1, description="images of the test split where there is no partition")]


class Attributes(AttributePictures):
    """A folder of images and a list of their attributes."""

    def __init__(
        self,
        files: DataFiles,
        split: str,
        *,
        root: Root,
        listed: Listed = None,
        attributes: Names = PAPER,
        partition: Partition = None,
        held_out: HeldOut = 1999,
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
        range: Range = None,
        frames: Frames = "first",
        bad_images: BadImages = "fail",
    ) -> None:
        if split not in ("train", "test"):
            raise DataError(f"there is no split {split!r}; attributes has train and test")
        base = files.path(root)
        if not base.is_dir():
            raise DataError(f"{base}: there is no such folder; it has to hold the images")
        where = files.path(listed) if listed else next((p for p in beside(base) if p.is_file()), base / LISTS[0])
        known, names, values = read_list(where, attributes)
        values = values[:, columns_of(attributes, known, str(where))]

        def rows_of(split: str) -> list[int]:
            if partition:
                return in_partition(files.path(partition), names, split)
            return chosen(len(names), held_out, split, "attributes")

        def files_of(rows: list[int]) -> FileList:
            paths = located(base, [names[row] for row in rows], where)
            return FileList(base, (PurePath(path).as_posix() for path in paths))

        rows = rows_of(split)
        flip = flip and split == "train"
        fit = CentreFit(
            channels, size, size, resize, flip=flip, pad=pad, crop=crop, centre=centre, interpolation=interpolation
        )
        values = values[torch.tensor(rows, dtype=torch.int64)]  # (N, A)
        found = files_of(rows)
        super().__init__(
            base,
            found,
            values,
            attributes,
            fit,
            keep=in_memory,
            cache=files.cache if cache else None,
            reading=ImageReading(range, frames, bad_images),
            trained=found if split == "train" else files_of(rows_of("train")),
        )


def beside(base: Path) -> list[Path]:
    """Where the list of a folder is looked for."""
    return [folder / name for folder in (base, base.parent) for name in LISTS]


@hookimpl
def ganrun_components() -> Iterable[Component]:
    yield Component("dataset", "attributes", Attributes)
