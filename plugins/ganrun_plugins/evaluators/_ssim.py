"""Structural similarity of two images, at one scale and at several; ``diversity`` and ``psnr-ssim`` use it.

SSIM: Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error visibility to structural similarity"
(2004). With means m, variances v and the covariance c of two images under a Gaussian window (11 x 11, standard
deviation 1.5), at each place

    luminance = (2 m1 m2 + C1) / (m1^2 + m2^2 + C1),    contrast and structure = (2 c + C2) / (v1 + v2 + C2),

C1 = (0.01 L)^2 and C2 = (0.03 L)^2 for a data range L; SSIM is the mean of their product over all places where the
window fits.

MS-SSIM: Wang, Simoncelli and Bovik, "Multi-scale structural similarity for image quality assessment" (2003): the images
are halved four times (means of 2 x 2 pixels, an odd last row or column dropped); the product over the scales of the
mean contrast and structure, at the coarsest scale of the mean SSIM, each to a power, the weight of that scale in
human vision.

Each channel is scored by itself, and an image's value is the mean over its channels. A negative mean counts as 0 at
several scales, because it has no real power. Images that are too small get what fits: fewer scales, their powers
divided by their sum; below 11 pixels a window of the largest odd side that fits, with the same standard deviation
(:func:`conditions` says which).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from ganrun.plugin import UserError

WINDOW = 11
DEVIATION = 1.5
K1, K2 = 0.01, 0.03
POWERS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, the finest first
BLOCK = 8 * 2**20  # bytes of one image tensor of a block; about eight such tensors are held at a time


def ssim(x: Tensor, y: Tensor, *, data_range: float) -> Tensor:
    """The SSIM of each image of x with that of y, (N, C, H, W) both -> (N,) float64 in [-1, 1], 1 for equal images.

    data_range: the largest value an image can have less the smallest, such as 1 or 255.

    Raises:
        UserError: for other shapes, no images, or values that are not finite.
    """
    return torch.cat([_compare(a, b, data_range)[0].mean(1) for a, b in _blocks(x, y)])


def ms_ssim(x: Tensor, y: Tensor, *, data_range: float) -> Tensor:
    """The MS-SSIM of each image of x with that of y, (N, C, H, W) both -> (N,) float64 in [0, 1], as :func:`ssim`."""
    return torch.cat([_product(a, b, data_range).mean(1) for a, b in _blocks(x, y)])


def scales(height: int, width: int) -> int:
    """How many of the five scales images of this size have: those at which a window of 11 fits, at least one."""
    side = min(height, width)
    return max(1, sum(side >> scale >= WINDOW for scale in range(len(POWERS))))


def window(height: int, width: int) -> int:
    """The side of the window for images of this size: 11, or the largest odd number that fits."""
    side = min(height, width, WINDOW)
    return side if side % 2 else side - 1


def conditions(height: int, width: int, *, several: bool) -> str:
    """What differs from the papers for images of this size, in words; empty if nothing does.

    several: at several scales.
    """
    found = []
    if several and scales(height, width) < len(POWERS):
        found.append(f"{scales(height, width)} of {len(POWERS)} scales")
    if window(height, width) < WINDOW:
        found.append(f"a window of {window(height, width)} pixels")
    return " and ".join(found)


def _blocks(x: Tensor, y: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Both sets in blocks, float64 on the CPU."""
    if x.shape != y.shape or x.dim() != 4 or not x.numel():
        raise UserError(
            f"ssim: it compares two equally many images (N, C, H, W), and got {tuple(x.shape)} and {tuple(y.shape)}"
        )
    if not bool(x.isfinite().all() & y.isfinite().all()):
        raise UserError("ssim: some pixels are not finite numbers; leave those images out")
    rows = max(1, BLOCK // (8 * x[0].numel()))
    for a, b in zip(torch.split(x, rows), torch.split(y, rows)):
        yield a.detach().cpu().double(), b.detach().cpu().double()


def _compare(x: Tensor, y: Tensor, data_range: float) -> tuple[Tensor, Tensor]:
    """Mean SSIM, and mean contrast and structure, of each channel: (n, C, H, W) -> (n, C) both."""
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    side = window(*x.shape[-2:])
    down, across = _band(x.shape[-2], side), _band(x.shape[-1], side).T

    def local(z: Tensor) -> Tensor:
        return down @ z @ across  # (n, C, H, W) -> (n, C, H - side + 1, W - side + 1)

    mean_x, mean_y = local(x), local(y)
    squares = mean_x.square() + mean_y.square()
    product = mean_x * mean_y
    spread = local(x.square() + y.square()) - squares  # the sum of the variances
    common = local(x * y) - product
    structure = (2 * common + c2) / (spread + c2)
    luminance = (2 * product + c1) / (squares + c1)
    return (luminance * structure).mean((2, 3)), structure.mean((2, 3))


def _product(x: Tensor, y: Tensor, data_range: float) -> Tensor:
    """MS-SSIM of each channel: (n, C, H, W) -> (n, C)."""
    count = scales(*x.shape[-2:])
    # the paper's five sum to 1.0001 and are left as they are
    total = sum(POWERS[:count]) if count < len(POWERS) else 1.0
    value = torch.ones(x.shape[:2], dtype=x.dtype)
    for scale in range(count):
        whole, structure = _compare(x, y, data_range)
        last = scale == count - 1
        value = value * (whole if last else structure).clamp(min=0) ** (POWERS[scale] / total)
        if not last:
            x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)  # (n, C, H // 2, W // 2)
    return value


def _band(size: int, side: int) -> Tensor:
    """The Gaussian window at each place of an axis, (size - side + 1, size).

    As a product it is faster than a convolution.
    """
    places = torch.arange(side, dtype=torch.float64) - (side - 1) / 2
    weights = torch.exp(-places.square() / (2 * DEVIATION**2))
    band = torch.zeros(size - side + 1, size, dtype=torch.float64)
    for place in range(len(band)):
        band[place, place : place + side] = weights / weights.sum()
    return band
