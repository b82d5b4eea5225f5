"""Translations of pictures of any size, one by one: whole, or in tiles that are blended.

A picture is translated by itself, so that what comes out depends on nothing but the picture and the seed: noise is
drawn by a key of the picture's values, and BatchNorm takes running statistics, or those of the picture.

Networks with the capability ``any-size`` are run at the picture's own size. Sides that are no multiples of what they
ask for are padded with a mirror image of the borders, and what was padded is cut off again.

In tiles a network that normalises by the statistics of its input (InstanceNorm, or BatchNorm by those of the picture)
sees those of each tile, and one that sees farther than the overlap sees a border: :func:`tiling_error` measures both.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
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


class Padding(NamedTuple):
    """What was put around images: rows above and columns on the left, of images that were and are so many pixels."""

    top: int
    left: int
    before: tuple[int, int]
    after: tuple[int, int]

    def cut(self, made: Tensor) -> Tensor:
        """(B, C, s H, s W) made of the padded images -> of the images themselves."""
        down, across = made.shape[2] // self.after[0], made.shape[3] // self.after[1]
        rows = slice(down * self.top, down * (self.top + self.before[0]))
        return made[:, :, rows, across * self.left : across * (self.left + self.before[1])]


def fitted(trained: Trained, batch: Tensor, source: str) -> tuple[Tensor, Padding | None]:
    """Images (B, C, H, W) that stand for an entry, padded to a size that the networks take.

    Raises:
        UserError: for other channels, or a size that they cannot take.
    """
    space = trained.experiment.dataset.spaces[source]
    if space.kind != "image" or tuple(batch.shape[1:]) == space.shape:
        return batch, None
    if batch.dim() != 4 or batch.shape[1] != space.shape[0]:
        wanted = f"(n, {space.shape[0]}, height, width)"
        raise UserError(f"{trained.folder}: it translates images {wanted}, and these are {tuple(batch.shape)}")
    multiple = own_size(trained)
    if multiple is None:
        height, width = space.shape[1:]
        raise UserError(
            f"{trained.folder}: its networks are built for {height} x {width} pixels alone, and these images have "
            f"{batch.shape[2]} x {batch.shape[3]}; scale them first"
        )
    return pad(batch, multiple, least_side(trained))


def pad(batch: Tensor, multiple: int, least: int = 1) -> tuple[Tensor, Padding | None]:
    """Images (B, C, H, W) with a mirror image around, so that sides are multiples, of so many pixels at least."""
    height, width = batch.shape[2:]
    down, right = (-(-max(least, side) // multiple) * multiple - side for side in (height, width))
    if not down and not right:
        return batch, None
    top, left = down // 2, right // 2
    return mirrored(batch, (left, right - left, top, down - top)), Padding(
        top, left, (height, width), (height + down, width + right)
    )


def mirrored(x: Tensor, borders: tuple[int, int, int, int]) -> Tensor:
    """(B, C, H, W) with mirror images of so many columns left and right, and rows above and below, again and again.

    A side of one pixel has no mirror image, and is repeated.
    """
    left, right, top, below = borders
    for axis, before, after in ((3, left, right), (2, top, below)):
        length = x.shape[axis]
        period = max(1, 2 * (length - 1))
        place = torch.arange(-before, length + after, device=x.device) % period
        x = x.index_select(axis, torch.where(place < length, place, period - place))
    return x


def least_side(trained: Trained) -> int:
    """How many pixels a side needs at least; by default twice the multiple of a network that asks for any.

    One multiple alone may be a single pixel inside a network, which InstanceNorm refuses.
    """
    every = [trained.experiment.modules[name] for name in trained.experiment.networks("generator")]
    multiples = [int(getattr(network, "multiple", 1)) for network in every]
    own = [2 * multiple if multiple > 1 else 1 for multiple in multiples]
    return max(int(getattr(network, "least", least)) for network, least in zip(every, own))


@dataclass(frozen=True)
class Tiles:
    """Squares of ``size`` pixels of the input, each ``overlap`` pixels into the next."""

    size: int
    overlap: int

    def aligned(self, multiple: int) -> Tiles:
        """These tiles for a network that asks for such multiples: larger if they have to be."""
        size = max(-(-self.size // multiple), 1 + -(-self.overlap // multiple)) * multiple
        return Tiles(size, self.overlap)

    def starts(self, length: int, multiple: int = 1) -> list[int]:
        """Where tiles begin along a side: evenly at multiples, the last one at its end."""
        if length <= self.size:
            return [0]
        step = (self.size - self.overlap) // multiple * multiple
        count = math.ceil((length - self.size) / step) + 1
        return [multiple * round(place * (length - self.size) / (count - 1) / multiple) for place in range(count)]

    def places(self, height: int, width: int, multiple: int = 1) -> Iterator[tuple[slice, slice]]:
        """The rows and columns of all tiles of an image."""
        for top in self.starts(height, multiple):
            for left in self.starts(width, multiple):
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

    Raises UserError if it does not fit in memory.
    """
    key = stable_hash("picture", seed, tuple(image.shape), image.numpy().tobytes()) % 2**63
    if tiles is None or max(image.shape[1:]) <= tiles.size:
        return _whole(trained, image, direction, ask, statistics, key)
    padded, padding = pad(image[None], multiple)
    image, tiles = padded[0], tiles.aligned(multiple)
    height, width = image.shape[1:]
    total: Tensor | None = None
    weights = torch.zeros(())
    for rows, columns in tiles.places(height, width, multiple):
        made = _whole(trained, image[:, rows, columns], direction, ask, statistics, key)
        scale = made.shape[1] // (rows.stop - rows.start)
        if total is None:
            total = made.new_zeros(made.shape[0], scale * height, scale * width)
            weights = made.new_zeros(1, scale * height, scale * width)
        ramp = _ramp(rows, height, scale, tiles.overlap)[:, None] * _ramp(columns, width, scale, tiles.overlap)[None]
        place = (slice(None), _scaled(rows, scale), _scaled(columns, scale))
        total[place] += made * ramp
        weights[place] += ramp
    assert total is not None
    blended = (total / weights)[None]
    return (blended if padding is None else padding.cut(blended))[0]


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
) -> Tensor:
    to, source = direction
    try:
        return trained.translate(image[None], to=to, source=source, ask=ask, seed=key, statistics=statistics)[0]
    except RuntimeError as error:
        if "memory" not in str(error):
            raise
        height, width = image.shape[1:]
        raise UserError(
            f"{width} x {height} pixels do not fit in memory at once; add --tile 512, or a smaller number"
        ) from error


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
