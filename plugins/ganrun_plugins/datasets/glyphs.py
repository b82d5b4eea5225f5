"""Glyphs: written figures of a hundred and more classes, drawn by a program, offline.

A stand-in for scripts of many characters, on which conditional GANs meet many classes (Mao et al., "Least Squares
Generative Adversarial Networks", 2017, has 3,740 classes of Chinese characters).

The figure of a class is fixed: ``strokes`` curves between points of a 3 x 3 grid, each bent sideways by up to 0.3 of
its length, no two between the same points. An item is its class's figure with every end and bend moved (standard
deviation ``jitter``), then turned (10 degrees), stretched (10 %), slanted (0.15) and shifted (4 %), all at most so far,
and drawn with a pen whose radius is 0.03 to 0.05 of the (shorter) side. Ink is 1 inside and falls to 0 over one pixel,
half of it beyond the radius.

Figures follow from the number of the class alone, items from (split, class, number): the first classes and the first
items are the same however many there are. Train and test share figures and no item.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import combinations
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Space, hookimpl
from ganrun.plugin.data import DataError, DataFiles, InMemory, ItemDraws, permutation, track
from ganrun_plugins.datasets._fit import Sides, image_space, sides_of

Side = Annotated[int, Field(ge=8, le=128)]
CORNERS = np.stack(np.meshgrid([0.2, 0.5, 0.8], [0.2, 0.5, 0.8]), axis=-1).reshape(9, 2)  # (x, y), y downwards
PAIRS = np.array(list(combinations(range(9), 2)))  # (36, 2)
PIECES = 8  # straight pieces of a curve
AT_ONCE = 2**18  # pairs of a pixel and a piece


def figures(classes: int, strokes: int) -> np.ndarray:
    """(classes, strokes, 3, 2): the start, the bend and the end of each stroke, in the unit square."""
    found = np.empty((classes, strokes, 3, 2))
    for number in range(classes):
        chosen = PAIRS[permutation(len(PAIRS), "glyphs", "figure", number)[:strokes]]  # (strokes, 2)
        bend = ItemDraws(("glyphs", "bend", number), np.asarray(0), np.arange(strokes)).uniform("bend")  # (strokes, 1)
        start, end = CORNERS[chosen[:, 0]], CORNERS[chosen[:, 1]]  # (strokes, 2)
        across = (end - start)[:, ::-1] * np.array([-1.0, 1.0])
        # the middle of a quadratic curve lies half as far out as its control point
        found[number] = np.stack([start, (start + end) / 2 + 2 * 0.3 * (2 * bend - 1) * across, end], axis=1)
    return found


def written(figure: np.ndarray, draws: ItemDraws, jitter: float) -> tuple[np.ndarray, np.ndarray]:
    """Figures of items (B, strokes, 3, 2) -> points along their curves (B, strokes, PIECES + 1, 2), pen radii (B,)."""
    rows, strokes = figure.shape[:2]
    u = draws.uniform("move", 12 * strokes).reshape(rows, 2, strokes, 3, 2)
    # Box and Muller: normal numbers
    moved = figure + jitter * np.sqrt(-2 * np.log1p(-u[:, 0])) * np.cos(2 * math.pi * u[:, 1])
    a = 2 * draws.uniform("hand", 7) - 1  # (B, 7) in [-1, 1)
    turn, slant, wide, high = math.radians(10) * a[:, 0], 0.15 * a[:, 1], 1 + 0.1 * a[:, 2], 1 + 0.1 * a[:, 3]
    # (B, 2, 2)
    rotation = np.stack([np.stack([np.cos(turn), -np.sin(turn)], -1), np.stack([np.sin(turn), np.cos(turn)], -1)], -2)
    shape = np.stack([np.stack([wide, slant], -1), np.stack([np.zeros(rows), high], -1)], -2)
    centred = np.einsum("bij,bskj->bski", rotation @ shape, moved - 0.5)
    placed = centred + 0.5 + 0.04 * a[:, None, None, 4:6]
    t = np.linspace(0, 1, PIECES + 1)[:, None]
    start, bend, end = (placed[:, :, k, None] for k in range(3))  # (B, strokes, 1, 2)
    return (1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end, 0.04 + 0.01 * a[:, 6]


def inked(curves: Tensor, pen: Tensor, size: Sides) -> Tensor:
    """Curves (B, strokes, P + 1, 2) and pens (B,) -> (B, 1, H, W) uint8, by distances to the nearest piece.

    The unit square of the curves is as large as the shorter side, and lies in the middle.
    """
    sides = sides_of(size)
    unit = min(sides)
    y, x = torch.meshgrid(
        *((torch.arange(side, dtype=curves.dtype) + 0.5 - (side - unit) / 2) / unit for side in sides), indexing="ij"
    )
    pixel = torch.stack([x, y], -1).reshape(1, -1, 1, 2)  # (1, H * W, 1, 2)
    start = curves[:, :, :-1].flatten(1, 2).unsqueeze(1)  # (B, 1, N, 2): the N = strokes * P pieces
    along = curves[:, :, 1:].flatten(1, 2).unsqueeze(1) - start
    x, y = (pixel - start).unbind(-1)  # (B, H * W, N)
    ax, ay = along.unbind(-1)  # (B, 1, N)
    # of the piece, up to the point that is nearest
    share = ((x * ax + y * ay) / (ax * ax + ay * ay).clamp(min=1e-12)).clamp(0, 1)
    nearest = ((x - share * ax).square() + (y - share * ay).square()).amin(-1).sqrt()  # (B, H * W)
    ink = ((pen.unsqueeze(1) - nearest) * unit + 0.5).clamp(0, 1)
    return (ink * 255).round().to(torch.uint8).reshape(-1, 1, *sides)


class Glyphs(InMemory):
    """``x``: images (1, height, width), white on black. ``label``: the class. ``items`` of each class in each split."""

    def __init__(
        self,
        files: DataFiles,
        split: str,
        *,
        size: Annotated[
            Side | tuple[Side, Side],
            Field(description="side of the images in pixels, or [height, width], where the figure is in the middle"),
        ] = 16,
        classes: Annotated[int, Field(ge=2, le=10_000, description="number of figures")] = 128,
        items: Annotated[int, Field(ge=1, description="images of each class in each split")] = 32,
        strokes: Annotated[int, Field(ge=1, le=12, description="curves of a figure")] = 4,
        jitter: Annotated[
            float, Field(ge=0, description="standard deviation of a stroke's ends and bend; the side is 1")
        ] = 0.02,
    ) -> None:
        if split not in ("train", "test"):
            raise DataError(f"there is no split {split!r}; glyphs has train and test")
        figure = figures(classes, strokes)
        label = np.arange(classes * items) % classes
        pictures = []
        pieces = math.ceil(len(label) * math.prod(sides_of(size)) * strokes * PIECES / AT_ONCE)
        for rows in track(np.array_split(np.arange(len(label)), pieces), f"drawing glyphs ({split}), pieces", pieces):
            draws = ItemDraws(("glyphs", split), label[rows], rows // classes)
            curves, pen = written(figure[label[rows]], draws, jitter)
            pictures.append(inked(torch.from_numpy(curves), torch.from_numpy(pen), size))
        spaces = {"x": image_space(1, size), "label": Space("labels", (), classes)}
        super().__init__(
            {"x": torch.cat(pictures), "label": torch.from_numpy(label)},
            spaces,
            [str(number) for number in range(classes)],
        )


@hookimpl
def ganrun_components() -> Iterable[Component]:
    yield Component("dataset", "glyphs", Glyphs)
