"""Crops of the colour photographs that scikit-image and scikit-learn ship, of pictures whose licences are clear."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
import torch
from PIL import Image
from pydantic import Field
from torch import Tensor

from ganrun.plugin.data import DataError, ItemDraws
from ganrun_plugins.datasets._fit import Sides, Size, shown, sides_of

TRIES = 12  # windows that are drawn for a crop, at most, until one is not even
EVEN = 16.0  # levels of standard deviation, of an eighth of each side, below which a window is nearly even

Photo = Literal["scikit-image", "scikit-learn"]
Count = Annotated[int | None, Field(ge=8, le=100_000, description="crops; null: 2000 to train on, 500 for tests")]
CropSize = Annotated[Size, Field(description="side of the crops in pixels, or [height, width], 8 to 128")]
Largest = Annotated[
    float,
    Field(
        ge=1,
        le=16,
        description="the largest windows, in multiples of the size, as far as the picture goes; they are drawn between "
        "1 and this, and scaled to the size (bicubic, antialiased); 1: none is scaled",
    ),
]
Source = Annotated[
    Literal["all", "scikit-learn"],
    Field(description="all: needs scikit-image; scikit-learn: its two alone, one of them for each split"),
]


class Picture(NamedTuple):
    """A picture: its package, the folder and the file there, and the split that has its crops."""

    package: Photo
    file: str
    split: str


PICTURES = (
    Picture("scikit-learn", "datasets/images/flower.jpg", "train"),
    Picture("scikit-image", "data/astronaut.png", "train"),
    Picture("scikit-image", "data/coffee.png", "train"),
    Picture("scikit-image", "data/hubble_deep_field.jpg", "train"),
    Picture("scikit-image", "data/retina.jpg", "train"),
    Picture("scikit-image", "data/rocket.jpg", "train"),
    Picture("scikit-learn", "datasets/images/china.jpg", "test"),
    Picture("scikit-image", "data/chelsea.png", "test"),
)
MODULES = {"scikit-image": "skimage", "scikit-learn": "sklearn"}


def crops(split: str, size: Sides, count: int | None, largest: float, source: str) -> Tensor:
    """(N, 3, height, width) uint8: as many of each picture of a split, from windows that a key chooses.

    Nearly even windows (dark sky, the border of a retina) are drawn again, up to a dozen times.

    Raises:
        DataError: for another split or size, or a package that is not installed.
    """
    height, width = sides_of(size)
    if split not in ("train", "test"):
        raise DataError(f"there is no split {split!r}; the photographs have train and test")
    if not (8 <= height <= 128 and 8 <= width <= 128):
        raise DataError(f"size {shown(size)}: crops of the photographs have sides of 8 to 128 pixels")
    chosen = [one for one in PICTURES if one.split == split and source in ("all", one.package)]
    count = count or {"train": 2000, "test": 500}[split]
    found = np.empty((count, 3, height, width), np.uint8)
    for number, one in enumerate(chosen):
        rows = np.arange(number, count, len(chosen))  # so that any first n are of all pictures
        draws = ItemDraws(("photos", one.file), np.asarray(0), rows)
        numbers = draws.uniform("window", 3 * TRIES).reshape(len(rows), TRIES, 3)
        picture = opened(one.package, one.file)
        for row, tries in zip(rows.tolist(), numbers.tolist()):
            found[row] = _crop(picture, (height, width), largest, tries).transpose(2, 0, 1)
    return torch.from_numpy(found)


def _crop(picture: Image.Image, sides: tuple[int, int], largest: float, tries: list[list[float]]) -> np.ndarray:
    """(height, width, 3) uint8, of the first of some windows that is not nearly even, else of the last."""
    height, width = sides
    most = min(largest, picture.height / height, picture.width / width)
    box = (0, 0, width, height)
    for scale, down, right in tries:
        zoom = most**scale  # as many windows between 1 and 2 as between 2 and 4
        rows, columns = min(picture.height, round(height * zoom)), min(picture.width, round(width * zoom))
        top, left = int(down * (picture.height - rows + 1)), int(right * (picture.width - columns + 1))
        box = (left, top, left + columns, top + rows)
        if np.asarray(picture.resize((8, 8), Image.Resampling.BOX, box, reducing_gap=1.0)).std((0, 1)).max() >= EVEN:
            break
    whole = box[2:] == (box[0] + width, box[1] + height)
    scaled = (
        picture.crop(box) if whole else picture.resize((width, height), Image.Resampling.BICUBIC, box, reducing_gap=2.0)
    )
    return np.array(scaled)


@cache
def opened(package: Photo, file: str) -> Image.Image:
    """A picture of an installed package, which is not imported for it. DataError if it is not there."""
    spec = find_spec(MODULES[package])
    folders = spec.submodule_search_locations or () if spec else ()
    path = next((path for path in (Path(folder, file) for folder in folders) if path.is_file()), None)
    if path is None:
        raise DataError(
            f"photographs: {Path(file).name} comes with {package}, which is not installed, or without it; "
            "pip install 'ganrun[photos]', or set `source: scikit-learn` for its two pictures alone"
        )
    with Image.open(path) as picture:
        return picture.convert("RGB")


def words(split: str, largest: float, source: str) -> str:
    """What the crops are of, in words."""
    names = ", ".join(Path(one.file).stem for one in PICTURES if one.split == split and source in ("all", one.package))
    scaled = "not scaled" if largest == 1 else f"windows of 1 to {largest:g} times the size (bicubic, antialiased)"
    return f"crops of {names}: {scaled}"
