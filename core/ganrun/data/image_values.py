"""The values of image files as they are stored: more than 8 bits, floats, many bands, several frames, numpy's arrays.

PIL reads most files; it cuts PNG and TIFF files with several channels of 16 bits down to 8, and reads no TIFF file of
many bands. Such PNG files are decoded by imagecodecs, such TIFF files by tifffile; both come with the extra ``images``.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageSequence, UnidentifiedImageError

from ganrun.errors import DataError

ARRAYS = frozenset({".npy", ".npz"})
TIFF = frozenset({".tif", ".tiff"})
_FEW = (1, 2, 3, 4)  # an axis of so many is one of channels, where nothing else says so
USUAL = ("x", "image", "images", "data", "arr_0")  # names of the array of an .npz file that holds several
PNG_HEAD = 26  # bytes of a PNG file up to its depth and colour type
_PNG_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}
_KINDS = {1: "uint", 2: "int", 3: "float"}
_ORIENTATION = 0x0112  # the tag of TIFF and EXIF for how an image is turned
_SAMPLES, _BITS, _FORMAT = 277, 258, 339  # TIFF tags: values of a pixel, bits of each, and whether they are floats


def png_depth(head: bytes) -> tuple[int, int]:
    """Bits of a value and number of channels by the first bytes of a PNG file; (8, 0) for anything else."""
    if len(head) < PNG_HEAD or head[:8] != b"\x89PNG\r\n\x1a\n":
        return 8, 0
    bits, colours = struct.unpack_from("BB", head, 24)
    return bits, _PNG_CHANNELS.get(colours, 3)


def is_deep(picture: Image.Image, head: bytes) -> bool:
    """Whether the values of an opened file are more than PIL's 8 bits hold, or its bands more than PIL reads."""
    if picture.mode.startswith("I") or picture.mode == "F":
        return True
    if picture.format == "PNG":
        return png_depth(head)[0] > 8
    if picture.format == "TIFF":
        tags: Any = getattr(picture, "tag_v2", {})
        bits = tags.get(_BITS, (8,))
        return bool(
            max(bits if isinstance(bits, tuple) else (bits,)) > 8 or tags.get(_SAMPLES, 1) > len(picture.getbands())
        )
    return False


def is_cut(picture: Image.Image, head: bytes) -> bool:
    """Whether only PIL is here to read an opened file, and cuts values of 16 bits down to 8."""
    single = picture.mode.startswith("I") or picture.mode == "F"
    wanted = {"PNG": "imagecodecs", "TIFF": "tifffile"}.get(picture.format or "")
    return not single and wanted is not None and find_spec(wanted) is None and is_deep(picture, head)


def stored_type(picture: Image.Image) -> str:
    """numpy's type of the values of an opened file that :func:`is_deep`."""
    tags: Any = getattr(picture, "tag_v2", {})
    if picture.format == "TIFF" and _BITS in tags:
        bits, kind = (each[0] if isinstance(each, tuple) else each for each in (tags[_BITS], tags.get(_FORMAT, 1)))
        # 12 bits are unpacked to 16
        return f"{_KINDS.get(kind, 'uint')}{next(size for size in (8, 16, 32, 64) if bits <= size)}"
    return {"I": "int32", "F": "float32"}.get(picture.mode, "uint16") if picture.format != "PNG" else "uint16"


def read_frames(path: Path, frame: int | None = None, *, channels: int = 0) -> list[np.ndarray]:
    """The frames of a file, or one of them, each (H, W, C) of the file's own type, turned as EXIF says.

    Arrays of numpy are one image, (H, W), (H, W, C) or (C, H, W), or several along a first of four axes.

    channels: how many are wanted, which tells the axis of channels in an array; 0 if that is not known.

    Raises:
        DataError: what is in the file is no image, naming the file; decoders raise other errors, too.
    """
    frames = array_frames(path, channels) if path.suffix.lower() in ARRAYS else _picture_frames(path)
    return frames if frame is None else frames[frame : frame + 1]


def _picture_frames(path: Path) -> list[np.ndarray]:
    data = path.read_bytes()
    if path.suffix.lower() in TIFF:
        return tiff_frames(io.BytesIO(data), path.name)
    bits, channels = png_depth(data[:PNG_HEAD])
    if bits > 8 and channels > 1 and find_spec("imagecodecs") is not None:
        values: np.ndarray = import_module("imagecodecs").png_decode(data)  # (H, W, C) uint16
        with Image.open(io.BytesIO(data)) as picture:
            return [turned(values, int(Image.Image.getexif(picture).get(_ORIENTATION, 1)))]
    with Image.open(io.BytesIO(data)) as picture:
        frames = [picture_values(each) for each in ImageSequence.Iterator(picture)]
        return [turned(each, int(picture.getexif().get(_ORIENTATION, 1))) for each in frames]


