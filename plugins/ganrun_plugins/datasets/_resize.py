"""Resizing whole data sets that are held in memory."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def fitted(images: Tensor, size: int, mode: str) -> Tensor:
    """(N, C, H, W) uint8 -> (N, C, size, size) uint8, antialiased where it shrinks, a part at a time."""
    if images.shape[-2:] == (size, size):
        return images
    result = torch.empty(*images.shape[:2], size, size, dtype=torch.uint8)
    for first in range(0, len(images), 4096):
        part = images[first : first + 4096].float()
        result[first : first + 4096] = (
            F.interpolate(part, (size, size), mode=mode, antialias=True).round().clamp(0, 255)
        )
    return result
