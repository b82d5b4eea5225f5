"""A part of each image, at one size: what data sets of aligned or large photographs have in common."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from PIL import Image
from pydantic import Field

from ganrun.plugin.data import DataError, permutation, read_picture
from ganrun_plugins.datasets._fit import Fit, Sides, in_words, sides_of

FACES = 178  # the width of CelebA's aligned images

Crop = Annotated[
    Annotated[int, Field(ge=4)] | tuple[Annotated[int, Field(ge=4)], Annotated[int, Field(ge=4)]] | None,
    Field(
        description="what is cut out before it is scaled: the side of a square, or [height, width], at most the "
        "image's; null: the whole image"
    ),
]
Centre = Annotated[
    tuple[int, int] | None,
    Field(description="column and row around which `crop` lies: it begins crop // 2 before them; null: the middle"),
]
Interpolation = Annotated[
    Literal["bilinear", "bicubic"],
    Field(description="the filter by which images are scaled, antialiased: PIL's of that name"),
]
Flip = Annotated[bool, Field(description="mirror half of the training images")]
Names = Annotated[
    Sequence[str], Field(min_length=1, description="the attributes to keep, by name, in the order of the columns")
]
PAPER = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young")  # StarGAN's five of CelebA's forty


@dataclass(frozen=True, repr=False)
class CentreFit(Fit):
    """A part of each image, scaled, and half of them mirrored if ``flip``.

    The part has ``crop`` pixels, at most the image's (without a ``crop`` all), and lies in the middle; or all of them
    around ``centre``, a column and a row, of which it begins crop // 2 before. By the rule ``crop`` it is narrowed to
    the aspect of ``size``, then scaled; other rules are those of :class:`Fit`.

    Raises DataError for a centre without a crop.
    """

    crop: Sides | None = None
    centre: tuple[int, int] | None = None
    interpolation: str = "bicubic"

    added: ClassVar[tuple[str, ...]] = ("pad", "draft", "centre", "interpolation")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.centre is not None and self.crop is None:
            raise DataError(
                "centre says where a square lies and needs its side; set `crop`, or leave `centre` out for the middle"
            )

    def geometry(self) -> list[str]:
        """How it is cropped and scaled, in words."""
        part = {int: f"square of {self.crop} pixels", tuple: f"part of {self.crop and in_words(self.crop)}"}
        kind = part.get(type(self.crop), "")
        rectangle = self.resize == "crop" and isinstance(self.size, tuple)
        window = [f"the middle of its aspect of {in_words(self.size)}"] if rectangle else []
        if self.centre is not None:
            place = [f"the {kind} around column {self.centre[0]}, row {self.centre[1]}"]
        elif kind:
            place = [f"the middle {kind}"]
        else:
            place = ["the middle square of the short side"] if self.resize == "crop" and not rectangle else []
        if self.resize != "crop":
            scaled = [words.replace("bicubic", self.interpolation) for words in super().geometry()]
        elif self.centre is not None and self.crop == self.size:
            scaled = ["not scaled"]
        else:
            scaled = [f"scaled to {in_words(self.size)} ({self.interpolation}, antialiased)"]
        return [*place, *window, *scaled]

    @property
    def filter(self) -> Image.Resampling:
        """The filter by which images are scaled."""
        return Image.Resampling[self.interpolation.upper()]

    def scaled(self, path: Path, *, frame: int = 0) -> np.ndarray:
        """(C, height, width) uint8. Raises DataError naming the file if its part reaches beyond it."""
        image = read_picture(path, self.channels, frame=frame)
        try:
            return self.scaled_picture(image)
        except DataError as error:
            raise DataError(f"{path}: {error}") from None

    def cut(self, width: int, height: int) -> tuple[int, int, int, int]:
        """What of an image is scaled: left, top, and the ends on the right and below."""
        rows, columns = (height, width) if self.crop is None else sides_of(self.crop)
        if self.centre is None:
            rows, columns = min(rows, height), min(columns, width)
        if self.resize == "crop":
            rows, columns = narrowed(rows, columns, self.sides)
        if self.centre is None:
            left, top = (width - columns) // 2, (height - rows) // 2
        else:
            left, top = self.centre[0] - columns // 2, self.centre[1] - rows // 2
            if min(left, top) < 0 or left + columns > width or top + rows > height:
                part = f"square of {rows} pixels" if rows == columns else f"part of {rows} x {columns} pixels"
                raise DataError(
                    f"the {part} around column {self.centre[0]}, row {self.centre[1]} reaches beyond "
                    f"its {width} x {height} pixels; change `centre`, or make `crop` smaller"
                )
        return left, top, left + columns, top + rows

    def scaled_shape(self, width: int, height: int) -> tuple[int, int]:
        """The width and height that what is cut is scaled to."""
        if self.resize == "crop":  # of the aspect of the size already
            rows, columns = self.sides
            return columns, rows
        return super().scaled_shape(width, height)


def narrowed(rows: int, columns: int, sides: tuple[int, int]) -> tuple[int, int]:
    """The rows and columns of the largest part of an image that has the aspect of ``sides``, height and width."""
    height, width = sides
    if rows * width > columns * height:
        return max(1, columns * height // width), columns
    return rows, max(1, rows * width // height)


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
