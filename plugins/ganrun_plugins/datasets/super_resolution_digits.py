"""Super-resolution that can be tried offline: digits with sharp contours and a fine grain, and the same made small.

scikit-learn's scans (see ``digits``), of 8 x 8 pixels, have no detail that a bicubic filter would lose. Here their
contours are traced at four times the resolution (the half-way line of the bilinear surface between the scans' pixels)
and averaged down, so that edges are as sharp as pixels allow: a network can learn that, and a bicubic filter cannot.
With ``grain`` every second pixel of a stroke is darker, in a chequered pattern whose phase differs from image to
image. Of that nothing is left in the small image: the mean squared error is least for an even grey, which no real
image has, while a discriminator wants grain.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from ganrun.plugin import Component, Space, hookimpl
from ganrun.plugin.data import DataFiles, InMemory, permutation
from ganrun_plugins.datasets._bicubic import check_factor, shrunk
from ganrun_plugins.datasets._fit import Rule, Sides, image_space, sides_of
from ganrun_plugins.datasets._resize import Resize, RoomySize, by_rule
from ganrun_plugins.datasets._scans import SUBJECT, load_scans, only

FINER = 4  # contours are traced at this many times the resolution


def sharp(scans: Tensor, size: Sides, resize: Rule = "squash") -> Tensor:
    """(N, H, W) floats in [0, 1] -> (N, 1, height, width) float64: how much of each pixel lies inside the contours."""

    def traced(x: Tensor, sides: tuple[int, int]) -> Tensor:
        surface = F.interpolate(x, (FINER * sides[0], FINER * sides[1]), mode="bilinear")  # (N, 1, 4 rows, 4 columns)
        return F.avg_pool2d((surface > 0.5).double(), FINER)

    return by_rule(scans[:, None].double(), size, resize, traced)


def grained(pictures: Tensor, grain: float, phase: Tensor) -> Tensor:
    """(N, 1, H, W) with every second pixel darker by the share ``grain``; phase (N,) 0 or 1.

    Like the black squares of a chessboard.
    """
    rows, columns = (torch.arange(side) for side in pictures.shape[-2:])
    odd = (rows[:, None] + columns + phase[:, None, None]) % 2  # (N, H, W)
    return pictures * (1 - grain * odd[:, None])


class SuperResolutionDigits(InMemory):
    """``low``: images (1, height / factor, width / factor). ``x``: (1, height, width), light on black.

    ``label``: the digit.
    """

    subjects = {"x": SUBJECT}

    def __init__(
        self,
        files: DataFiles,
        split: str,
        *,
        size: Annotated[RoomySize, Field(description="side of the large images in pixels, or [height, width]")] = 32,
        resize: Resize = "squash",
        factor: Annotated[int, Field(ge=2, le=16, description="how much smaller `low` is")] = 2,
        grain: Annotated[
            float, Field(ge=0, le=1, description="how much darker every second pixel of a stroke is")
        ] = 0.3,
        classes: Annotated[list[str | int] | None, Field(description="digits to keep; all by default")] = None,
    ) -> None:
        check_factor(size, factor)
        scans, label, names = only(*load_scans(split), classes)
        phase = torch.from_numpy(permutation(len(scans), "super-resolution-digits", split)) % 2
        x = (grained(sharp(scans, size, resize), grain, phase) * 255).round().to(torch.uint8)
        height, width = sides_of(size)
        spaces = {
            "low": image_space(1, (height // factor, width // factor)),
            "x": image_space(1, size),
            "label": Space("labels", (), len(names)),
        }
        super().__init__({"low": shrunk(x, factor), "x": x, "label": label}, spaces, names)


@hookimpl
def ganrun_components() -> Iterable[Component]:
    yield Component("dataset", "super-resolution-digits", SuperResolutionDigits)
