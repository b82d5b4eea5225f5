"""Translations of pictures of any size, one by one: whole, or in tiles that are blended.

A picture is translated by itself, so that what comes out depends on nothing but the picture and the seed: noise is
drawn by a key of the picture's values, and BatchNorm takes running statistics, or those of the picture.

Networks with the capability ``any-size`` are run at the picture's own size. Sides that are no multiples of what they
ask for are padded with a mirror image of the borders, and what was padded is cut off again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganrun.errors import UserError
from ganrun.randomness import stable_hash
from ganrun.sampling.sampling import NormStatistics

if TYPE_CHECKING:
    from ganrun.inference.trained import Trained


def own_size(trained: Trained) -> int | None:
    """What sides have to be multiples of for pictures of their own size; None if a network is built for one size."""
    every = [trained.experiment.modules[name] for name in trained.experiment.networks("generator")]
    if not all("any-size" in getattr(network, "provides", ()) for network in every):
        return None
    return math.lcm(*(int(getattr(network, "multiple", 1)) for network in every))


def statistics_of(trained: Trained, asked: NormStatistics | None) -> tuple[NormStatistics | None, str]:
    """Which statistics BatchNorm takes, and in words; (None, "") where no generator has BatchNorm.

    Not asked for, they are running ones, but for a variant that samples with those of a batch and was trained in
    batches of one: there those of the picture are what training saw.

    Raises:
        UserError: if they are asked for and there is no BatchNorm.
    """
    names = trained.experiment.networks("generator")
    with trained.sample_maker.modules() as modules:
        layers = [
            layer
            for name in names
            for layer in modules[name].modules()
            if isinstance(layer, nn.modules.batchnorm._BatchNorm)
        ]
        by_batch = any(layer.training for layer in layers)
    if not layers:
        if asked is not None:
            raise UserError(f"{trained.folder}: no generator has BatchNorm, so there are no statistics to choose")
        return None, ""
    size = trained.recipe.train.batch_size
    chosen: NormStatistics = asked or ("batch" if by_batch and size == 1 else "running")
    why = "" if asked or not by_batch else f", as it was trained in batches of {size}"
    return chosen, f"BatchNorm by {'running statistics' if chosen == 'running' else 'those of each picture'}{why}"


@dataclass(frozen=True)
class Tiles:
    """Squares of ``size`` pixels of the input, each ``overlap`` pixels into the next."""

    size: int
    overlap: int

    def starts(self, length: int) -> list[int]:
        """Where tiles begin along a side: evenly, the last one at its end."""
        if length <= self.size:
            return [0]
        count = math.ceil((length - self.overlap) / (self.size - self.overlap))
        return [round(place * (length - self.size) / (count - 1)) for place in range(count)]

    def places(self, height: int, width: int) -> Iterator[tuple[slice, slice]]:
        """The rows and columns of all tiles of an image."""
        for top in self.starts(height):
            for left in self.starts(width):
                yield slice(top, min(top + self.size, height)), slice(left, min(left + self.size, width))


def translated(
    trained: Trained,
    image: Tensor,
    direction: tuple[str, str],
    *,
    ask: Mapping[str, Any],
    statistics: NormStatistics | None,
    seed: int,
    multiple: int = 1,
    tiles: Tiles | None = None,
) -> Tensor:
    """One image (C, H, W) in [-1, 1] -> its translation (C', s H, s W), s being how much larger the run makes images.

    direction: the entries of the data that is made and that the image stands for. multiple: of which its sides have to
    be multiples for the networks; it is padded to that. tiles: translate it in these and blend them.
    """
    key = stable_hash("picture", seed, image.numpy().tobytes()) % 2**63
    if tiles is None or max(image.shape[1:]) <= tiles.size:
        return _whole(trained, image, direction, ask, statistics, key, multiple)
    height, width = image.shape[1:]
    total: Tensor | None = None
    weights = torch.zeros(())
    for rows, columns in tiles.places(height, width):
        made = _whole(trained, image[:, rows, columns], direction, ask, statistics, key, multiple)
        scale = made.shape[1] // (rows.stop - rows.start)
        if total is None:
            total = made.new_zeros(made.shape[0], scale * height, scale * width)
            weights = made.new_zeros(1, scale * height, scale * width)
        ramp = _ramp(rows, height, scale, tiles.overlap)[:, None] * _ramp(columns, width, scale, tiles.overlap)[None]
        place = (slice(None), _scaled(rows, scale), _scaled(columns, scale))
        total[place] += made * ramp
        weights[place] += ramp
    assert total is not None
    return total / weights


def tiling_error(whole: Tensor, tiled: Tensor) -> str:
    """How far tiles are from the whole picture, in words: differences as parts of the range from -1 to 1."""
    apart = (whole - tiled).abs() / 2
    return f"mean {float(apart.mean()):.2%}, largest {float(apart.max()):.1%} of the range"


def _whole(
    trained: Trained,
    image: Tensor,
    direction: tuple[str, str],
    ask: Mapping[str, Any],
    statistics: NormStatistics | None,
    key: int,
    multiple: int,
) -> Tensor:
    height, width = image.shape[1:]
    down, right = -height % multiple, -width % multiple
    top, left = down // 2, right // 2
    x = image[None]
    if down or right:
        mode = "reflect" if down < height and right < width else "replicate"
        x = F.pad(x, (left, right - left, top, down - top), mode=mode)
    try:
        made = trained.translate(x, to=direction[0], source=direction[1], ask=ask, seed=key, statistics=statistics)[0]
    except RuntimeError as error:
        if "memory" not in str(error):
            raise
        raise UserError(
            f"a picture of {width} x {height} pixels does not fit in memory; add --tile 512, or a smaller number"
        ) from error
    scale = made.shape[1] // x.shape[2]
    return made[:, scale * top : scale * (top + height), scale * left : scale * (left + width)]


def _ramp(place: slice, length: int, scale: int, overlap: int) -> Tensor:
    """Weights of a tile's rows, or columns: 1, and falling to its ends where another tile follows."""
    size = scale * (place.stop - place.start)
    rising = (torch.arange(size) + 0.5) / max(1, scale * overlap)
    weight = torch.ones(size)
    if place.start > 0:
        weight = torch.minimum(weight, rising)
    if place.stop < length:
        weight = torch.minimum(weight, rising.flip(0))
    return weight.clamp(min=1e-3)


def _scaled(place: slice, scale: int) -> slice:
    return slice(scale * place.start, scale * place.stop)
