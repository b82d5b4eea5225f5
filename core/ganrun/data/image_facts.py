"""What image files are, by their heads alone, and how far reading them as they are shown is from PIL's conversion.

The reference code of FID (pytorch-fid, torch-fidelity) reads a file as ``Image.open(path).convert("RGB")``: it does not
turn an image as EXIF says, drops transparency with whatever colour lies below it, and cuts 16-bit values off at 255.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ganrun.errors import DataError
from ganrun.progress import track

ORIENTATION = 0x0112  # the EXIF tag for an image's orientation; reading it turns it back
GREY = ("1", "L", "I", "I;16", "I;16L", "I;16B", "I;16N")
DEEP = ("I", "I;16", "I;16L", "I;16B", "I;16N")
TRANSPARENT = ("RGBA", "LA", "PA", "RGBa", "La")
# What a file has -> what becomes of it as PIL converts it, and as it is shown.
_WAYS = {
    "turned": ("not turned as EXIF says", "turned as EXIF says"),
    "transparent": ("transparency dropped", "transparent parts on white"),
    "deep": ("values above 255 cut off", "16 bits scaled to 8"),
}


@dataclass(frozen=True)
class ImageFacts:
    """Of one file: width and height as stored, whether it is grey, and which ways of reading matter to it."""

    size: tuple[int, int]
    grey: bool
    turned: bool = False
    on_its_side: bool = False
    transparent: bool = False
    deep: bool = False

    def shown_size(self) -> tuple[int, int]:
        """Width and height as it is shown."""
        width, height = self.size
        return (height, width) if self.on_its_side else (width, height)


def image_facts(path: Path) -> ImageFacts:
    """What the head of a file says. Raises DataError for one that cannot be read."""
    try:
        with Image.open(path) as picture:
            orientation = picture.getexif().get(ORIENTATION, 1)
            return ImageFacts(
                picture.size,
                picture.mode in GREY,
                turned=orientation in range(2, 9),
                on_its_side=orientation in range(5, 9),
                transparent=picture.mode in TRANSPARENT or "transparency" in picture.info,
                deep=picture.mode in DEEP,
            )
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: cannot be read as an image ({error}); repair the file or remove it") from error


def read_otherwise(facts: Iterable[ImageFacts], *, shown: bool) -> list[str]:
    """In words, what becomes of files that PIL converts to other pixels than are shown, and of how many.

    Empty if both readings are the same for all files.
    """
    every = list(facts)
    counts = Counter(name for name in _WAYS for one in every if getattr(one, name))
    return [f"{_WAYS[name][shown]} ({counts[name]} of {len(every)})" for name in _WAYS if counts[name]]


def files_read_otherwise(paths: Sequence[Path]) -> list[str]:
    """In words, what becomes of image files that PIL's ``convert("RGB")`` reads as other pixels, and of how many.

    For files that are read by :func:`read_picture`, such as those of a data set. Only their heads are read.
    """
    return read_otherwise(map(image_facts, track(paths, "looking at pictures", len(paths))), shown=True)
