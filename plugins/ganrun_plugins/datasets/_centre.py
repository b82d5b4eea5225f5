"""Squares from the middle of images, at one size: what data sets of aligned or large photographs have in common."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from PIL import Image
from pydantic import Field

from ganrun.plugin.data import DataError, permutation, read_picture
from ganrun_plugins.datasets._fit import Fit

FACES = 178  # the width of CelebA's aligned images

Size = Annotated[int, Field(ge=4, le=4096, description="side of the images in pixels")]
Crop = Annotated[
    int | None,
    Field(
        ge=4,
        description="side of the square that is cropped before it is scaled, at most the short side; null: the short "
        "side",
    ),
]
Centre = Annotated[
    tuple[int, int] | None,
    Field(
        description="column and row around which a square of `crop` pixels is cut: it begins crop // 2 before them; "
        "null: the middle"
    ),
]
Interpolation = Annotated[
    Literal["bilinear", "bicubic"],
    Field(description="the filter by which the square is scaled, antialiased: PIL's of that name"),
]
Flip = Annotated[bool, Field(description="mirror half of the training images")]
Names = Annotated[
    Sequence[str], Field(min_length=1, description="the attributes to keep, by name, in the order of the columns")
]
PAPER = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young")  # StarGAN's five of CelebA's forty


# Fields of CentreFit that earlier versions did not have.
ADDED = ("centre", "interpolation")


@dataclass(frozen=True)
class CentreFit(Fit):
    """A square of each image, scaled, and half of them mirrored if ``flip``.

    It has ``crop`` pixels, at most the short side, and lies in the middle; or all of them around ``centre``, a column
    and a row, of which it begins crop // 2 before.

    Raises DataError for a centre without a crop.
    """

    crop: int | None = None
    centre: tuple[int, int] | None = None
    interpolation: str = "bicubic"

    def __post_init__(self) -> None:
        if self.centre is not None and self.crop is None:
            raise DataError(
                "centre says where a square lies and needs its side; set `crop`, or leave `centre` out for the middle"
            )

    def __repr__(self) -> str:
        """All fields, but of the added ones only those that differ from their defaults.

        Fingerprints of data hold it, and those of earlier runs have to stay.
        """
        values = [(one.name, getattr(self, one.name), one.default) for one in fields(self)]
        shown = [f"{name}={value!r}" for name, value, default in values if name not in ADDED or value != default]
        return f"CentreFit({', '.join(shown)})"

    def geometry(self) -> list[str]:
        """How it is cropped and scaled, in words."""
        scaled = f"scaled to {self.size} x {self.size} ({self.interpolation}, antialiased)"
        if self.centre is not None:
            place = "the square of {} pixels around column {}, row {}".format(self.crop, *self.centre)
            return [place, "not scaled" if self.crop == self.size else scaled]
        return [f"the middle square {f'of {self.crop} pixels' if self.crop else 'of the short side'}", scaled]

    def scaled(self, path: Path) -> np.ndarray:
        """(C, size, size) uint8. Raises DataError naming the file if the square reaches beyond it."""
        image = read_picture(path, self.channels)
        try:
            return self.scaled_picture(image)
        except DataError as error:
            raise DataError(f"{path}: {error}") from None

    def scaled_picture(self, image: Image.Image) -> np.ndarray:
        """The same for an image that is decoded."""
        square = image.crop(self.square(*image.size))
        # (S, S) or (S, S, C)
        array = np.array(square.resize((self.size, self.size), Image.Resampling[self.interpolation.upper()]))
        return np.ascontiguousarray(array.reshape(self.size, self.size, self.channels).transpose(2, 0, 1))

    def square(self, width: int, height: int) -> tuple[int, int, int, int]:
        """What is cut from an image of ``width`` x ``height``: left, top, and the ends on the right and below."""
        if self.centre is not None and self.crop is not None:
            side = self.crop
            left, top = (place - side // 2 for place in self.centre)
            if min(left, top) < 0 or left + side > width or top + side > height:
                raise DataError(
                    f"the square of {side} pixels around column {self.centre[0]}, row {self.centre[1]} reaches beyond "
                    f"its {width} x {height} pixels; change `centre`, or make `crop` smaller"
                )
        else:
            side = min(self.crop or min(width, height), width, height)
            left, top = (width - side) // 2, (height - side) // 2
        return left, top, left + side, top + side


def chosen(count: int, wanted: int, split: str, name: str) -> list[int]:
    """The items of a split: ``wanted`` of ``count`` are for tests, chosen by a key, and all others for training.

    Raises:
        DataError: if nothing would remain for training.
    """
    check_held_out(count, wanted, name)
    order = permutation(count, name, "held out")
    return sorted((order[:wanted] if split == "test" else order[wanted:]).tolist())


def check_held_out(count: int, wanted: int, name: str) -> None:
    """Raises DataError if nothing would remain for training."""
    if wanted >= count:
        raise DataError(
            f"{name}: {wanted} of {count} images held out for tests leave none to train on; set `held_out` lower"
        )


def columns_of(wanted: Sequence[str], known: Sequence[str], where: str) -> list[int]:
    """The columns of the wanted attributes among the known ones.

    Raises DataError for one that is not there or named twice.
    """
    for name in wanted:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}"
            raise DataError(f"{where}: there is no attribute {name!r}; {hint}")
    if len(set(wanted)) < len(wanted):
        raise DataError(f"{where}: an attribute is named twice: {', '.join(wanted)}")
    return [list(known).index(name) for name in wanted]
