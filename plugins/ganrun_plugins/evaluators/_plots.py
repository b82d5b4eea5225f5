"""Curves and surfaces as pictures, for evaluators of points on a line or in the plane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

WIDTH, HEIGHT, MARGIN = 640, 360, 28
PAPER, FRAME, INK = (255, 255, 255), (120, 120, 120), (40, 40, 40)
COLOURS = ((90, 90, 90), (214, 73, 30), (30, 110, 190), (40, 150, 80))
LOW, HIGH = np.array((33, 102, 172)), np.array((178, 24, 43))  # colours of a surface: fake, real


def curves(x: Tensor, named: Mapping[str, Tensor]) -> Image.Image:
    """Curves (n,) over x (n,), each on a scale from 0 to its largest value or 1, with a legend. NaN breaks a line."""
    sheet = Image.new("RGB", (2 * WIDTH, 2 * HEIGHT), PAPER)  # drawn at twice the size, so that lines come out smooth
    draw = ImageDraw.Draw(sheet)
    inner = (2 * WIDTH - 4 * MARGIN, 2 * HEIGHT - 4 * MARGIN)
    low, high = float(x.min()), float(x.max())
    for number, values in enumerate(named.values()):
        top = max(1.0, float(torch.nan_to_num(values, nan=0.0, posinf=0.0).max()))
        across = 2 * MARGIN + (x - low) / max(high - low, 1e-12) * inner[0]
        up = 2 * MARGIN + (1 - values / top) * inner[1]
        points: list[tuple[float, float]] = []
        for place in zip(across.tolist(), up.tolist()):
            if np.isfinite(place).all():
                points.append(place)
                continue
            draw.line(points, fill=COLOURS[number % len(COLOURS)], width=5)
            points = []
        draw.line(points, fill=COLOURS[number % len(COLOURS)], width=5)
    picture = sheet.resize((WIDTH, HEIGHT), Image.Resampling.BOX)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((MARGIN, MARGIN, WIDTH - MARGIN, HEIGHT - MARGIN), outline=FRAME)
    left = MARGIN
    for number, name in enumerate(named):
        draw.text((left, 8), name, fill=COLOURS[number % len(COLOURS)])
        left += 10 * len(name) + 14
    draw.text((MARGIN, HEIGHT - MARGIN + 6), f"{low:.3g}", fill=INK)
    draw.text((WIDTH - MARGIN - 40, HEIGHT - MARGIN + 6), f"{high:.3g}", fill=INK)
    return picture


def surface(
    values: Tensor, points: Sequence[tuple[Tensor, tuple[int, int, int]]], low: Tensor, high: Tensor, *, middle: float
) -> Image.Image:
    """Values (n, n) over a square as colours, blue below ``middle`` and red above, and points (m, 2).

    The square goes from ``low`` (2,) to ``high``.

    Rows of ``values`` go upwards. A black line stands where the middle lies.
    """
    side = 2 * HEIGHT
    spread = max(float((values - middle).abs().max()), 1e-12)
    share = ((values - middle) / spread).clamp(-1, 1).numpy()[..., None]  # (n, n, 1)
    colour = 255 + np.abs(share) * (np.where(share > 0, HIGH, LOW) - 255)
    above = (values > middle).numpy()
    edge = np.zeros_like(above)
    edge[:, 1:] |= above[:, 1:] != above[:, :-1]
    edge[1:] |= above[1:] != above[:-1]
    colour[edge] = 0
    sheet = Image.fromarray(colour[::-1].round().astype(np.uint8)).resize((side, side), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(sheet)
    for some, paint in points:
        places = ((some - low) / (high - low)).numpy() * np.array([1, -1]) + np.array([0, 1])
        for x, y in places[np.isfinite(places).all(1)] * side:
            draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=paint)
    return sheet.resize((HEIGHT, HEIGHT), Image.Resampling.BOX)
