"""Smaller images as super-resolution papers make them: the bicubic filter, antialiased; bytes stay bytes."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from ganrun.plugin.data import DataError
from ganrun_plugins.datasets._fit import Sides, shown, sides_of


def shrunk(images: Tensor, factor: int) -> Tensor:
    """(B, C, H, W) uint8, or floats in [-1, 1] -> (B, C, H / factor, W / factor) of the same type.

    By Keys' cubic with a = -1/2, stretched over the pixels it joins.

    That is the filter of Pillow and of MATLAB's imresize.
    """
    height, width = images.shape[-2:]
    small = F.interpolate(images.float(), (height // factor, width // factor), mode="bicubic", antialias=True)
    return small.clamp_(-1, 1) if images.is_floating_point() else small.round_().clamp_(0, 255).to(images.dtype)


def check_factor(size: Sides, factor: int) -> None:
    """DataError if a side of ``size`` is no whole number of times ``factor``."""
    if any(side % factor for side in sides_of(size)):
        near = [side - side % factor for side in sides_of(size)]
        lower = shown((near[0], near[1]) if isinstance(size, tuple) else near[0])
        upper = shown((near[0] + factor, near[1] + factor) if isinstance(size, tuple) else near[0] + factor)
        raise DataError(f"size {shown(size)} is no multiple of the factor {factor}; take {lower} or {upper}")
