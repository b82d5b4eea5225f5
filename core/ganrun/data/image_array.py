"""Image files as arrays of any number of channels: 8 bits as they are, other values scaled from a range to [-1, 1]."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from ganrun.data.file_facts import FileFacts, reason
from ganrun.data.image_files import MODES, read_picture
from ganrun.data.image_values import ARRAYS, PNG_HEAD, TIFF, is_cut, is_deep, read_frames
from ganrun.data.value_range import DEEPEST, EIGHT_BITS
from ganrun.errors import DataError

GREY_OF = (0.299, 0.587, 0.114)  # ITU-R 601, as PIL makes grey of RGB


class ValueRange(NamedTuple):
    """Which values become -1 and 1. given: by a recipe, for all files; else files of 8 bits keep 0 and 255."""

    low: float
    high: float
    given: bool = True


def read_array(path: Path, channels: int, values: ValueRange | None = None, *, frame: int = 0) -> np.ndarray:
    """One frame as (channels, H, W): float32 in [-1, 1] by a range, else the bytes of a file of 8 bits.

    Turned as EXIF says, transparent parts on white. Grey is repeated for RGB, and RGB made grey.

    Raises:
        DataError: naming the file: it cannot be read, has other channels, or more than 8 bits where no range is given.
    """
    try:
        found, apart = _read(path, channels, frame)
    except DataError:
        raise
    except Exception as error:  # decoders raise nearly anything on broken files
        raise DataError(
            f"{path}: cannot be read as an image ({reason(error, path)}); repair the file or remove it"
        ) from error
    found = as_channels(found, channels, path, alpha=apart).transpose(2, 0, 1)
    plain = found.dtype == np.uint8
    if values is None:
        if not plain:
            raise DataError(f"{path}: {found.dtype} values have no known range; set `range: [LOW, HIGH]`")
        return np.ascontiguousarray(found)
    low, high = (values.low, values.high) if values.given or not plain else EIGHT_BITS
    if found.dtype.kind == "f" and not np.isfinite(found).all():
        raise DataError(f"{path}: it holds numbers that are not finite; repair the file or remove it")
    # in float64: 16-bit and larger values are not rounded on the way
    scaled = (found.astype(np.float64) - low) * (2 / (high - low)) - 1
    return np.ascontiguousarray(scaled.clip(-1, 1), dtype=np.float32)


def is_plain(path: Path, channels: int) -> bool:
    """Whether PIL reads a file with all its values, as 8 bits of grey, RGB, or RGB and alpha."""
    return channels in MODES and path.suffix.lower() not in ARRAYS


def _read(path: Path, channels: int, frame: int) -> tuple[np.ndarray, bool]:
    """One frame (H, W, C), and whether its last channel is alpha, where there are 2 or 4."""
    if path.suffix.lower() in ARRAYS:
        return read_frames(path, frame, channels=channels)[0], False
    try:
        with path.open("rb") as file:
            head = file.read(PNG_HEAD)
            file.seek(0)
            with Image.open(file) as picture:
                deep = is_deep(picture, head) and not is_cut(picture, head)
    except UnidentifiedImageError:
        if path.suffix.lower() not in TIFF:
            raise
        deep = True  # of a number of bands that PIL does not know
    if deep or channels not in MODES:
        return read_frames(path, frame)[0], head[1:4] == b"PNG"
    values = np.asarray(read_picture(path, channels, frame=frame))
    return values.reshape(*values.shape[:2], -1), False


def as_channels(values: np.ndarray, channels: int, path: Path, *, alpha: bool = False) -> np.ndarray:
    """(H, W, C) -> (H, W, channels), where that loses nothing but colour, or transparency. Raises DataError.

    alpha: whether the last of 2 or 4 channels is alpha.
    """
    count = values.shape[2]
    if count == channels:
        return values
    if alpha and count in (2, 4) and channels in (1, 3):
        white = float(np.iinfo(values.dtype).max)
        share = values[:, :, -1:].astype(np.float64) / white
        blended = np.rint(values[:, :, :-1] * share + white * (1 - share)).astype(values.dtype)
        return as_channels(blended, channels, path)
    if count == 1 and channels == 3:
        return np.broadcast_to(values, (*values.shape[:2], 3))
    if count == 3 and channels == 1:
        grey: np.ndarray = values.astype(np.float64) @ np.array(GREY_OF)  # (H, W)
        whole = values.dtype.kind in "ui"
        return (np.rint(grey) if whole else grey).astype(values.dtype)[:, :, None]
    if channels == 4 and count in (1, 3) and values.dtype.kind == "u":
        opaque = np.full((*values.shape[:2], 1), np.iinfo(values.dtype).max, values.dtype)
        return np.concatenate([as_channels(values, 3, path), opaque], 2)
    raise DataError(f"{path}: it has {count} channels where {channels} are wanted; set `channels: {count}`")


def measured_range(facts: Iterable[FileFacts], where: Path) -> tuple[ValueRange, str]:
    """The range of files of more than 8 bits by their values, and in words what was found.

    Whole numbers from 0 on: 0 to the largest number of 9 to 16 bits that holds them. Floats: 0 to 1 or -1 to 1 if all
    lie there. Else the least and the greatest value.

    Raises:
        DataError: where one range cannot serve all files.
    """
    deep = [one for one in facts if one.deep and not one.error]
    kinds = sorted({one.dtype for one in deep})
    low = min(one.low for one in deep if one.low is not None)
    high = max(one.high for one in deep if one.high is not None)
    if low == high:
        raise DataError(f"{where}: all values are {low:g}; say which become -1 and 1, such as `range: [0, 1]`")
    floats = {kind.startswith("float") for kind in kinds}
    if len(floats) > 1:
        raise DataError(f"{where}: files of {' and '.join(kinds)}; say which values become -1 and 1: `range: [0, 1]`")
    if floats == {True}:
        found = next((r for r in ((0.0, 1.0), (-1.0, 1.0)) if r[0] <= low and high <= r[1]), (low, high))
    else:
        bits = next((n for n in range(9, DEEPEST + 1) if low >= 0 and high < 2**n), 0)
        found = (0.0, 2.0**bits - 1) if bits else (low, high)
    count = f"{len(deep):,} file{'s' if len(deep) > 1 else ''}"
    return ValueRange(*found, given=False), f"{count} of {' and '.join(kinds)} with values {low:g} to {high:g}"
