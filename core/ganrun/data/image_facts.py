"""What image files are, by their heads alone, and how far reading them as they are shown is from PIL's conversion.

The reference code of FID (pytorch-fid, torch-fidelity) reads a file as ``Image.open(path).convert("RGB")``: it does not
turn an image as EXIF says, drops transparency with whatever colour lies below it, and cuts 16-bit values off at 255.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from ganrun.data.file_facts import FileFacts, look_at
from ganrun.errors import DataError
from ganrun.progress import track

# What a file has -> what becomes of it as PIL converts it, and as it is shown.
_WAYS = {
    "turned": ("not turned as EXIF says", "turned as EXIF says"),
    "transparent": ("transparency dropped", "transparent parts on white"),
    "grey of more than 8 bits": ("values above 255 cut off", "16 bits scaled to 8"),
}
_TESTS: Mapping[str, Callable[[FileFacts], bool]] = {
    "turned": lambda one: one.turned,
    "transparent": lambda one: one.transparent,
    "grey of more than 8 bits": lambda one: one.deep and one.channels == 1,  # of several channels both ways drop bits
}


def image_facts(path: Path) -> FileFacts:
    """What the head of a file says. Raises DataError for one that cannot be read."""
    facts = look_at(path, whole=False)
    if facts.error:
        raise DataError(f"{path}: cannot be read as an image ({facts.error}); repair the file or remove it")
    return facts


def read_otherwise(facts: Iterable[FileFacts], *, shown: bool) -> list[str]:
    """In words, what becomes of files that PIL converts to other pixels than are shown, and of how many.

    Empty if both readings are the same for all files.
    """
    every = list(facts)
    counts = Counter(name for name, test in _TESTS.items() for one in every if test(one))
    return [f"{_WAYS[name][shown]} ({counts[name]} of {len(every)})" for name in _WAYS if counts[name]]


def files_read_otherwise(paths: Sequence[Path]) -> list[str]:
    """In words, what becomes of image files that PIL's ``convert("RGB")`` reads as other pixels, and of how many.

    For files that are read by :func:`read_picture`, such as those of a data set. Only their heads are read.
    """
    return read_otherwise(map(image_facts, track(paths, "looking at pictures", len(paths))), shown=True)
