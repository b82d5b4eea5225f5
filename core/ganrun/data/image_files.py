"""Image files: finding them, and decoding every mode."""

from __future__ import annotations

import io
import os
import re
import stat
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, features

from ganrun.data.file_list import FileList
from ganrun.data.image_values import ARRAYS
from ganrun.errors import DataError

SUFFIXES = frozenset(
    {".bmp", ".gif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm"}
    | {".tif", ".tiff", ".webp"}
    | ({".avif"} if features.check("avif") else set())  # Pillow has it from 11.3 on
)
# What looks like data and is no image file: it is counted, and said.
UNREAD = (
    frozenset(
        {
            ".arw",
            ".avif",
            ".avi",
            ".bz2",
            ".cr2",
            ".cr3",
            ".czi",
            ".dcm",
            ".dng",
            ".exr",
            ".fits",
            ".gz",
            ".h5",
            ".hdf5",
        }
        | {".hdr", ".heic", ".heif", ".ima", ".jxl", ".lif", ".lmdb", ".mat", ".mha", ".mhd", ".mkv", ".mov", ".mp4"}
        | {".nc", ".nef", ".nii", ".npy", ".npz", ".nrrd", ".orf", ".parquet", ".pdf", ".pfm", ".pkl", ".psd", ".pt"}
        | {
            ".pth",
            ".raf",
            ".raw",
            ".rw2",
            ".svg",
            ".svs",
            ".tar",
            ".tfrecord",
            ".tga",
            ".webm",
            ".xcf",
            ".zarr",
            ".zip",
        }
        | {".7z", ".rar", ".tgz", ".xz", ".ico", ".mpo", ".ndpi", ".mrc"}
    )
    - SUFFIXES
)
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
AT_ONCE = 1 << 24  # bytes of a file that are read in one piece
_KINDS = {
    "a pipe": stat.S_ISFIFO,
    "a socket": stat.S_ISSOCK,
    "a device": lambda mode: stat.S_ISCHR(mode) or stat.S_ISBLK(mode),
    "a folder": stat.S_ISDIR,
}


def find_pictures(folder: Path) -> list[Path]:
    """All image files in a folder and its subfolders, sorted by path; hidden files are left out.

    What has the name of an image and is a pipe, a socket or a device is left out with a warning, and it is warned of
    files that look like data and are no image files, by suffix.

    Raises:
        DataError: if there is no such folder, one cannot be listed, or no image is in it, with the suffixes tried.
    """
    return list(list_pictures(folder))


