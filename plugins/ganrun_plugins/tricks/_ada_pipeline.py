"""The augmentations of ada: pixel copying, geometry, colour and cutout, each drawn for a sample with a share of p.

Karras et al., "Training Generative Adversarial Networks with Limited Data" (2020), appendix B ("bgc"). All copying and
geometry of a sample is one matrix on homogeneous coordinates, so that its image is resampled once, on a grid twice as
fine between an orthogonal low-pass filter and its transpose: what only passes through the two filters comes back as it
was. The image is continued beyond its edges as in a mirror, with the outermost pixels once. Last of all, cutout sets a
box of half of each side to 0, whose centre is anywhere in the image, so that a part of it may lie outside.

Differences from the authors' code: a sample whose matrix holds only flips, quarter turns and whole-pixel shifts is
copied pixel by pixel and stays sharp (their filter is not symmetric, so it blurs a flip a little); the finer grid is
centred on the filter's centre of mass, not on the tap next to it; the mirror has no end (theirs ends at one
image's width, and is black beyond); quarter turns of an image that is not square are half turns. Images of two, or more
than three, channels get brightness, contrast, luma flip and saturation about the mean of the channels, but no hue; one
channel has no saturation either, as in theirs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ganrun.plugin import Draws

# Daubechies' least asymmetric orthogonal filter with six vanishing moments (sym6): its even shifts are orthonormal, its
# sum is sqrt(2).
SYM6 = (
    0.015404109327027373,
    0.0034907120842174702,
    -0.11799011114819057,
    -0.048311742585633,
    0.4910559419267466,
    0.787641141030194,
    0.3379294217276218,
    -0.07263752278646252,
    -0.021060292512300564,
    0.04472490177066578,
    0.0017677118642428036,
    -0.007800708325034148,
)
CENTRE = 5  # the tap next to its centre of mass
OFF = sum(k * tap for k, tap in enumerate(SYM6)) / sum(SYM6) - CENTRE  # 0.098: how far the centre of mass is behind it
GATES, UNIFORM, NORMAL = 13, 8, 7
BOX = 1 / 2  # of a side: what cutout covers
Augmentation = Literal[
    "flip",
    "quarters",
    "shift",
    "scale",
    "turn",
    "stretch",
    "drift",
    "brightness",
    "contrast",
    "luma",
    "hue",
    "saturation",
    "cutout",
]
# What the columns of chances are of: a turn before and one behind the stretch.
ORDER: tuple[Augmentation, ...] = (
    "flip",
    "quarters",
    "shift",
    "scale",
    "turn",
    "stretch",
    "turn",
    "drift",
    "brightness",
    "contrast",
    "luma",
    "hue",
    "saturation",
)
# The shares of p where none are given, if they are not 1: the authors' "bgc" has no cutout.
SHARES: dict[Augmentation, float] = {"cutout": 0.0}


@dataclass
class Drawn:
    """What is done to each of B samples; neutral where it was not drawn. Lengths are shares of the image's sides.

    flip: -1 mirrors left and right, 1 does not. quarters: quarter turns. shift, drift: (B, 2) right and down, in whole
    pixels and not. scale, stretch: factors (the latter inverted vertically). before, after: turns around the centre in
    radians, before and behind the stretch. brightness: added; contrast, saturation: factors; luma: -1 turns light into
    dark; hue: radians. resampled, recoloured: (B,) whether anything was drawn that needs it. box: (B, 2) the centre of
    what is cut out, right and down; not a number where nothing is; None if cutout has no share.
    """

    flip: Tensor
    quarters: Tensor
    shift: Tensor
    scale: Tensor
    before: Tensor
    stretch: Tensor
    after: Tensor
    drift: Tensor
    brightness: Tensor
    contrast: Tensor
    luma: Tensor
    hue: Tensor
    saturation: Tensor
    resampled: Tensor
    recoloured: Tensor
    box: Tensor | None = None


def draw(
    draws: Draws, n: int, p: Tensor, dtype: torch.dtype, shares: Mapping[Augmentation, float] | None = None
) -> Drawn:
    """Each augmentation of n samples, drawn with probability p () times its share: 1, and 0 for cutout, if not given.

    Numbers that are not used are drawn all the same, but for those of cutout without a share.
    """
    of = {**SHARES, **(shares or {})}
    chance = draws.uniform("ada chances", n, GATES + UNIFORM).to(dtype)  # (n, 21)
    normal = draws.normal("ada normals", n, NORMAL).to(dtype)  # (n, 7)
    gate = [chance[:, place] < p * of.get(name, 1.0) for place, name in enumerate(ORDER)]  # of (n,)
    gates = torch.stack(gate, 1)  # (n, 13)
    # Two turns, one before and one behind the stretch, of which at least one happens with the probability of a turn.
    turns = chance[:, :GATES] < 1 - (1 - p * of.get("turn", 1.0)).clamp(min=0).sqrt()
    u = chance[:, GATES:]

    def drawn(gate: Tensor, value: Tensor, otherwise: float) -> Tensor:
        return torch.where(gate if value.dim() == 1 else gate[:, None], value, otherwise)

    luma = drawn(gates[:, 10], 1 - 2 * torch.floor(2 * u[:, 6]), 1)
    return Drawn(
        flip=drawn(gates[:, 0], 1 - 2 * torch.floor(2 * u[:, 0]), 1),
        quarters=drawn(gates[:, 1], torch.floor(4 * u[:, 1]), 0),
        shift=drawn(gates[:, 2], (2 * u[:, 2:4] - 1) / 8, 0),
        scale=drawn(gates[:, 3], 2 ** (0.2 * normal[:, 0]), 1),
        before=drawn(turns[:, 4], math.pi * (2 * u[:, 4] - 1), 0),
        stretch=drawn(gates[:, 5], 2 ** (0.2 * normal[:, 1]), 1),
        after=drawn(turns[:, 6], math.pi * (2 * u[:, 5] - 1), 0),
        drift=drawn(gates[:, 7], normal[:, 2:4] / 8, 0),
        brightness=drawn(gates[:, 8], 0.2 * normal[:, 4], 0),
        contrast=drawn(gates[:, 9], 2 ** (0.5 * normal[:, 5]), 1),
        luma=luma,
        hue=drawn(gates[:, 11], math.pi * (2 * u[:, 7] - 1), 0),
        saturation=drawn(gates[:, 12], 2 ** normal[:, 6], 1),
        resampled=gates[:, 3] | turns[:, 4] | gates[:, 5] | turns[:, 6] | gates[:, 7],
        recoloured=gates[:, 8] | gates[:, 9] | (luma < 0) | gates[:, 11] | gates[:, 12],
        box=_box(draws, n, p * of["cutout"], dtype) if of["cutout"] else None,
    )


def _box(draws: Draws, n: int, p: Tensor, dtype: torch.dtype) -> Tensor:
    """Centres (n, 2) of boxes, drawn under a purpose of their own, so that cutout moves no other draw."""
    u = draws.uniform("ada cutout", n, 3).to(dtype)  # (n, 3)
    return torch.where((u[:, 0] < p)[:, None], u[:, 1:], torch.nan)


# --- geometry ---------------------------------------------------------------------------------------------------


def placed(images: Tensor, drawn: Drawn, size: tuple[int, int]) -> Tensor:
    """Images (B, C, H, W) in their new geometry.

    ``size`` is that of the samples, whose whole pixels are the shift's unit.
    """
    back = inverse(drawn, size)
    if images.shape[2:] != size:  # a condition may be smaller than its sample
        x, y = (back.new_tensor(side / full) for side, full in ((images.shape[3], size[1]), (images.shape[2], size[0])))
        back = scaling(x, y) @ back @ scaling(1 / x, 1 / y)
    chosen = drawn.resampled[:, None, None, None]
    return torch.where(chosen, resampled(images, back), copied(images, back))


def inverse(drawn: Drawn, size: tuple[int, int]) -> Tensor:
    """(B, 3, 3): from a place in the augmented image to that in the original.

    x right, y down, in pixels from the centre.
    """
    height, width = size
    quarters = drawn.quarters if height == width else 2 * torch.floor(drawn.quarters / 2)
    one = torch.ones_like(drawn.flip)
    steps = (
        scaling(drawn.flip, one),
        turning(-math.pi / 2 * quarters),
        moving(-(width * drawn.shift[:, 0]).round(), -(height * drawn.shift[:, 1]).round()),
        scaling(1 / drawn.scale, 1 / drawn.scale),
        turning(-drawn.before),
        scaling(1 / drawn.stretch, drawn.stretch),
        turning(-drawn.after),
        moving(-width * drawn.drift[:, 0], -height * drawn.drift[:, 1]),
    )
    back = steps[0]
    for step in steps[1:]:  # what is done last to an image is undone first
        back = back @ step
    return back


def scaling(x: Tensor, y: Tensor) -> Tensor:
    """Numbers (...) -> (..., 3, 3)."""
    return torch.diag_embed(torch.stack([x, y, torch.ones_like(x)], -1))


def turning(angle: Tensor) -> Tensor:
    """Angles (B,) in radians -> (B, 3, 3), from x towards y: clockwise as an image is seen."""
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    rows = [cos, -sin, zero, sin, cos, zero, zero, zero, torch.ones_like(angle)]
    return torch.stack(rows, -1).reshape(-1, 3, 3)


def moving(x: Tensor, y: Tensor) -> Tensor:
    """Pixels (B,) right and down -> (B, 3, 3)."""
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    return torch.stack([one, zero, x, zero, one, y, zero, zero, one], -1).reshape(-1, 3, 3)


def sources(back: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Where the grid of columns x (w,) and rows y (h,) comes from: x and y, (B, h, w) each, from the centre."""
    a = back[:, :, :, None, None]
    return a[:, 0, 0] * x + a[:, 0, 1] * y[:, None] + a[:, 0, 2], a[:, 1, 0] * x + a[:, 1, 1] * y[:, None] + a[:, 1, 2]


