"""How images of any shape are fitted to one: scaled, cropped, padded, mirrored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from PIL import Image
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Space
from ganrun.plugin.data import DataError, ItemDraws, batch_memory, read_picture

Side = Annotated[int, Field(ge=4, le=4096)]
Sides = int | tuple[int, int]  # of a square, or height and width
Size = Annotated[
    Side | tuple[Side, Side], Field(description="side of the images in pixels, or [height, width] of rectangles")
]
LoadSize = Annotated[
    Side | tuple[Side, Side] | None,
    Field(
        description="what training images are scaled to before a window of `size` is cropped at random: the short "
        "side (of scale-width the width), or [height, width]; null: 286 / 256 of the size"
    ),
]
Draft = Annotated[
    bool,
    Field(
        description="decode JPEGs of at least four times the size at a half, a quarter or an eighth of their scale: "
        "several times as fast, other pixels, and no score is called FID"
    ),
]
Rule = Literal["squash", "crop", "fit", "scale-width"]
Resize = Annotated[
    Rule,
    Field(
        description="squash: to the size, whatever the aspect; crop: until the size is covered, then a window; "
        "fit: into the size, then padded; scale-width: to the width, then a window of the height"
    ),
]
Colour = Literal["black", "grey", "white", "edge"]
Pad = Annotated[Colour, Field(description="what `resize: fit` pads with; edge: the outermost pixels, repeated")]
LEVELS = {"black": (0, -1.0), "grey": (128, 0.0), "white": (255, 1.0)}  # of bytes, and of floats in [-1, 1]
COLOURS = {1: "grey", 3: "RGB", 4: "RGB and alpha"}


@dataclass(frozen=True)
class Fit:
    """How images of any shape become (channels, height, width).

    They are scaled with PIL's antialiased bicubic filter by the rule ``resize``: ``squash`` to ``load``, ``crop`` until
    they cover it, ``fit`` until they fit into it, and padded to it with ``pad``, ``scale-width`` to its width (a lower
    one than ``size`` is stretched to its height); then a window of ``size`` is cropped, at a random place or in the
    middle; then half of them are mirrored, if ``flip``.

    size, load: the side of a square, or (height, width). draft: JPEGs of which both sides are at least four times
    ``load`` are decoded at a half, a quarter or an eighth of their scale, to sides of at least twice ``load``.

    Raises DataError for a ``pad`` of a rule that does not pad.
    """

    channels: int
    size: Sides
    load: Sides
    resize: Rule = "crop"
    random: bool = False
    flip: bool = False
    pad: Colour = "black"
    draft: bool = False

    added: ClassVar[tuple[str, ...]] = ("pad", "draft")  # fields that earlier versions did not have

    def __post_init__(self) -> None:
        for name in ("size", "load"):  # a square has one name
            height, width = sides_of(getattr(self, name))
            object.__setattr__(self, name, height if height == width else (height, width))
        if self.pad != "black" and self.resize != "fit":
            raise DataError(f"pad: {self.pad} is for resize: fit, and it is {self.resize}; set it, or leave `pad` out")

    def __repr__(self) -> str:
        """The fields as earlier versions had them, and of the added ones those that differ from their defaults.

        Fingerprints of data hold it, and those of earlier runs have to stay.
        """
        shown = [
            f"stretch={self.resize == 'squash'}" if one.name == "resize" else f"{one.name}={getattr(self, one.name)!r}"
            for one in fields(self)
            if one.name not in self.added or getattr(self, one.name) != one.default
        ]
        rule = [f"resize={self.resize!r}"] if self.resize in ("fit", "scale-width") else []
        return f"{type(self).__name__}({', '.join(shown + rule)})"

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width of what comes out."""
        return sides_of(self.size)

    @property
    def one_shape(self) -> bool:
        """Whether scaled images have one shape, whatever theirs was: not before a random window of some rules."""
        return not self.random or self.resize in ("squash", "fit")

    def words(self) -> str:
        """What is done to an image, in words."""
        colours = COLOURS.get(self.channels, f"{self.channels} channels")
        draft = "large JPEGs decoded at a smaller scale" if self.draft else ""
        return "; ".join(filter(None, [colours, draft, *self.geometry(), "half of them mirrored" if self.flip else ""]))

    def geometry(self) -> list[str]:
        """How it is scaled and cropped, in words."""
        load = in_words(self.load)
        cover = f"cover {load}" if isinstance(self.load, tuple) else f"the short side of {self.load}"
        scaled = {
            "squash": load,
            "crop": cover,
            "fit": f"fit into {load}",
            "scale-width": f"a width of {sides_of(self.load)[1]}, at least {self.sides[0]} high",
        }[self.resize]
        padded = [f"padded with {'its edge' if self.pad == 'edge' else self.pad}"] if self.resize == "fit" else []
        crop = f"a {'random' if self.random else 'middle'} window of {in_words(self.size)}"
        whole = self.resize in ("squash", "fit") and self.load == self.size
        return [f"scaled to {scaled} (bicubic, antialiased)", *padded, *([] if whole else [crop])]

    def scaled(self, path: Path, *, frame: int = 0) -> np.ndarray:
        """(C, H, W) uint8, scaled but not yet cropped at random."""
        at_least = 2 * max(sides_of(self.load)) if self.draft else None
        return self.scaled_picture(read_picture(path, self.channels, at_least=at_least, frame=frame))

    def scaled_picture(self, image: Image.Image) -> np.ndarray:
        """The same for an image that is decoded."""
        box = self.cut(*image.size)
        image = image if box == (0, 0, *image.size) else image.crop(box)
        shape = self.scaled_shape(*image.size)
        if image.size != shape:
            image = image.resize(shape, self.filter)
        array = np.array(image)  # (H, W) or (H, W, C)
        return self.framed(array.reshape(*array.shape[:2], -1).transpose(2, 0, 1), alpha=image.mode == "RGBA")

    def scaled_array(self, array: np.ndarray) -> np.ndarray:
        """The same for (C, H, W) of any number of channels, uint8 or float32 in [-1, 1]; the type stays."""
        height, width = array.shape[1:]
        left, top, right, bottom = self.cut(width, height)
        array = array[:, top:bottom, left:right]
        shape = self.scaled_shape(right - left, bottom - top)
        if shape != (right - left, bottom - top):
            images = [Image.fromarray(np.ascontiguousarray(channel)).resize(shape, self.filter) for channel in array]
            array = np.stack([np.asarray(image) for image in images])
            if array.dtype != np.uint8:
                array = array.clip(-1, 1)  # the filter overshoots at edges, and bytes are cut off there, too
        return self.framed(array, alpha=False)

    @property
    def filter(self) -> Image.Resampling:
        """The filter by which images are scaled."""
        return Image.Resampling.BICUBIC

    def cut(self, width: int, height: int) -> tuple[int, int, int, int]:
        """What of an image is scaled: left, top, and the ends on the right and below."""
        return 0, 0, width, height

    def scaled_shape(self, width: int, height: int) -> tuple[int, int]:
        """The width and height that an image of ``width`` x ``height`` is scaled to."""
        rows, columns = sides_of(self.load)
        if self.resize == "squash":
            return columns, rows
        if self.resize == "scale-width":
            return columns, max(self.sides[0], round(height * columns / width))
        if self.resize == "crop":
            factor = max(rows / height, columns / width)
            return max(columns, round(width * factor)), max(rows, round(height * factor))
        factor = min(rows / height, columns / width)
        return min(columns, max(1, round(width * factor))), min(rows, max(1, round(height * factor)))

    def framed(self, array: np.ndarray, *, alpha: bool) -> np.ndarray:
        """(C, H, W) scaled -> padded, if it has to be, and cropped, if its window is the middle one.

        alpha: whether the last channel is one of alpha, which is 0 where an image is padded with a colour.
        """
        rows, columns = sides_of(self.load)
        if self.resize == "fit" and array.shape[1:] != (rows, columns):
            array = padded(array, rows, columns, self.pad, alpha=alpha)
        if not self.random:
            height, width = self.sides
            top, left = (array.shape[1] - height) // 2, (array.shape[2] - width) // 2
            array = array[:, top : top + height, left : left + width]
        return array

    def cropped(self, pictures: Sequence[Tensor] | Tensor, draws: ItemDraws, name: str) -> Tensor:
        """Scaled images, B of them, (C, H, W) each -> (B, C, height, width) of the same type.

        ``name`` keeps the entries' numbers apart.
        """
        if self.random:
            place = draws.uniform(f"{name} crop", 2)  # (B, 2)
            height, width = self.sides
            windows = []
            for picture, (down, right) in zip(pictures, place.tolist()):
                top, left = (int(down * (picture.shape[1] - height + 1)), int(right * (picture.shape[2] - width + 1)))
                windows.append(picture[:, top : top + height, left : left + width])
            pictures = windows
        mirrored = draws.uniform(f"{name} flip")[:, 0] < 0.5 if self.flip else None  # (B,)
        if not isinstance(pictures, Tensor):
            if mirrored is not None:
                pictures = [picture.flip(-1) if turn else picture for picture, turn in zip(pictures, mirrored.tolist())]
            out = batch_memory((len(pictures), *pictures[0].shape), pictures[0].dtype)  # (B, C, height, width)
            return torch.stack(list(pictures), out=out)
        if mirrored is not None:
            turn = torch.from_numpy(mirrored).to(pictures.device)
            pictures = torch.where(turn[:, None, None, None], pictures.flip(-1), pictures)
        return pictures