def picture_values(picture: Image.Image) -> np.ndarray:
    """A decoded image -> (H, W, C) of its own type; palettes are looked up, and CMYK becomes RGB."""
    if picture.mode in ("1", "P", "PA", "CMYK", "YCbCr", "LAB", "HSV"):
        clear = "transparency" in picture.info or picture.mode == "PA"
        picture = picture.convert("L" if picture.mode == "1" else "RGBA" if clear else "RGB")
    values = np.asarray(picture)
    return values.reshape(*values.shape[:2], -1)


def tiff_frames(file: BinaryIO, name: str) -> list[np.ndarray]:
    """The pages of a TIFF file, each (H, W, C). Those that PIL reads with all their values are read by it."""
    try:
        with Image.open(file) as picture:
            plain = picture.mode[0] in "IF" and stored_type(picture) != "uint32"  # PIL takes these for signed values
            if plain or not is_deep(picture, b"") or is_cut(picture, b""):
                return [picture_values(each) for each in ImageSequence.Iterator(picture)]
    except UnidentifiedImageError:
        pass  # such as a number of bands that PIL does not know
    file.seek(0)
    try:
        library = import_module("tifffile")
    except ImportError as error:
        raise DataError(
            f"{name}: TIFF files of many bands, or of 32 bits, are read with the package tifffile; "
            'pip install "ganrun[images]"'
        ) from error
    with library.TiffFile(file) as pages:
        return [_page(page) for page in pages.pages if page.size]


def turned(values: np.ndarray, orientation: int) -> np.ndarray:
    """(H, W, C) turned and mirrored as EXIF says, 1 for not at all."""
    if orientation in (5, 7):
        values = values.transpose(1, 0, 2)
    turns = {3: 2, 6: 3, 7: 2, 8: 1}.get(orientation, 0)  # by 90 degrees each, counterclockwise
    values = np.rot90(values, turns) if turns else values
    return values[:, ::-1] if orientation == 2 else values[::-1] if orientation == 4 else values


def _page(page: Any) -> np.ndarray:
    values: np.ndarray = page.asarray()
    if values.ndim == 3 and page.planarconfig == 2:  # one plane after the other
        values = values.transpose(1, 2, 0)
    return turned(values.reshape(*values.shape[:2], -1), int(page.tags.valueof(_ORIENTATION, 1)))


def array_frames(path: Path, channels: int = 0) -> list[np.ndarray]:
    """The images of an .npy or .npz file, each (H, W, C). Nothing pickled is opened."""
    with _array(path) as array:
        if array.ndim not in (2, 3, 4) or array.dtype.kind not in "buif" or not array.size:
            raise DataError(
                f"{path}: {array.dtype} {array.shape} is no image; wanted: numbers (H, W), (H, W, C), (C, H, W), or "
                "images along a first of four axes"
            )
        images = list(array) if array.ndim == 4 else [array]
        return [channels_last(_of_bytes(np.asarray(each)), channels) for each in images]


def _of_bytes(values: np.ndarray) -> np.ndarray:
    """Yes and no as black and white; other values as they are."""
    return values.astype(np.uint8) * np.uint8(255) if values.dtype.kind == "b" else values


@contextmanager
def _array(path: Path) -> Iterator[np.ndarray]:
    if path.suffix.lower() == ".npy":
        yield np.load(path, mmap_mode="r", allow_pickle=False)
        return
    with np.load(path, allow_pickle=False) as archive:
        names = list(archive.files)
        name = names[0] if len(names) == 1 else next((one for one in USUAL if one in names), None)
        if name is None:
            raise DataError(f"{path}: which array is the image? it holds {', '.join(names)}; name it {USUAL[0]}")
        yield archive[name]


def channels_last(values: np.ndarray, channels: int = 0) -> np.ndarray:
    """(H, W), (H, W, C) or (C, H, W) -> (H, W, C).

    Channels are the axis of as many as are wanted, else one of 1 to 4, else the shorter one; rather the last than the
    first.
    """
    if values.ndim == 2:
        return values[:, :, None]
    first, last = values.shape[0], values.shape[-1]
    ranks = [0 if n == channels else 1 if n in _FEW else 2 + n for n in (first, last)]
    return values if ranks[1] <= ranks[0] else values.transpose(1, 2, 0)