def copied(images: Tensor, back: Tensor) -> Tensor:
    """Each pixel from the nearest one of its source: exact for flips, quarter turns and whole shifts."""
    height, width = images.shape[2:]
    centre = (width - 1) / 2, (height - 1) / 2
    x = torch.arange(width, device=images.device, dtype=back.dtype) - centre[0]
    y = torch.arange(height, device=images.device, dtype=back.dtype) - centre[1]
    column, row = sources(back, x, y)  # (B, H, W)
    index = mirrored((row + centre[1]).round().long(), height) * width + mirrored(
        (column + centre[0]).round().long(), width
    )
    flat = index.flatten(1)[:, None].expand(-1, images.shape[1], -1)  # (B, C, H * W)
    return images.flatten(2).gather(2, flat).reshape(images.shape)


def mirrored(place: Tensor, size: int) -> Tensor:
    """Any whole number -> 0..size-1: ... 2 1 0 1 2 ... size-2 size-1 size-2 ..."""
    period = max(2 * (size - 1), 1)
    place = place % period
    return torch.where(place < size, place, period - place)


def resampled(images: Tensor, back: Tensor) -> Tensor:
    """Twice as fine by the filter, bilinear at the sources of a grid as fine, and down by the filter's transpose."""
    channels, height, width = images.shape[1:]
    fine = finer(finer(images, 3), 2)  # (B, C, 2 P, 2 Q), P and Q the periods of the mirror and 1
    centre = (width - 1) / 2, (height - 1) / 2
    # Value n of what is twice as fine shows the place (n - OFF) / 2.
    # (2 W + 10,)
    x = (torch.arange(-CENTRE, 2 * width + 5, device=images.device, dtype=back.dtype) - OFF) / 2 - centre[0]
    y = (torch.arange(-CENTRE, 2 * height + 5, device=images.device, dtype=back.dtype) - OFF) / 2 - centre[1]
    column, row = sources(back, x, y)  # (B, 2 H + 10, 2 W + 10)
    moved = bilinear(fine, 2 * (column + centre[0]) + OFF, 2 * (row + centre[1]) + OFF)
    taps = images.new_tensor(SYM6) / math.sqrt(2)
    down = F.conv2d(moved.flatten(0, 1)[:, None], taps.view(1, 1, 1, -1), stride=(1, 2))  # (B C, 1, 2 H + 10, W)
    down = F.conv2d(down, taps.view(1, 1, -1, 1), stride=(2, 1))  # (B C, 1, H, W)
    return down.reshape(-1, channels, height, width)


