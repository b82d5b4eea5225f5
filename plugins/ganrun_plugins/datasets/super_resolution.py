"""Images to be enlarged: crops of the images in a folder, and the same crops made small.

Ledig et al., "Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network" (2016), section
3.2: crops of 96 pixels at random places of the training images, which are not scaled, made small by a bicubic filter.

``root/train`` and ``root/test`` hold the images. Test images are cropped in the middle. An image whose shorter
side is smaller than a crop is enlarged to it by the bicubic filter, and shows less detail than others: leave such
images out.

Difference: published numbers (Set5, Set14, BSD100) are of whole test images, of whatever size; here they are of their
middles.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, RecipePath, Space, hookimpl
from ganrun.plugin.data import DataError, DataFiles, ImageReading, ItemDraws, fingerprint, list_pictures, split_folder
from ganrun_plugins.datasets._bicubic import check_factor, shrunk
from ganrun_plugins.datasets._fit import Fit, Side, Sides, image_space, in_words, sides_of
from ganrun_plugins.datasets._images import Cache, Channels, ranges_of, read_as_items
from ganrun_plugins.datasets._reading import BadImages, Frames, Range


@dataclass(frozen=True, repr=False)
class Unscaled(Fit):
    """Images keep their scale, unless a side is below that of ``size``: that much they are enlarged."""

    def geometry(self) -> list[str]:
        """How it is cropped, in words."""
        crop = f"a {'random' if self.random else 'middle'} window of {in_words(self.size)}"
        return ["not scaled, unless it is smaller than the window", crop]

    def scaled_shape(self, width: int, height: int) -> tuple[int, int]:
        """The width and height that an image of ``width`` x ``height`` is enlarged to, mostly its own."""
        rows, columns = self.sides
        factor = max(1.0, rows / height, columns / width)
        return max(columns, round(width * factor)), max(rows, round(height * factor))


class SuperResolution:
    """``low``: images (channels, height / factor, width / factor). ``x``: the same crops, (channels, height, width)."""

    classes: tuple[str, ...] = ()

    def __init__(
        self,
        files: DataFiles,
        split: str,
        *,
        root: Annotated[
            str,
            Field(min_length=1, description="the folder of train and test; a relative path starts at the recipe"),
            RecipePath(),
        ],
        size: Annotated[
            Side | tuple[Side, Side], Field(description="side of the crops in pixels, or [height, width]")
        ] = 96,
        factor: Annotated[int, Field(ge=2, le=16, description="how much smaller `low` is")] = 4,
        flip: Annotated[bool, Field(description="mirror half of the training crops")] = False,
        channels: Channels = 3,
        cache: Cache = False,
        range: Range = None,
        frames: Frames = "first",
        bad_images: BadImages = "fail",
    ) -> None:
        if split not in ("train", "test"):
            raise DataError(f"there is no split {split!r}; super-resolution has train and test")
        check_factor(size, factor)
        base = files.path(root)
        if not base.is_dir():
            raise DataError(f"{base}: there is no such folder; it has to hold train and test")
        training = split == "train"
        self.factor = factor
        self.in_memory = cache
        fit = Unscaled(channels, size, size, random=training, flip=flip and training)
        lists = {name: list_pictures(_folder(base, name), arrays=True) for name in dict.fromkeys(("train", split))}
        reading = ImageReading(range, frames, bad_images)
        (self.pictures,) = read_as_items(
            reading, [(lists[split], fit, lists["train"])], keep=False, cache=files.cache if cache else None, root=base
        )
        self.spaces = self.known_spaces(size=size, factor=factor, channels=channels)

    @classmethod
    def known_spaces(cls, *, size: Sides, factor: int, channels: int, **_: Any) -> dict[str, Space]:
        """Entries, which follow from the parameters: networks are built where the files are not."""
        height, width = sides_of(size)
        return {"low": image_space(channels, (height // factor, width // factor)), "x": image_space(channels, size)}

    def __len__(self) -> int:
        return len(self.pictures)

    def batch(self, indices: Tensor, draws: ItemDraws) -> dict[str, Tensor]:
        """Items (B,) -> ``low`` and ``x``, uint8."""
        x = self.pictures.batch(indices, draws, "x")
        return {"low": shrunk(x, self.factor), "x": x}

    def to(self, device: torch.device) -> None:
        """Nothing is kept in memory."""

    @property
    def paths(self) -> list[Path]:
        """The files that items are read from."""
        return self.pictures.all_paths()

    @property
    def preparation(self) -> str:
        """How files are read, and what is done to the images, in words."""
        return self.pictures.preparation

    @property
    def skipped(self) -> dict[Path, str]:
        """Files that cannot be read and were left out, and why."""
        return self.pictures.skipped

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """What -1 and 1 of both entries stand for, if that is not 0 and 255."""
        return ranges_of({"low": self.pictures, "x": self.pictures})

    @property
    def departs(self) -> bool:
        """Whether some files are read otherwise than the reference code of FID reads them."""
        return self.pictures.departs

    def fingerprint(self) -> str:
        """A hash of the files and the preprocessing."""
        return fingerprint(self.pictures.fingerprint(), self.factor)


def _folder(base: Path, split: str) -> Path:
    """The folder of a split, by its plain name if it is not there, so that who lists it says so."""
    return split_folder(base, split) or base / split


@hookimpl
def ganrun_components() -> Iterable[Component]:
    yield Component("dataset", "super-resolution", SuperResolution)
