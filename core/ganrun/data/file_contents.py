"""What one file holds: its facts, a hash of its bytes, and how it looks, small and grey."""

from __future__ import annotations

import hashlib
import stat
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ganrun.data.file_facts import FileFacts, look_at
from ganrun.data.image_files import kind_of
from ganrun.data.image_values import read_frames

SIDE = 16  # of the small grey picture
WHITE = (255, 255, 255, 255)
# How a file that is no picture begins, in small letters -> what it is, in words.
_BEGINNINGS = (
    (b"<!doctype html", "a web page"),
    (b"<html", "a web page"),
    (b"<svg", "an SVG drawing, which has no pixels"),
    (b"<?xml", "XML"),
    (b"%pdf", "a PDF document"),
    (b"pk\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"version https://git-lfs", "a pointer of Git LFS; `git lfs pull` fetches the file itself"),
)


@dataclass(frozen=True, slots=True)
class Contents:
    """facts: as :func:`~ganrun.data.file_facts.look_at` finds them. digest: of the bytes, empty if they cannot be read.

    grey: the first frame as it is shown, SIDE * SIDE bytes; of more than 8 bits with its least value as 0 and its
    greatest as 255. Empty if the file cannot be read or has one value throughout.
    """

    facts: FileFacts
    digest: str
    grey: bytes


def contents(path: Path) -> Contents:
    """Read a whole file, whatever it is: why it cannot be read is said in ``facts.error``, and nothing is raised."""
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):  # reading a pipe would wait for somebody who writes
            return Contents(FileFacts(error=f"this is {kind_of(mode)}, not a file"), "", b"")
        with path.open("rb") as file:
            begins = file.read(512)
            file.seek(0)
            digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        gone = isinstance(error, FileNotFoundError) and path.is_symlink()
        return Contents(FileFacts(error="this is a link to nothing" if gone else error.strerror or str(error)), "", b"")
    if not begins:
        return Contents(FileFacts(error="it is empty (0 bytes)"), digest, b"")
    facts = look_at(path)
    if facts.error:
        return Contents(replace(facts, error=_other_kind(path, begins) or facts.error), digest, b"")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Contents(facts, digest, small_grey(path, facts))
    except Exception:  # the facts are known: it is a picture that looks like no other
        return Contents(facts, digest, b"")


def small_grey(path: Path, facts: FileFacts) -> bytes:
    """The first frame as it is shown, SIDE * SIDE bytes; empty if it has one value throughout."""
    grey = np.asarray(as_shown(path, facts, SIDE).convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    return b"" if grey.min() == grey.max() else grey.tobytes()


def as_shown(path: Path, facts: FileFacts, side: int) -> Image.Image:
    """The first frame for people to see: 8 bits, turned as EXIF says, transparent parts on white.

    More than 8 bits and arrays are spread from the least value to the greatest; of more than three bands the mean is
    shown. side: to how many pixels it will be scaled, so that a JPEG may be decoded at a smaller size.
    """
    if facts.deep or facts.format in ("NPY", "NPZ"):
        values = read_frames(path, 0)[0].astype(np.float64)  # (H, W, C)
        values = values if values.shape[2] in (1, 3) else values[..., :3] if values.shape[2] == 4 else values.mean(2)
        low, high = values.min(), values.max()
        spread = np.rint((values - low) * (255 / (high - low) if high > low else 0)).astype(np.uint8)
        return _turned(Image.fromarray(spread.squeeze(2) if spread.shape[2:] == (1,) else spread), facts)
    with Image.open(path) as picture:
        if picture.format == "JPEG":
            picture.draft(None, (side, side))
        if facts.transparent:
            shown = picture.convert("RGBA")
            shown = shown.reduce(max(1, min(shown.size) // side))
            return _turned(Image.alpha_composite(Image.new("RGBA", shown.size, WHITE), shown).convert("RGB"), facts)
        return _turned(picture.convert("L" if picture.mode in ("1", "L") else "RGB"), facts)


def _turned(picture: Image.Image, facts: FileFacts) -> Image.Image:
    if facts.orientation == 1:
        return picture
    exif = picture.getexif()
    exif[0x0112] = facts.orientation
    return ImageOps.exif_transpose(picture)


def _other_kind(path: Path, begins: bytes) -> str:
    """What a file is that is of no format of images, in words; empty if it is of one."""
    try:
        with Image.open(path):
            return ""
    except UnidentifiedImageError:
        text = begins.lstrip().lower()
        known = next((words for start, words in _BEGINNINGS if text.startswith(start)), "")
        if not known and begins.isascii() and b"\0" not in begins:
            known = "text"
        return f"not an image: this is {known}" if known else ""
    except Exception:
        return ""
