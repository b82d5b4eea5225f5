"""What is done to the strokes of digits."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def thickened(digits: Tensor) -> Tensor:
    """(N, 1, H, W) floats -> the same shape: strokes, bright on dark, grow by 1/32 of the shorter side all around."""
    reach = max(1, round(min(digits.shape[-2:]) / 32))
    return F.max_pool2d(digits, 2 * reach + 1, stride=1, padding=reach)


def slanted(digits: Tensor, angle: float) -> Tensor:
    """Rows moved sideways, those at the top to the right: float64.

    By tan(angle in degrees) times their distance from the middle.
    """
    aspect = digits.shape[-2] / digits.shape[-1]  # a grid's coordinates are -1 to 1 along either side
    shear = torch.tensor([[1.0, math.tan(math.radians(angle)) * aspect, 0.0], [0.0, 1.0, 0.0]], dtype=torch.float64)
    grid = F.affine_grid(shear.expand(len(digits), 2, 3), list(digits.shape), align_corners=False)
    return F.grid_sample(digits, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
