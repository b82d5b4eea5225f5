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

import numpy as np
import torch
from PIL import Image
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Space, hookimpl
from ganrun.plugin.data import DataError, DataFiles, ItemDraws, find_pictures, fingerprint, read_picture
from ganrun_plugins.datasets._bicubic import check_factor, shrunk
from ganrun_plugins.datasets._fit import Fit
from ganrun_plugins.datasets._images import Channels, Pictures


@dataclass(frozen=True)
class Unscaled(Fit):
    """Images keep their scale, unless their shorter side is below ``size``: that much they are enlarged."""

    def geometry(self) -> list[str]:
        """How it is cropped, in words."""
        crop = f"a {'random' if self.random else 'middle'} window of {self.size} x {self.size}"
        return ["not scaled, unless it is smaller than the window", crop]

    def scaled(self, path: Path) -> np.ndarray:
        """(C, H, W) uint8: the whole image if a random window is cropped from it later, else its middle."""
        image = read_picture(path, self.channels)
        width, height = image.size
        factor = max(1.0, self.size / min(width, height))
        if factor > 1:
            image = image.resize(
                (max(self.size, round(width * factor)), max(self.size, round(height * factor))),
                Image.Resampling.BICUBIC,
            )
        array = np.array(image)  # (H, W) or (H, W, C)
        if not self.random:
            top, left = (array.shape[0] - self.size) // 2, (array.shape[1] - self.size) // 2
            array = array[top : top + self.size, left : left + self.size]
        return np.ascontiguousarray(array.reshape(*array.shape[:2], self.channels).transpose(2, 0, 1))


class SuperResolution:
    """``low``: images (channels, size / factor, size / factor). ``x``: the same crops, (channels, size, size)."""

    classes: tuple[str, ...] = ()
    in_memory = False

    def __init__(
        self,
        files: DataFiles,
        split: str,
        *,
        root: Annotated[
            str, Field(min_length=1, description="the folder of train and test; a relative path starts at the recipe")
        ],
        size: Annotated[int, Field(ge=8, le=4096, description="side of the crops in pixels")] = 96,
        factor: Annotated[int, Field(ge=2, le=16, description="how much smaller `low` is")] = 4,
        flip: Annotated[bool, Field(description="mirror half of the training crops")] = False,
        channels: Channels = 3,
    ) -> None:
        if split not in ("train", "test"):
            raise DataError(f"there is no split {split!r}; super-resolution has train and test")
        check_factor(size, factor)
        base = files.path(root)
        if not base.is_dir():
            raise DataError(f"{base}: there is no such folder; it has to hold train and test")
        training = split == "train"
        self.factor = factor
        fit = Unscaled(channels, size, size, random=training, flip=flip and training)
        self.pictures = Pictures(base, find_pictures(base / split), fit, keep=False)
        self.spaces = self.known_spaces(size=size, factor=factor, channels=channels)

    @classmethod
    def known_spaces(cls, *, size: int, factor: int, channels: int, **_: Any) -> dict[str, Space]:
        """Entries, which follow from the parameters: networks are built where the files are not."""
        sides = {"low": size // factor, "x": size}
        return {name: Space("image", (channels, side, side)) for name, side in sides.items()}

    def __len__(self) -> int:
        return len(self.pictures)

    def batch(self, indices: Tensor, draws: ItemDraws) -> dict[str, Tensor]:
        """Items (B,) -> ``low`` and ``x``, uint8."""
        x = self.pictures.batch(indices, draws, "x")
        return {"low": shrunk(x, self.factor), "x": x}

    def to(self, device: torch.device) -> None:
        """Nothing is kept in memory."""

    @property
    def preparation(self) -> str:
        """How files are read, and what is done to the images, in words."""
        return self.pictures.preparation

    @property
    def departs(self) -> bool:
        """Whether some files are read otherwise than the reference code of FID reads them."""
        return self.pictures.departs

    def fingerprint(self) -> str:
        """A hash of the files and the preprocessing."""
        return fingerprint(self.pictures.fingerprint(), self.factor)


@hookimpl
def ganrun_components() -> Iterable[Component]:
    yield Component("dataset", "super-resolution", SuperResolution)
