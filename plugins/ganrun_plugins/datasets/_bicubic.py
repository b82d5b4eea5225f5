"""Smaller images as super-resolution papers make them: the bicubic filter, antialiased, and 256 levels."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from ganrun.plugin.data import DataError


def shrunk(images: Tensor, factor: int) -> Tensor:
    """(B, C, H, W) uint8 -> (B, C, H / factor, W / factor) uint8.

    By Keys' cubic with a = -1/2, stretched over the pixels it joins.

    That is the filter of Pillow and of MATLAB's imresize.
    """
    height, width = images.shape[-2:]
    small = F.interpolate(images.float(), (height // factor, width // factor), mode="bicubic", antialias=True)
    return small.round_().clamp_(0, 255).to(images.dtype)


def check_factor(size: int, factor: int) -> None:
    """DataError if a side of ``size`` pixels is no whole number of times ``factor``."""
    if size % factor:
        raise DataError(
            f"size {size} is no multiple of the factor {factor}; "
            f"take {size - size % factor} or {size - size % factor + factor}"
        )