def sides_of(size: Sides) -> tuple[int, int]:
    """Height and width."""
    return size if isinstance(size, tuple) else (size, size)


def in_words(size: Sides) -> str:
    """A size as messages have it."""
    return f"{size} x {size}" if isinstance(size, int) else f"{size[0]} x {size[1]} (height x width)"


def image_space(channels: int, size: Sides) -> Space:
    """The space of images of a size."""
    return Space("image", (channels, *sides_of(size)))


def padded(array: np.ndarray, rows: int, columns: int, pad: str, *, alpha: bool = False) -> np.ndarray:
    """(C, H, W) in the middle of (C, rows, columns), the rest of one colour or, for ``edge``, the outermost pixels."""
    channels, height, width = array.shape
    top, left = (rows - height) // 2, (columns - width) // 2
    if pad == "edge":
        around = ((0, 0), (top, rows - height - top), (left, columns - width - left))
        return np.pad(array, around, mode="edge")
    found = np.full((channels, rows, columns), LEVELS[pad][array.dtype != np.uint8], array.dtype)
    if alpha:
        found[-1] = 0
    found[:, top : top + height, left : left + width] = array
    return found


def load_sides(what: str, size: Sides, load_size: Sides | None, resize: Rule, ratio: float = 286 / 256) -> Sides:
    """What images are scaled to before a window of ``size`` is cropped at random.

    An integer is the short side, the other in the proportion of ``size``; of ``scale-width`` the width. Without one
    it is ``ratio`` times the size.

    Raises DataError, naming ``what`` wants it, where no window of that size fits.
    """
    height, width = sides_of(size)
    if load_size is None:
        load = (round(height * ratio), round(width * ratio))
    elif isinstance(load_size, tuple):
        load = load_size
    elif resize == "scale-width":
        load = (height, load_size)
    else:
        load = (round(height * load_size / min(height, width)), round(width * load_size / min(height, width)))
    if resize == "scale-width":  # the height follows from the width
        load = (height, load[1])
    if load[0] < height or load[1] < width:
        raise DataError(
            f"{what}load_size {shown(load_size)} is smaller than size {shown(size)}, so that no crop fits; "
            f"set it to at least {shown(size)}"
        )
    return load


