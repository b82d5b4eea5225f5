"""Squares from the middle of images, at one size: what data sets of aligned or large photographs have in common."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from PIL import Image
from pydantic import Field

from ganrun.plugin.data import DataError, permutation, read_picture
from ganrun_plugins.datasets._images import Fit

FACES = 178  # the width of CelebA's aligned images

Size = Annotated[int, Field(ge=4, le=4096, description="side of the images in pixels")]
Crop = Annotated[
    int | None,
    Field(ge=4, description="side of the square cropped from the middle before it is scaled; null: the short side"),
]
Flip = Annotated[bool, Field(description="mirror half of the training images")]
Names = Annotated[
    Sequence[str], Field(min_length=1, description="the attributes to keep, by name, in the order of the columns")
]
PAPER = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young")  # StarGAN's five of CelebA's forty


def centred(image: Image.Image, size: int, crop: int | None) -> np.ndarray:
    """The middle square of ``crop`` pixels, scaled (bicubic, antialiased): (C, size, size) uint8.

    It has at most the short side.
    """
    width, height = image.size
    side = min(crop or min(width, height), width, height)
    left, top = (width - side) // 2, (height - side) // 2
    # (S, S) or (S, S, C)
    array = np.array(image.crop((left, top, left + side, top + side)).resize((size, size), Image.Resampling.BICUBIC))
    return np.ascontiguousarray(array.reshape(size, size, -1).transpose(2, 0, 1))


@dataclass(frozen=True)
class CentreFit(Fit):
    """A square from the middle of each image, scaled, and half of them mirrored if ``flip``."""

    crop: int | None = None

    def geometry(self) -> list[str]:
        """How it is cropped and scaled, in words."""
        square = f"of {self.crop} pixels" if self.crop else "of the short side"
        return [f"the middle square {square}", f"scaled to {self.size} x {self.size} (bicubic, antialiased)"]

    def scaled(self, path: Path) -> np.ndarray:
        """(C, size, size) uint8."""
        return centred(read_picture(path, self.channels), self.size, self.crop)


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
