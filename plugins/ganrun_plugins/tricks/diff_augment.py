"""DiffAugment: real samples and fakes are augmented alike, differentiably, wherever a discriminator sees them.

Paper: Zhao, Liu, Lin, Zhu and Han, "Differentiable Augmentation for Data-Efficient GAN Training" (2020). For images in
[-1, 1], drawn per sample and again for every call of a discriminator, on both sides' turns:

    color        brightness: x + U(-0.5, 0.5);
                 then saturation: the distance from the mean over channels times U(0, 2);
                 then contrast: the distance from the mean over the image times U(0.5, 1.5)
    translation  by up to 1/8 of each side, in whole pixels, zeros where nothing was
    cutout       a box of half of each side, centred anywhere in the image, is set to zero

The generator learns through the augmentation, so it is not asked to imitate augmented samples. The paper takes all
three for small data sets and StyleGAN2, translation and cutout for BigGAN on CIFAR, cutout together with consistency.

``strength`` s scales every range: brightness by s * U(-0.5, 0.5), factors by 1 + s * (U - 1), shifts and the sides of
the box by s, rounded to pixels. 1 is the paper's, 0 the identity. Images that are given with a sample (a condition) are
moved and covered as the sample is; colours are changed in the sample alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Call, Component, Reason, Scheduled, Turn, hookimpl

Operation = Literal["color", "translation", "cutout"]
Size = tuple[int, int]  # height, width
SHIFT, BOX = 1 / 8, 1 / 2  # of a side


class DiffAugment:
    """Colour, translation and cutout on everything a discriminator of images sees."""

    strength: ClassVar[str] = "strength"
    remedies: ClassVar[frozenset[str]] = frozenset({"overfitting-discriminator"})
    provides: ClassVar[frozenset[str]] = frozenset({"augmented"})
    needs: ClassVar[dict[str, Reason]] = {
        "space:image": Reason(
            "colours, shifts and boxes mean nothing for what is no image", "a data set of images, or instance-noise"
        )
    }
    warns: ClassVar[dict[str, Reason]] = {
        "augmented": Reason(
            "two augmentation pipelines are chained, in the order of the recipe, and each was tuned alone",
            "one of them",
        )
    }

    def __init__(
        self,
        *,
        policy: Annotated[
            tuple[Operation, ...],
            Field(min_length=1, description="what is done, in this order: color, translation, cutout"),
        ] = ("color", "translation", "cutout"),
        strength: Annotated[
            Scheduled, Field(ge=0, le=1, description="factor of all ranges; 1 is the paper's")
        ] = Scheduled(1.0),
    ) -> None:
        self.policy = tuple(policy)
        self.scale = strength

    @hookimpl
    def augment(self, turn: Turn, call: Call) -> None:
        if call.round.game.space != "image":
            return
        scale = turn.now(self.scale)
        size = (call.x.shape[2], call.x.shape[3])
        images = [call.x, *(given for given in call.given if is_image(given))]
        for operation in self.policy:
            draw = turn.draws.uniform(f"diff-augment {operation}", len(call.x), 3)  # (B, 3)
            if operation == "color":
                images[0] = coloured(images[0], draw, scale)
            elif operation == "translation":
                by = shifts(draw, size, scale)
                images = [translated(image, by, size) for image in images]
            else:
                boxes = box(draw, size, scale)
                images = [cut(image, boxes, size) for image in images]
        call.x, *others = images
        found = iter(others)
        call.given = tuple(next(found) if is_image(given) else given for given in call.given)


def is_image(given: Tensor) -> bool:
    """Whether something given is a batch of images, (B, C, H, W)."""
    return given.dim() == 4 and given.is_floating_point()


def coloured(x: Tensor, draw: Tensor, scale: float) -> Tensor:
    """Images (B, C, H, W) in other brightness, saturation and contrast. draw: (B, 3) in [0, 1)."""
    # (B, 1, 1, 1) in [0, scale)
    brightness, saturation, contrast = (scale * draw.to(x.dtype))[:, :, None, None, None].unbind(1)
    x = x + (brightness - scale / 2)
    x = x + (2 * saturation - scale) * (x - x.mean(1, keepdim=True))
    return x + (contrast - scale / 2) * (x - x.mean((1, 2, 3), keepdim=True))


def shifts(draw: Tensor, size: Size, scale: float) -> list[Tensor]:
    """How far each image goes down, and right: (B,) whole pixels.

    Uniform in -S..S with S an eighth of the side, times ``scale``.
    """
    most = [int(SHIFT * side + 0.5) for side in size]
    return [torch.round(scale * (torch.floor(draw[:, axis] * (2 * m + 1)) - m)) for axis, m in enumerate(most)]


def translated(x: Tensor, by: Sequence[Tensor], size: Size) -> Tensor:
    """Images (B, C, H, W) moved down and right by (B,) pixels of an image of ``size``; zeros come in."""
    for axis, (pixels, full) in enumerate(zip(by, size), start=2):
        side = x.shape[axis]
        source = torch.arange(side, device=x.device) - (pixels * (side / full)).round().long()[:, None]  # (B, side)
        shape = [len(x), 1, 1, 1]
        shape[axis] = side
        moved = x.gather(axis, source.clamp(0, side - 1).reshape(shape).expand_as(x))
        x = torch.where(((source >= 0) & (source < side)).reshape(shape), moved, 0.0)
    return x


def box(draw: Tensor, size: Size, scale: float) -> list[tuple[Tensor, Tensor]]:
    """The boxes' rows, and columns: the first (B,) and the one behind the last (B,). They may reach over the edge."""
    found = []
    for axis, side in enumerate(size):
        full = int(BOX * side + 0.5)
        length = round(scale * full)
        # The centre is any pixel; a box of an even number of pixels has its centre behind one, so it may lie at the
        # end, too.
        first = torch.floor(draw[:, axis] * (side + 1 - full % 2)) - length // 2
        found.append((first, first + length))
    return found


def cut(x: Tensor, boxes: Sequence[tuple[Tensor, Tensor]], size: Size) -> Tensor:
    """Images (B, C, H, W) with zeros in boxes, which are in pixels of an image of ``size``."""
    inside = []
    for axis, ((first, end), full) in enumerate(zip(boxes, size), start=2):
        scale, place = x.shape[axis] / full, torch.arange(x.shape[axis], device=x.device)
        # (B, side)
        inside.append((place >= (first * scale).round()[:, None]) & (place < (end * scale).round()[:, None]))
    rows, columns = inside
    return torch.where((rows[:, :, None] & columns[:, None, :])[:, None], 0.0, x)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "diff-augment", DiffAugment)