def shown(size: Sides | None) -> str:
    """A size as recipes write it."""
    return str(list(size)) if isinstance(size, tuple) else str(size)


def translation_fit(
    what: str,
    split: str,
    channels: int,
    size: Sides,
    load_size: Sides | None,
    *,
    flip: bool,
    resize: Rule = "squash",
    pad: Colour = "black",
    draft: bool = False,
) -> Fit:
    """How CycleGAN and pix2pix fit images: by default squashed, and in training cropped and mirrored at random.

    Without a ``load_size`` they are stretched by as much as there, to 286 pixels for a size of 256.

    Raises DataError for a split other than train and test, naming ``what`` has these, and where no crop fits.
    """
    if split not in ("train", "test"):
        raise DataError(f"there is no split {split!r}; {what} have train and test")
    training = split == "train"
    load = load_sides("", size, load_size, resize)
    varied = resize in ("crop", "scale-width")  # in these a window may lie in several places also without enlarging
    random = training and (varied or sides_of(load) != sides_of(size))
    return Fit(
        channels, size, load if training else size, resize, random=random, flip=flip and training, pad=pad, draft=draft
    )


def check_kept(what: str, fit: Fit, *, keep: bool, cure: str = "set in_memory: false") -> None:
    """Raise DataError for images to be kept in memory that have several shapes there."""
    if keep and not fit.one_shape:
        raise DataError(
            f"{what}: in_memory keeps images of one shape, which a random crop does not start from; "
            f"set `resize` to squash or fit, or {cure}"
        )
