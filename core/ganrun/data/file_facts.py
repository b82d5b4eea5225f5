"""What one image file is: format, type of its values, size, frames, range; or why it cannot be read."""

from __future__ import annotations

import io
import os
import re
import stat
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageSequence, UnidentifiedImageError

from ganrun.data.image_values import ARRAYS, PNG_HEAD, TIFF, array_frames, is_cut, is_deep, read_frames, stored_type
from ganrun.errors import UserError

_ORIENTATION = 0x0112  # the EXIF tag for an image's orientation
ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")


@dataclass(frozen=True)
class FileFacts:
    """Of one file, as it is stored.

    format: as PIL names it, such as ``PNG``, or ``NPY``, ``NPZ``. mode: PIL's, or numpy's type of the values. dtype:
    numpy's type of one value, ``uint8`` if it has up to 8 bits. channels: numbers in a pixel. size: width and height.
    low, high: the least and the greatest value of all frames, None if the file was not decoded. orientation: EXIF's, 1
    for upright. transparent: whether it has an alpha channel or a transparent colour. error: why the file cannot be
    read, empty if it can; then the other facts are as far as its head told them.
    """

    format: str = ""
    mode: str = ""
    dtype: str = "uint8"
    channels: int = 0
    size: tuple[int, int] = (0, 0)
    frames: int = 1
    low: float | None = None
    high: float | None = None
    orientation: int = 1
    transparent: bool = False
    cut: bool = False
    error: str = ""

    @property
    def deep(self) -> bool:
        """Whether its values have more than 8 bits, or a sign, or are floats."""
        return self.dtype != "uint8"

    @property
    def turned(self) -> bool:
        """Whether EXIF says that it is shown turned or mirrored."""
        return self.orientation in range(2, 9)

    @property
    def shown_size(self) -> tuple[int, int]:
        """Width and height as it is shown."""
        width, height = self.size
        return (height, width) if self.orientation in range(5, 9) else (width, height)

    @property
    def grey(self) -> bool:
        """Whether it has one channel of grey."""
        return self.channels == 1 and self.mode != "P"

    @property
    def bits(self) -> int:
        """Bits that a value takes."""
        return np.dtype(self.dtype).itemsize * 8


def look_at(path: Path, *, whole: bool = True) -> FileFacts:
    """The facts of a file; never raises for what is in it.

    whole: decode all of it, which alone tells that a file is cut off, and its values. Otherwise only its head is read.
    """
    found: dict[str, Any] = {}
    try:
        facts = os.stat(path)
        if not stat.S_ISREG(facts.st_mode):
            raise ValueError("this is not a file")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            if path.suffix.lower() in ARRAYS:
                _array_facts(path, found, whole=whole)
            else:
                _picture_facts(path, found, whole=whole)
    except Exception as error:  # decoders raise nearly anything on broken files
        found["error"] = reason(error, path)
    return FileFacts(**found)


def reason(error: Exception, path: Path) -> str:
    """Why a file cannot be read, in few words without its name."""
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"more than {Image.MAX_IMAGE_PIXELS} pixels; refused as a decompression bomb"
    if isinstance(error, UnidentifiedImageError):
        return "not an image of a known format, or damaged at its beginning"
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    said = re.sub(r"<_io\.\w+ .*?>", "", said.removeprefix(f"{path}: ").replace(f"'{path}'", ""))
    words = " ".join(said.split()) or type(error).__name__
    if "Python objects" in words or "allow_pickle" in words:
        return "it holds pickled objects, which are never opened"
    # what a decoder ran into in a file that it did not expect says little
    return words if isinstance(error, OSError | ValueError | SyntaxError | UserError) else f"damaged ({words})"


def _array_facts(path: Path, found: dict[str, Any], *, whole: bool) -> None:
    images = array_frames(path)  # memory-mapped, unless it is an .npz file
    height, width, channels = images[0].shape
    found |= {"format": path.suffix[1:].upper(), "mode": str(images[0].dtype), "dtype": str(images[0].dtype)}
    found |= {"channels": channels, "size": (width, height), "frames": len(images)}
    if whole:
        found |= _extremes(images)


def _picture_facts(path: Path, found: dict[str, Any], *, whole: bool) -> None:
    with path.open("rb", buffering=0) as file:
        head = file.read(PNG_HEAD)
        file.seek(0)
        source: Any = io.BytesIO(file.read()) if whole else file
        try:
            picture = Image.open(source)
        except UnidentifiedImageError:
            if path.suffix.lower() not in TIFF:
                raise
            found["format"] = "TIFF"  # of a number of bands that PIL does not know
            found |= _deep_facts(path)
            return
        with picture:
            found |= {"format": picture.format or "", "mode": picture.mode, "size": picture.size}
            found |= {"channels": len(picture.getbands()), "frames": getattr(picture, "n_frames", 1)}
            found["transparent"] = picture.mode in ALPHA or "transparency" in picture.info
            found["cut"] = is_cut(picture, head)
            deep = is_deep(picture, head) and not found["cut"]
            found["dtype"] = stored_type(picture) if deep else "uint8"
            if whole and not deep:
                found |= _picture_extremes(picture)
            found["orientation"] = _orientation(picture, path)
    if whole and deep:
        # PIL has wider types than some files, and the size is that of the file, not as it is shown
        found |= _deep_facts(path) | {name: found[name] for name in ("dtype", "size")}


def _orientation(picture: Image.Image, path: Path) -> int:
    """How EXIF says that an opened image is turned, 1 for not at all."""
    if picture.format == "PNG" and "exif" not in picture.info and not _exif_comes_late(path):
        # PIL decodes the whole image to look for it behind the pixels
        return int(Image.Image.getexif(picture).get(_ORIENTATION, 1))
    return int(picture.getexif().get(_ORIENTATION, 1))


def _exif_comes_late(path: Path) -> bool:
    """Whether a PNG file has metadata behind its pixels: only the heads of its parts are read."""
    pixels = False
    with path.open("rb", buffering=0) as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            kind = head[4:]
            if pixels and kind in (b"eXIf", b"iTXt", b"tEXt", b"zTXt"):
                return True
            pixels |= kind == b"IDAT"
            file.seek(int.from_bytes(head[:4], "big") + 4, os.SEEK_CUR)
    return False


def _deep_facts(path: Path) -> dict[str, Any]:
    images = read_frames(path)
    height, width, channels = images[0].shape
    facts = {"dtype": str(images[0].dtype), "channels": channels, "size": (width, height), "frames": len(images)}
    return facts | _extremes(images)


def _picture_extremes(picture: Image.Image) -> dict[str, Any]:
    """The least and the greatest value of an image of 8 bits, over all frames and channels; all of it is decoded."""
    low, high = 255.0, 0.0
    for frame in ImageSequence.Iterator(picture):
        found: Any = frame.getextrema()
        pairs = found if isinstance(found[0], tuple) else (found,)
        low, high = min(low, *(pair[0] for pair in pairs)), max(high, *(pair[1] for pair in pairs))
    return {"low": float(low), "high": float(high)}


def _extremes(images: Sequence[np.ndarray]) -> dict[str, Any]:
    """The least and the greatest value. Raises ValueError for numbers that are not finite."""
    if not all(np.isfinite(image).all() for image in images):
        raise ValueError("it holds numbers that are not finite")
    return {"low": min(float(image.min()) for image in images), "high": max(float(image.max()) for image in images)}
