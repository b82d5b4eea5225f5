"""How close images are to what they ought to equal: PSNR and SSIM of pairs, as super-resolution papers report them."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from ganrun.plugin import UserError
from ganrun.plugin.evaluation import Score, of_rows
from ganrun_plugins.evaluators._ssim import ssim

PEAK = 255.0
LUMINANCE = (65.481, 128.553, 24.966)  # of R, G and B in [0, 1]; black is 16, white 235
BLOCK = 64  # images at a time


def luminance(x: Tensor) -> Tensor:
    """Y of RGB images: (N, 3, H, W) in [0, 255] -> (N, 1, H, W) float64 in [16, 235]. One channel is Y already."""
    if x.shape[1] == 1:
        return x.double()
    if x.shape[1] != 3:
        raise UserError(f"psnr-ssim: BT.601 defines no luminance of images of {x.shape[1]} channels; set channel: rgb")
    weights = torch.tensor(LUMINANCE, dtype=torch.float64) / PEAK
    return 16 + (x.double() * weights.view(1, 3, 1, 1)).sum(1, keepdim=True)


def channel_of(asked: str | None, channels: int) -> str:
    """What images of so many channels are compared on: ``y``, or all channels, ``rgb`` if there are three.

    asked: ``y``, ``rgb``, or None for ``rgb`` of colours. Grey images are their own luminance.
    """
    if asked == "y" or channels == 1:
        return "y"
    return {3: "rgb", 4: "rgba"}.get(channels, f"{channels}-channels")


def psnr(x: Tensor, y: Tensor) -> Tensor:
    """(N, C, H, W) in [0, 255] -> (N,) float64: PSNR of x against y in dB, infinite for equal images."""
    error = (x.double() - y.double()).square().flatten(1).mean(1)  # (N,)
    return 10 * torch.log10(PEAK**2 / error)


def fidelity(made: Tensor, truth: Tensor, *, channel: str | None = None, border: int = 4) -> tuple[Tensor, Tensor]:
    """PSNR in dB and SSIM of each pair.

    made, truth: (N, C, H, W) in [-1, 1], rounded to 256 levels -> (N,) float64 both.

    channel: ``y``, ``rgb`` (all channels as they are), or None, see :func:`channel_of`. border: pixels cropped on every
    side.

    Raises:
        UserError: for sets that are not pairs of images, images that the crop leaves nothing of, or values that are not
        finite.
    """
    if made.shape != truth.shape or made.dim() != 4 or not made.numel():
        raise UserError(
            f"psnr-ssim: it compares equally many images of one size, and got {tuple(made.shape)} and "
            f"{tuple(truth.shape)}"
        )
    if not bool(made.isfinite().all() & truth.isfinite().all()):
        raise UserError("psnr-ssim: some pixels are not finite numbers; leave those images out")
    channel = channel_of(channel, made.shape[1])
    height, width = made.shape[-2:]
    if min(height, width) <= 2 * border:
        raise UserError(f"psnr-ssim: a border of {border} leaves nothing of {height} x {width} pixels; set border: 0")
    found: tuple[list[Tensor], list[Tensor]] = [], []
    for pair in zip(torch.split(made, BLOCK), torch.split(truth, BLOCK)):
        x, y = (_prepared(some, channel)[..., border : height - border, border : width - border] for some in pair)
        found[0].append(psnr(x, y))
        found[1].append(ssim(x, y, data_range=PEAK))
    return torch.cat(found[0]), torch.cat(found[1])


def _prepared(x: Tensor, channel: str) -> Tensor:
    levels = ((x.double() + 1) * 127.5).round().clamp(0, PEAK)
    return luminance(levels) if channel == "y" else levels


def mean_psnr(values: Tensor) -> Score:
    """The mean of the finite values (N,), in dB; infinite if none is."""
    finite = values[values.isfinite()]
    if not len(finite):
        return Score(math.inf, method=f"all {len(values)} pairs are equal")
    score = of_rows(finite)
    equal = len(values) - len(finite)
    return replace(
        score,
        method="; ".join(
            filter(None, [score.method, f"{equal} of {len(values)} pairs are equal and left out" if equal else ""])
        ),
    )