def list_pictures(folder: Path, *, arrays: bool = False) -> FileList:
    """As :func:`find_pictures`, in a list that takes little more memory than the names do: for millions of files.

    arrays: also files of numpy, ``.npy`` and ``.npz``.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder")
    wanted = SUFFIXES | ARRAYS if arrays else SUFFIXES
    others: Counter[str] = Counter()
    found = FileList(folder, _names(str(folder), wanted, others))
    there = ", ".join(f"{count:,} {suffix}" for suffix, count in sorted(others.items()))
    if not found:
        what = f", but {there}" if there else ""
        raise DataError(
            f"{folder}: no images in it or its subfolders{what}; known suffixes are {' '.join(sorted(wanted))}"
        )
    if there:
        warnings.warn(f"{folder}: left out, as these are not read as images: {there}", stacklevel=1)
    return found


def _names(folder: str, wanted: frozenset[str], others: Counter[str]) -> Iterator[str]:
    """Paths of image files relative to ``folder``, with slashes, sorted part by part.

    others: counts what looks like data, by suffix.
    """
    seen: set[str] = set()
    pending = [""]  # names, the next one last; those of folders end with a slash
    while pending:
        name = pending.pop()
        if name and not name.endswith("/"):
            yield name
            continue
        place = os.path.join(folder, name)
        real = os.path.realpath(place)
        if real in seen:  # a link to a folder that is above it
            continue
        seen.add(real)
        inside: list[str] = []  # not the entries themselves: a folder may hold a million files
        try:
            with os.scandir(place) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    # os.path, where a link is followed: of a loop of links it says that nothing is there
                    if os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir():
                        inside.append(f"{name}{entry.name}/")
                        continue
                    suffix = os.path.splitext(entry.name)[1].lower()
                    if suffix in wanted and not _left_out(entry):
                        inside.append(name + entry.name)
                    elif suffix in UNREAD and suffix not in wanted:
                        others[suffix] += 1
        except OSError as error:
            raise DataError(f"{place}: this folder cannot be listed ({error.strerror or error})") from error
        inside.sort(key=lambda each: each.rstrip("/"), reverse=True)
        pending += inside


def _left_out(entry: os.DirEntry[str]) -> bool:
    """Whether an entry with the name of an image is something that is there and no file, which a warning says."""
    regular = os.path.isfile(entry.path) if entry.is_symlink() else entry.is_file()
    if regular or not os.path.exists(entry.path):
        return False
    warnings.warn(f"{entry.path}: left out: this is {kind_of(os.stat(entry.path).st_mode)}, not a file", stacklevel=3)
    return True


def kind_of(mode: int) -> str:
    """What something that is no regular file is, by its ``st_mode``."""
    return next((name for name, test in _KINDS.items() if test(mode)), "something else")


def read_picture(
    path: Path, channels: int, *, plain: bool = False, at_least: int | None = None, frame: int = 0
) -> Image.Image:
    """An image with 1 (grey), 3 (RGB) or 4 (RGB and alpha) channels of 8 bits, turned as its EXIF orientation says.

    Transparent parts lie on white. 16-bit values are scaled to 8 bits, palettes looked up, CMYK converted; of several
    frames, ``frame`` is read.

    plain: as PIL's ``convert("RGB")`` reads it instead, which is how the reference code of FID does, see
    :mod:`ganrun.data.image_facts`; of grey images one channel of it.
    at_least: JPEGs may be decoded at a half, a quarter or an eighth of their scale, as long as both sides have so many
    pixels: several times as fast, and other pixels.

    Raises:
        DataError: naming the file: not an image, incomplete, a decompression bomb, or values without a known range.
    """
    try:
        file = _opened(path)
    except FileNotFoundError:
        raise DataError(f"{path}: the file was removed after the folder was listed") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read as an image ({error}); repair the file or remove it") from error
    with file:
        return decode_picture(file, str(path), channels, plain=plain, at_least=at_least, frame=frame)


def _opened(path: Path) -> BinaryIO:
    """A file to decode, which is in memory unless it is large: decoders ask for few bytes at a time."""
    facts = os.stat(path)
    if not stat.S_ISREG(facts.st_mode):  # reading a pipe would wait for somebody who writes
        raise DataError(f"{path}: this is {kind_of(facts.st_mode)}, not an image; remove it")
    if facts.st_size > AT_ONCE:
        return path.open("rb")
    with open(path, "rb", buffering=0) as file:
        return io.BytesIO(file.read())


def decode_picture(
    source: Path | BinaryIO,
    name: str,
    channels: int,
    *,
    plain: bool = False,
    at_least: int | None = None,
    frame: int = 0,
) -> Image.Image:
    """As :func:`read_picture`, of a file or of encoded bytes (``io.BytesIO``) that lie in something else.

    name: what it is called in messages.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(source) as opened:
                if at_least is not None:
                    opened.draft("L" if channels == 1 else None, (at_least, at_least))
                if frame:
                    opened.seek(frame)
                opened.load()
                if plain and opened.mode != "F":
                    return opened.convert("RGB").getchannel(0) if channels == 1 else opened.convert("RGB")
                ImageOps.exif_transpose(opened, in_place=True)
                return _converted(opened, channels, name)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(
            f"{name}: more than {Image.MAX_IMAGE_PIXELS} pixels; refused as a decompression bomb; "
            "make the image smaller"
        ) from None
    except FileNotFoundError:
        raise DataError(f"{name}: the file was removed after the folder was listed") from None
    except DataError:
        raise
    except Exception as error:  # decoders raise nearly anything on broken files
        said = re.sub(r"<_io\.\w+ .*?>", "", str(error).replace(f"'{name}'", ""))
        cause = " ".join(said.split()) or type(error).__name__
        raise DataError(f"{name}: cannot be read as an image ({cause}); repair the file or remove it") from error


def _converted(image: Image.Image, channels: int, name: str) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode == "I":
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise DataError(f"{name}: 32-bit values have no known range; save it with 8 or 16 bits")
        image = Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))
    elif image.mode == "F":
        raise DataError(f"{name}: floating-point values have no known range; save it with 8 or 16 bits")
    transparent = image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info
    if image.mode in ("RGBa", "La"):
        image = image.convert(image.mode.replace("a", "A"))
    if transparent and channels != 4:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image).convert("RGB")
    return image if image.mode == MODES[channels] else image.convert(MODES[channels])
