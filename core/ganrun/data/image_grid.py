"""Samples as image files: grids of images, and scatter plots of points."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ganrun import files

GAP = 2  # pixels between the samples of a grid
BETWEEN = 12  # pixels between panels that stand side by side
PAPER, GREY, COLOUR, FRAME = (255, 255, 255), (176, 176, 176), (214, 73, 30), (120, 120, 120)
INK = (60, 60, 60)
LEAST = 160  # pixels: a text below a picture has at least this width
LARGEST, MOST = 1024, 16  # pixels that a picture is enlarged to at most, and how many times at most
LETTERS = 10, 18  # pixels: letters beside small cells, and beside large ones
NAME_LENGTH = 24  # letters of the name of a row or a column that are shown
SCATTER = 480  # side of a scatter plot


class Panel(NamedTuple):
    """Columns of samples that are shown side by side, (n, *shape) each; one column alone is shown as a square.

    column_names and row_names: what stands above each column and beside each row; empty for nothing.
    """

    columns: Sequence[Tensor]
    column_names: Sequence[str] = ()
    row_names: Sequence[str] = ()


def to_bytes(images: Tensor) -> np.ndarray:
    """Images (N, C, H, W) in [-1, 1] -> (N, H, W, 3) uint8.

    One or two channels show the first in grey, others the first three.
    """
    shown = images.detach().float().cpu()
    shown = shown[:, :3] if shown.shape[1] >= 3 else shown[:, :1].expand(-1, 3, -1, -1)  # (N, 3, H, W)
    scaled = torch.nan_to_num(shown, nan=-1.0).add(1).mul(127.5).round().clamp(0, 255)
    return np.asarray(scaled.to(torch.uint8).permute(0, 2, 3, 1).numpy())


def left_out(samples: Tensor) -> str:
    """What a picture does not show of images (N, C, H, W), in words; empty for nothing, and for points."""
    channels = samples.shape[1]
    if samples.dim() != 4 or channels in (1, 3):
        return ""
    return f"shows {'channel 1' if channels == 2 else 'channels 1 to 3'} of {channels}"


def grid(images: Tensor, columns: int | None = None) -> Image.Image:
    """Images (N, C, H, W) in [-1, 1] row by row, in a square if no number of columns is given."""
    cells = to_bytes(images)  # (N, H, W, 3)
    n, height, width, _ = cells.shape
    columns = columns or math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    sheet = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), 255, np.uint8)
    for place, cell in enumerate(cells):
        top, left = place // columns * (height + GAP), place % columns * (width + GAP)
        sheet[top : top + height, left : left + width] = cell
    return Image.fromarray(sheet)


def single(image: Tensor) -> Image.Image:
    """One image (C, H, W) in [-1, 1]; a grey one stays grey."""
    picture = Image.fromarray(to_bytes(image[None])[0])
    return picture if image.shape[0] >= 3 else picture.convert("L")


def to_tensor(picture: Image.Image) -> Tensor:
    """An image of mode L or RGB -> (C, H, W) in [-1, 1]."""
    values = np.array(picture)  # (H, W) or (H, W, C)
    return torch.from_numpy(values.reshape(*values.shape[:2], -1)).permute(2, 0, 1).float().div(127.5).sub(1)


def side_by_side(columns: Sequence[Tensor], rows: int) -> Image.Image:
    """Columns of images, such as input, output and reconstruction: the k-th row holds the k-th image of each."""
    strips = [grid(column[:rows], columns=1) for column in columns]
    return joined(strips, GAP)


def joined(pictures: Sequence[Image.Image], gap: int = BETWEEN) -> Image.Image:
    """Images next to each other, aligned at the top, on white."""
    width = sum(picture.width for picture in pictures) + gap * (len(pictures) - 1)
    sheet = Image.new("RGB", (width, max(picture.height for picture in pictures)), PAPER)
    left = 0
    for picture in pictures:
        sheet.paste(picture, (left, 0))
        left += picture.width + gap
    return sheet


def plane(points: Tensor) -> np.ndarray:
    """Points (N, D) -> their first two coordinates (N, 2); for D = 1 the second is 0."""
    flat = points.detach().float().cpu().flatten(1)
    return np.asarray(torch.nn.functional.pad(flat, (0, max(0, 2 - flat.shape[1])))[:, :2].numpy())


def scatter(real: Tensor | None, fake: Tensor) -> Image.Image:
    """Real points (N, D) in grey, fakes (M, D) over them in colour, on the scale of the real ones with a third around.

    Without real points the fakes give the scale.
    """
    colour = plane(fake)
    grey = plane(real) if real is not None else colour[:0]
    inside = grey if len(grey) else colour[np.isfinite(colour).all(1)]
    low, high = (inside.min(0), inside.max(0)) if len(inside) else (np.zeros(2), np.ones(2))
    half = max(float((high - low).max()) / 2, 1e-6) * 4 / 3
    middle = (low + high) / 2
    sheet = Image.new("RGB", (2 * SCATTER, 2 * SCATTER), PAPER)  # drawn at twice the size, so that dots come out round
    draw = ImageDraw.Draw(sheet)
    for points, paint, radius in ((grey, GREY, 4.0), (colour, COLOUR, 3.0)):
        places = ((points - middle) / half * np.array([1, -1]) + 1) * SCATTER
        for x, y in places[np.isfinite(places).all(1)].clip(-9, 2 * SCATTER + 9):
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=paint)
    picture = sheet.resize((SCATTER, SCATTER), Image.Resampling.BOX)
    ImageDraw.Draw(picture).rectangle((0, 0, SCATTER - 1, SCATTER - 1), outline=FRAME)
    return picture


def picture_of(
    panels: Mapping[str, Panel], real: Mapping[int, Tensor], rows: int, scale: int | None = None
) -> Image.Image:
    """All panels of a variant in one image, side by side.

    A panel of one column is a square grid; several columns are rows of what belongs together, at most ``rows`` of them.
    Points are drawn over real ones: ``real`` maps the number of coordinates of a point to real points. scale: see
    :func:`enlarged`; the same for all panels.
    """
    sheets = {
        name: grid(panel.columns[0]) if len(panel.columns) == 1 else side_by_side(panel.columns, rows)
        for name, panel in panels.items()
        if panel.columns[0].dim() == 4
    }
    if sheets and scale is None:
        scale = scale_for(sum(sheet.width for sheet in sheets.values()), max(each.height for each in sheets.values()))
    drawn = []
    for name, panel in panels.items():
        if name in sheets:
            shown = min(rows, len(panel.columns[0]))
            drawn.append(named(enlarged(sheets[name], scale), panel.row_names[:shown], panel.column_names))
        else:
            drawn.append(joined([scatter(real.get(column[0].numel()), column) for column in panel.columns]))
    return joined(drawn)


def scale_for(width: int, height: int) -> int:
    """How many times a picture of so many pixels is enlarged to be seen: as often as fits, at least once."""
    return max(1, min(MOST, LARGEST // max(width, height)))


def enlarged(picture: Image.Image, scale: int | None = None) -> Image.Image:
    """A picture of which each pixel is a square of ``scale`` pixels; None: as large as is seen well on any screen."""
    scale = scale_for(*picture.size) if scale is None else scale
    return picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)


def named(sheet: Image.Image, rows: Sequence[str], columns: Sequence[str]) -> Image.Image:
    """A grid of equal cells with the names of its rows on the left and those of its columns on top.

    Names of columns that are wider than a column stand upright; all but their first letters are left out of long ones.
    """
    if not rows and not columns:
        return sheet
    height = sheet.height / max(1, len(rows))
    size = LETTERS[height >= 4 * LETTERS[1]]
    beside = [_written(name, size) for name in rows]
    above = [_written(name, size) for name in columns]
    if above and max(name.width for name in above) > sheet.width / len(above):
        above = [name.transpose(Image.Transpose.ROTATE_90) for name in above]
    left = max((name.width for name in beside), default=-2 * GAP) + 2 * GAP
    top = max((name.height for name in above), default=-2 * GAP) + 2 * GAP
    made = Image.new("RGB", (left + sheet.width, top + sheet.height), PAPER)
    made.paste(sheet, (left, top))
    for number, name in enumerate(beside):
        middle = round((number + 0.5) * sheet.height / len(beside))
        made.paste(name, (left - 2 * GAP - name.width + GAP, top + middle - name.height // 2))
    for number, name in enumerate(above):
        middle = round((number + 0.5) * sheet.width / len(above))
        made.paste(name, (left + middle - name.width // 2, top - GAP - name.height))
    return made


def _written(text: str, size: int) -> Image.Image:
    """A text on a sheet that holds it, in letters of ``size`` pixels."""
    text = text if len(text) <= NAME_LENGTH else text[: NAME_LENGTH - 3] + "..."
    draw = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    font = ImageFont.load_default(size)
    _, top, _, bottom = draw.textbbox((0, 0), "Ag", font)  # of any text, so that all stand on one line
    right = draw.textlength(text, font)
    sheet = Image.new("RGB", (math.ceil(right) + 1, math.ceil(bottom - top) + 1), PAPER)
    ImageDraw.Draw(sheet).text((0, -top), text, INK, font)
    return sheet


def captioned(picture: Image.Image, text: str) -> Image.Image:
    """A picture with a text below it, broken into lines as wide as the picture; without a text the picture itself."""
    if not text:
        return picture
    draw = ImageDraw.Draw(picture)
    width = max(picture.width, LEAST)
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if draw.textlength(longer) <= width - 2 * GAP or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    written = "\n".join(lines)
    bottom = draw.multiline_textbbox((0, 0), written)[3]
    sheet = Image.new("RGB", (width, picture.height + math.ceil(bottom) + 3 * GAP), PAPER)
    sheet.paste(picture, (0, 0))
    ImageDraw.Draw(sheet).multiline_text((GAP, picture.height + GAP), written, fill=INK)
    return sheet


def save(picture: Image.Image, path: Path) -> Path:
    """Write a PNG: it is there wholly, or not at all. A link of that name is replaced, not followed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded = io.BytesIO()
    picture.save(encoded, format="PNG")
    files.write(path, encoded.getvalue())
    return path


def kept(path: Path) -> Image.Image | None:
    """A picture that a run kept, in RGB; None, with a warning, if it cannot be read."""
    try:
        return Image.open(io.BytesIO(files.read_bytes(path))).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        warnings.warn(f"{path}: this picture is damaged, and left out: {error}", stacklevel=2)
        return None
