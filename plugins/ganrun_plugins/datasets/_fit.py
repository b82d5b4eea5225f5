"""How images of any shape are fitted to one: scaled, cropped, mirrored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from PIL import Image
from pydantic import Field
from torch import Tensor

from ganrun.plugin.data import DataError, ItemDraws, read_picture

Side = Annotated[int, Field(ge=4, le=4096, description="side of the images in pixels")]
LoadSide = Annotated[
    int | None,
    Field(
        ge=4,
        le=4096,
        description="side that training images are stretched to before they are cropped; null: 286 / 256 of the size",
    ),
]


@dataclass(frozen=True)
class Fit:
    """How images of any shape become (channels, size, size).

    They are scaled to ``load`` pixels, the short side (or, with ``stretch``, both sides), with PIL's antialiased
    bicubic filter; then a window of ``size`` is cropped, at a random place or in the middle; then half of them are
    mirrored, if ``flip``.
    """

    channels: int
    size: int
    load: int
    stretch: bool = False
    random: bool = False
    flip: bool = False

    def words(self) -> str:
        """What is done to an image, in words."""
        colours = {1: "grey", 3: "RGB", 4: "RGB and alpha"}[self.channels]
        return "; ".join(filter(None, [colours, *self.geometry(), "half of them mirrored" if self.flip else ""]))

    def geometry(self) -> list[str]:
        """How it is scaled and cropped, in words."""
        scaled = f"{self.load} x {self.load}" if self.stretch else f"the short side of {self.load}"
        crop = f"a {'random' if self.random else 'middle'} window of {self.size} x {self.size}"
        whole = self.stretch and self.load == self.size
        return [f"scaled to {scaled} (bicubic, antialiased)", *([] if whole else [crop])]

    def scaled(self, path: Path) -> np.ndarray:
        """(C, H, W) uint8, scaled but not yet cropped."""
        return self.scaled_picture(read_picture(path, self.channels))

    def scaled_picture(self, image: Image.Image) -> np.ndarray:
        """The same for an image that is decoded."""
        width, height = image.size
        factor = self.load / min(width, height)
        shape = (
            (self.load, self.load)
            if self.stretch
            else (max(self.load, round(width * factor)), max(self.load, round(height * factor)))
        )
        if image.size != shape:
            image = image.resize(shape, Image.Resampling.BICUBIC)
        array = np.array(image)  # (H, W) or (H, W, C)
        if not self.random and not self.stretch:
            top, left = (array.shape[0] - self.size) // 2, (array.shape[1] - self.size) // 2
            array = array[top : top + self.size, left : left + self.size]
        return np.ascontiguousarray(array.reshape(*array.shape[:2], self.channels).transpose(2, 0, 1))

    def cropped(self, pictures: Sequence[Tensor] | Tensor, draws: ItemDraws, name: str) -> Tensor:
        """Scaled images, B of them, (C, H, W) each -> (B, C, size, size) uint8.

        ``name`` keeps the entries' numbers apart.
        """
        if self.random:
            place = draws.uniform(f"{name} crop", 2)  # (B, 2)
            windows = []
            for picture, (down, right) in zip(pictures, place.tolist()):
                top, left = (
                    int(down * (picture.shape[1] - self.size + 1)),
                    int(right * (picture.shape[2] - self.size + 1)),
                )
                windows.append(picture[:, top : top + self.size, left : left + self.size])
            pictures = windows
        batch = pictures if isinstance(pictures, Tensor) else torch.stack(list(pictures))  # (B, C, size, size)
        if self.flip:
            mirrored = torch.from_numpy(draws.uniform(f"{name} flip")[:, 0] < 0.5).to(batch.device)
            batch = torch.where(mirrored[:, None, None, None], batch.flip(-1), batch)
        return batch


def translation_fit(what: str, split: str, channels: int, size: int, load_size: int | None, *, flip: bool) -> Fit:
    """How CycleGAN and pix2pix fit images: stretched, and in training cropped and mirrored at random.

    Without a ``load_size`` they are stretched by as much as there, to 286 pixels for a size of 256.

    Raises DataError for a split other than train and test, naming ``what`` has these, and where no crop fits.
    """
    if split not in ("train", "test"):
        raise DataError(f"there is no split {split!r}; {what} have train and test")
    load_size = load_size or round(size * 286 / 256)
    if load_size < size:
        raise DataError(
            f"load_size {load_size} is smaller than size {size}, so that no crop fits; set it to at least {size}"
        )
    training = split == "train"
    load = load_size if training else size
    return Fit(channels, size, load, stretch=True, random=training and load > size, flip=flip and training)
