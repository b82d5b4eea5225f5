"""Resizing whole data sets that are held in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from ganrun_plugins.datasets._fit import Fit, Rule, Sides, sides_of

Side = Annotated[int, Field(ge=4, le=1024)]
# of images that a part draws on, or takes apart, and that need some room
RoomySide = Annotated[int, Field(ge=8, le=1024)]
Size = Side | tuple[Side, Side]
RoomySize = RoomySide | tuple[RoomySide, RoomySide]
Resize = Annotated[
    Rule,
    Field(
        description="how images of one aspect become those of another: squash; crop: until the size is covered, then "
        "the middle; fit: into the size, black around; scale-width: to the width, then the middle"
    ),
]


def fitted(images: Tensor, size: Sides, mode: str, resize: Rule = "squash") -> Tensor:
    """(N, C, H, W) uint8 -> (N, C, height, width) uint8, antialiased where it shrinks, a part at a time."""

    def scaled(part: Tensor, sides: tuple[int, int]) -> Tensor:
        if part.shape[-2:] == sides:
            return part
        return F.interpolate(part.float(), sides, mode=mode, antialias=True).round().clamp(0, 255).to(torch.uint8)

    if images.shape[-2:] == sides_of(size):
        return images
    result = torch.empty(*images.shape[:2], *sides_of(size), dtype=torch.uint8)
    for part, place in zip(images.split(4096), result.split(4096)):
        place.copy_(by_rule(part, size, resize, scaled))
    return result


def by_rule(images: Tensor, size: Sides, resize: Rule, scaled: Callable[[Tensor, tuple[int, int]], Tensor]) -> Tensor:
    """Images (N, C, H, W) brought to (N, C, height, width) by a rule; zeros where ``fit`` pads.

    scaled: images and (rows, columns) -> (N, C, rows, columns).
    """
    height, width = sides_of(size)
    columns, rows = Fit(images.shape[1], size, size, resize).scaled_shape(images.shape[-1], images.shape[-2])
    x = scaled(images, (rows, columns))
    top, left = max(0, rows - height) // 2, max(0, columns - width) // 2
    x = x[..., top : top + height, left : left + width]
    above, before = (height - x.shape[-2]) // 2, (width - x.shape[-1]) // 2
    return F.pad(x, (before, width - x.shape[-1] - before, above, height - x.shape[-2] - above)).contiguous()
