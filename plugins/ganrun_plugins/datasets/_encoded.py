"""Encoded images that lie in something else than files of their own: parameters, and decoding."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin.data import ItemDraws, decode_picture
from ganrun_plugins.datasets._fit import Colour, Fit, Rule, Sides
from ganrun_plugins.datasets._images import AS_SHOWN

Colours = Annotated[Literal[1, 3, 4], Field(description="1 grey, 3 RGB, 4 RGB and alpha")]
Flip = Annotated[bool, Field(description="mirror half of the images in training")]


class Encoded:
    """Images from their bytes, fitted to one shape."""

    def __init__(self, channels: int, size: Sides, resize: Rule, pad: Colour, *, flip: bool) -> None:
        self.fit = Fit(channels, size, size, resize, flip=flip, pad=pad)

    def batch(self, data: Sequence[bytes], names: Sequence[str], draws: ItemDraws) -> Tensor:
        """Encoded images (B,) -> (B, C, H, W) uint8. Raises DataError by the name of one that cannot be decoded."""
        pictures = [self._decoded(each, name) for each, name in zip(data, names)]
        return self.fit.cropped([torch.from_numpy(picture) for picture in pictures], draws, "x")

    @property
    def preparation(self) -> str:
        """How images are decoded and fitted, in words."""
        return f"{AS_SHOWN}; {self.fit.words()}"

    def _decoded(self, data: bytes, name: str) -> np.ndarray:
        return self.fit.scaled_picture(decode_picture(io.BytesIO(data), name, self.fit.channels))
