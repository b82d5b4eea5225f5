"""Images that a model makes, in files that hold them wholly: PNG where it does, else TIFF, or numpy's format.

============================  =====================================================================
what a model makes            file
============================  =====================================================================
1, 3 or 4 channels, 8 bits    PNG: grey, RGB, RGB and alpha
1 channel, up to 16 bits      PNG of 16 bits
any other number, or more     TIFF, of bands as they are: uint8, uint16, or float32 for other ranges
============================  =====================================================================

TIFF is written with the package ``tifffile`` (``pip install "ganrun[images]"``); without it those images are written as
``.npy``, (C, H, W), with the same numbers.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ganrun.data.value_range import level_count
from ganrun.files import write

Range = tuple[float, float]
BYTES = 255  # the largest value of 8 bits
PNG_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
LOSSY = {".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
PLAIN = {".bmp": "BMP", ".gif": "GIF", ".png": "PNG", ".ppm": "PPM", ".tif": "TIFF", ".tiff": "TIFF"}


class Form(NamedTuple):
    """How images of a kind are written. suffix: of their files. why: in words, empty if nothing need be said."""

    suffix: Literal[".png", ".tif", ".npy"]
    dtype: Literal["uint8", "uint16", "float32"]
    why: str


def form_of(channels: int, values: Range | None = None) -> Form:
    """The form for images of so many channels whose -1 and 1 stand for these values; None: 8 bits, 0 to 255."""
    dtype: Literal["uint8", "uint16", "float32"] = "uint8"
    if values is not None:
        dtype = "float32" if level_count(values) is None else "uint16" if values[1] > BYTES else "uint8"
    if dtype == "uint8" and channels in PNG_MODES:
        return Form(".png", dtype, "")
    if dtype == "uint16" and channels == 1:
        return Form(".png", dtype, "16 bits")
    what = f"{channels} channel{'' if channels == 1 else 's'} of {dtype}, which a PNG does not hold"
    if find_spec("tifffile") is None:
        return Form(".npy", dtype, f'{what}; pip install "ganrun[images]" for TIFF files')
    return Form(".tif", dtype, what)


def values_of(image: Tensor, form: Form, values: Range | None = None) -> np.ndarray:
    """(C, H, W) in [-1, 1] -> the values that are written, (C, H, W). What is not a number becomes the least."""
    found = torch.nan_to_num(image.detach().float().cpu(), nan=-1.0)
    if values is None:
        return found.add(1).mul(127.5).round().clamp(0, BYTES).to(torch.uint8).numpy()
    share = found.clamp(-1, 1).add(1).div(2).numpy().astype(np.float64)
    exact = values[0] + share * (values[1] - values[0])
    return (exact.round() if form.dtype != "float32" else exact).astype(form.dtype)


def write_image(image: Tensor, place: Path, values: Range | None = None) -> Path:
    """Write an image (C, H, W) in [-1, 1] as a whole. Returns its file: ``place`` with the suffix of its form.

    A place whose name has a suffix that holds such images (``.jpg`` for 1 or 3 channels of 8 bits) keeps it.

    Raises:
        OSError: if the file cannot be written.
    """
    form = form_of(image.shape[0], values)
    array = values_of(image, form, values)
    suffix = place.suffix.lower()
    if form.suffix == ".png" and form.dtype == "uint8" and holds(suffix, image.shape[0]):
        return _write(place, _encoded(_picture(array), suffix))
    named = suffix in PLAIN or suffix in LOSSY or suffix in (".npy", ".png")
    file = place.with_suffix(form.suffix) if named else place.with_name(place.name + form.suffix)
    if form.suffix == ".npy":
        return _write(file, _npy(array))
    if form.suffix == ".tif":
        return _write(file, _tiff(array))
    return _write(file, _encoded(_picture(array), ".png"))


def holds(suffix: str, channels: int) -> bool:
    """Whether files of a suffix hold images of so many channels of 8 bits."""
    if suffix in (".jpg", ".jpeg", ".bmp", ".ppm", ".gif"):
        return channels in (1, 3)
    return suffix in (".png", ".webp", ".tif", ".tiff") and channels in PNG_MODES


def _picture(array: np.ndarray) -> Image.Image:
    """(C, H, W) of 8 bits, or one channel of 16."""
    return Image.fromarray(array[0] if len(array) == 1 else np.ascontiguousarray(array.transpose(1, 2, 0)))


def _encoded(picture: Image.Image, suffix: str) -> bytes:
    options: Mapping[str, Any] = {"quality": 95} if suffix in LOSSY else {}
    file = io.BytesIO()
    picture.save(file, format={**LOSSY, **PLAIN}[suffix], **options)
    return file.getvalue()


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def _tiff(array: np.ndarray) -> bytes:
    import tifffile

    file = io.BytesIO()
    colours = len(array) == 3 and array.dtype != np.float32
    bands = array.transpose(1, 2, 0) if colours else array
    tifffile.imwrite(
        file,
        np.ascontiguousarray(bands[0] if len(bands) == 1 and not colours else bands),
        photometric="rgb" if colours else "minisblack",
        planarconfig="contig" if colours or len(array) == 1 else "separate",
        compression="zlib" if find_spec("imagecodecs") else None,
    )
    return file.getvalue()


def _write(file: Path, data: bytes) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    write(file, data)
    return file
