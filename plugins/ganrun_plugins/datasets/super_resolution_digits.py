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
from ganrun_plugins.datasets._scans import SUBJECT, load_scans, only

FINER = 4  # contours are traced at this many times the resolution


def sharp(scans: Tensor, size: int) -> Tensor:
    """(N, H, W) floats in [0, 1] -> (N, 1, size, size) float64: how much of each pixel lies inside the contours."""
    surface = F.interpolate(scans[:, None].double(), (FINER * size, FINER * size), mode="bilinear")  # (N, 1, 4 S, 4 S)
    return F.avg_pool2d((surface > 0.5).double(), FINER)


def grained(pictures: Tensor, grain: float, phase: Tensor) -> Tensor:
    """(N, 1, S, S) with every second pixel darker by the share ``grain``; phase (N,) 0 or 1.

    Like the black squares of a chessboard.
    """
    side = torch.arange(pictures.shape[-1])
    odd = (side[:, None] + side + phase[:, None, None]) % 2  # (N, S, S)
    return pictures * (1 - grain * odd[:, None])


class SuperResolutionDigits(InMemory):
    """``low``: images (1, size / factor, size / factor). ``x``: (1, size, size), light on black.

    ``label``: the digit.
    """

    subjects = {"x": SUBJECT}

    def __init__(
        self,
        files: DataFiles,
        split: str,
        *,
        size: Annotated[int, Field(ge=8, le=512, description="side of the large images in pixels")] = 32,
        factor: Annotated[int, Field(ge=2, le=16, description="how much smaller `low` is")] = 2,
        grain: Annotated[
            float, Field(ge=0, le=1, description="how much darker every second pixel of a stroke is")
        ] = 0.3,
        classes: Annotated[list[str | int] | None, Field(description="digits to keep; all by default")] = None,
    ) -> None:
        check_factor(size, factor)
        scans, label, names = only(*load_scans(split), classes)
        phase = torch.from_numpy(permutation(len(scans), "super-resolution-digits", split)) % 2
        x = (grained(sharp(scans, size), grain, phase) * 255).round().to(torch.uint8)
        small = size // factor
        spaces = {
            "low": Space("image", (1, small, small)),
            "x": Space("image", (1, size, size)),
            "label": Space("labels", (), len(names)),
        }
        super().__init__({"low": shrunk(x, factor), "x": x, "label": label}, spaces, names)


@hookimpl
def ganrun_components() -> Iterable[Component]:
    yield Component("dataset", "super-resolution-digits", SuperResolutionDigits)
