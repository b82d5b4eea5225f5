"""Image files as a trained run takes them, one by one, with what is to be said of how each was read."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from ganrun.data import image_grid
from ganrun.data.image_array import ValueRange, read_array
from ganrun.data.image_files import MODES, read_picture
from ganrun.data.image_values import ARRAYS, PNG_HEAD, is_deep
from ganrun.data.image_writing import ORIENTATION, values_of


@dataclass(frozen=True)
class Given:
    """An image (C, H, W) in [-1, 1], turned as EXIF says.

    orientation: EXIF's number of how the file was turned, 1 for not at all. said: what reading changed, in words.
    """

    image: Tensor
    orientation: int = 1
    said: tuple[str, ...] = ()


def read_given(file: Path, channels: int, values: tuple[float, float] | None = None) -> Given:
    """An image file for a run whose images have so many channels, and whose -1 and 1 stand for these values.

    values: None for 8 bits; deeper files are then scaled to 8 bits. Files of 8 bits are taken as 0 to 255 always.

    Raises:
        DataError: naming the file: it cannot be read, or has other channels.
    """
    if values is None and channels in MODES:
        image = image_grid.to_tensor(read_picture(file, channels))
    else:
        wanted = None if values is None else ValueRange(*values, given=False)
        array = torch.from_numpy(read_array(file, channels, wanted))  # (C, H, W)
        image = array.div(127.5).sub(1) if array.dtype == torch.uint8 else array
    orientation, said = (1, ()) if file.suffix.lower() in ARRAYS else _about(file, channels, values)
    return Given(image, orientation, said)


def scaled(image: Tensor, size: tuple[int, int], values: tuple[float, float] | None = None) -> Tensor:
    """(C, H, W) -> (C, height, width), as PIL scales (bicubic, antialiased). size: (width, height).

    values: what -1 and 1 stand for; None: images of 8 bits, which are rounded to their levels.
    """
    if (image.shape[2], image.shape[1]) == size:
        return image
    if values is None and image.shape[0] in MODES:
        levels = values_of(image, "uint8").transpose(1, 2, 0)  # (H, W, C)
        picture = Image.fromarray(levels[:, :, 0] if len(image) == 1 else np.ascontiguousarray(levels))
        return image_grid.to_tensor(picture.resize(size, Image.Resampling.BICUBIC))
    channels = [Image.fromarray(channel.numpy()).resize(size, Image.Resampling.BICUBIC) for channel in image]
    return torch.from_numpy(np.stack([np.asarray(channel) for channel in channels])).clamp(-1, 1)


def turned_back(image: Tensor, orientation: int) -> Tensor:
    """(C, H, W) as it is to be stored in a file of this orientation, which a viewer turns."""
    if orientation in (5, 7):
        image = image.transpose(1, 2)
    if orientation in (3, 7):
        image = image.flip(1, 2)
    if orientation in (6, 8):
        image = image.rot90(1 if orientation == 6 else -1, (1, 2))
    return image.flip(2) if orientation == 2 else image.flip(1) if orientation == 4 else image


def _about(file: Path, channels: int, values: tuple[float, float] | None) -> tuple[int, tuple[str, ...]]:
    """How a file that was read is turned, and what reading changed."""
    said = []
    with suppress(UnidentifiedImageError), file.open("rb") as opened:  # PIL does not know each TIFF file that is read
        head = opened.read(PNG_HEAD)
        opened.seek(0)
        with Image.open(opened) as picture:
            if channels != 4 and picture.has_transparency_data and _is_transparent(picture):
                said.append("transparent parts lie on white, and the translation is opaque")
            if getattr(picture, "n_frames", 1) > 1:
                said.append("the first of several frames is translated")
            if is_deep(picture, head) and values is None and channels in MODES:
                said.append("more than 8 bits are read as 8, as the run was trained")
            if not is_deep(picture, head) and values is not None:
                said.append(f"8 bits are read as 0 to 255, beside the run's {values[0]:g} to {values[1]:g}")
            orientation = int(picture.getexif().get(ORIENTATION, 1))
            return orientation if orientation in range(1, 9) else 1, tuple(said)
    return 1, ()


def _is_transparent(picture: Image.Image) -> bool:
    return bool((np.asarray(picture.convert("RGBA").getchannel("A")) < 255).any())