def finer(images: Tensor, axis: int) -> Tensor:
    """Twice as many values along an axis, over one period of the mirror and one pixel.

    The pixels and what is between them.
    """
    size = images.shape[axis]
    period = max(2 * (size - 1), 1)
    around = mirrored(torch.arange(-3, period + 4, device=images.device), size)
    rows = images.movedim(axis, -1).index_select(-1, around)  # (..., P + 7)
    taps = images.new_tensor(SYM6) * math.sqrt(2)
    # Value 2 j + r is the sum over pixels i of taps[CENTRE + 2 j + r - 2 i]: odd taps make the pixels, even ones what
    # is between.
    even, odd = taps[[11, 9, 7, 5, 3, 1]], taps[[10, 8, 6, 4, 2, 0]]
    kernels = torch.stack([F.pad(even, (0, 1)), F.pad(odd, (1, 0))])[:, None]  # (2, 1, 7)
    found = F.conv1d(rows.flatten(0, -2)[:, None], kernels)  # (N, 2, P + 1)
    return found.transpose(1, 2).reshape(*rows.shape[:-1], 2 * (period + 1)).movedim(-1, axis)


def bilinear(fine: Tensor, column: Tensor, row: Tensor) -> Tensor:
    """(B, C, h, w) at places (B, H, W) of the mirrored, periodic image, (B, C, H, W).

    It gathers, because torch's grid_sample has no second derivative on every version and device, and penalties need
    one.
    """
    channels, height, width = fine.shape[1:]
    # the last two repeat the first, as neighbours of the last but two
    column, row = (column % (width - 2), row % (height - 2))
    left, top = column.floor(), row.floor()
    index = (top * width + left).long().flatten(1)[:, None].expand(-1, channels, -1)  # (B, C, H * W)
    right, down = (column - left).flatten(1)[:, None], (row - top).flatten(1)[:, None]  # (B, 1, H * W)
    flat = fine.flatten(2)
    upper = torch.lerp(flat.gather(2, index), flat.gather(2, index + 1), right)
    lower = torch.lerp(flat.gather(2, index + width), flat.gather(2, index + width + 1), right)
    return torch.lerp(upper, lower, down).reshape(-1, channels, *column.shape[1:])


# --- colour -----------------------------------------------------------------------------------------------------


def recoloured(images: Tensor, drawn: Drawn) -> Tensor:
    """Images (B, C, H, W) in other colours: brightness, contrast, luma flip, hue, saturation, in this order.

    With m the mean of the channels and r what is left, the five make m to luma * contrast * (m + brightness), and r to
    saturation * contrast * (r turned around the grey axis by hue).
    """
    channels = images.shape[1]
    brightness, contrast, luma, hue, saturation = (
        value[:, None, None, None]
        for value in (drawn.brightness, drawn.contrast, drawn.luma, drawn.hue, drawn.saturation)
    )
    mean = images.mean(1, keepdim=True)  # (B, 1, H, W)
    rest = images - mean  # (B, C, H, W); 0 for one channel
    if channels == 3:
        across = (rest.roll(1, 1) - rest.roll(-1, 1)) / math.sqrt(3)  # the cross product of the grey axis and r
        rest = hue.cos() * rest + hue.sin() * across
    changed = luma * contrast * (mean + brightness) + saturation * contrast * rest
    return torch.where(drawn.recoloured[:, None, None, None], changed, images)


# --- cutout -----------------------------------------------------------------------------------------------------


def cut(images: Tensor, drawn: Drawn) -> Tensor:
    """Images (B, C, H, W) with zeros where the middle of a pixel is in the box, BOX of each side around its centre."""
    if drawn.box is None:
        return images
    inside = []
    for axis, side in enumerate((images.shape[3], images.shape[2])):
        place = (torch.arange(side, device=images.device, dtype=drawn.box.dtype) + 0.5) / side
        # (B, side); false where the centre is not a number
        inside.append((place - drawn.box[:, axis, None]).abs() < BOX / 2)
    columns, rows = inside
    return torch.where((rows[:, :, None] & columns[:, None, :])[:, None], 0.0, images)
