"""Everything in a folder and its subfolders: what has the name of an image, and what else is there."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from ganrun.data.image_files import SUFFIXES, UNREAD, kind_of
from ganrun.data.image_values import ARRAYS
from ganrun.errors import DataError

SNIFFED = 100  # files of an unknown suffix whose beginnings are read
# How a file begins -> what it is; what of these has no suffix of images is data under another name.
_BEGINNINGS = (
    (b"\xff\xd8\xff", "JPEG images"),
    (b"\x89PNG\r\n\x1a\n", "PNG images"),
    (b"GIF8", "GIF images"),
    (b"II*\0", "TIFF images"),
    (b"MM\0*", "TIFF images"),
    (b"\x93NUMPY", "numpy arrays"),
    (b"\x89HDF\r\n\x1a\n", "HDF5 files"),
    (b"PAR1", "Parquet files"),
    (b"MATLAB 5.0", "Matlab files"),
    (b"SIMPLE  =", "FITS files"),
)
_OF_MANY = ("train", "test", "val", "valid", "validation")
# Suffixes of data that no data set of image files reads -> what they are, and what helps.
KNOWN_OTHERS = {
    ".heic": "photographs of phones; convert them to JPEG or PNG",
    ".heif": "photographs of phones; convert them to JPEG or PNG",
    ".dng": "raw photographs; develop them to TIFF or JPEG",
    ".cr2": "raw photographs; develop them to TIFF or JPEG",
    ".nef": "raw photographs; develop them to TIFF or JPEG",
    ".arw": "raw photographs; develop them to TIFF or JPEG",
    ".dcm": "DICOM files; convert them to 16-bit PNG or to .npy",
    ".nii": "NIfTI volumes; convert their slices to .npy",
    ".mp4": "films; write their frames as images",
    ".avi": "films; write their frames as images",
    ".mov": "films; write their frames as images",
    ".svg": "drawings without pixels; render them",
    ".psd": "files of Photoshop; export them as PNG",
    ".h5": "HDF5 files; convert them to .npy",
    ".hdf5": "HDF5 files; convert them to .npy",
    ".mat": "Matlab files; convert them to .npy",
    ".npy": "arrays of many images, by their names; the data set `array` reads them",
    ".npz": "arrays of many images, by their names; the data set `array` reads them",
    ".parquet": "tables; the data set `hf-dataset` reads them",
    ".tar": "archives; the data set `webdataset` reads shards of images",
    ".zip": "archives; unpack them",
    ".lmdb": "databases; the data set `lsun` reads those of LSUN",
}


@dataclass
class Listing:
    """pictures: files with a suffix of images or arrays, sorted. others: suffix -> files. left_out: what is no file.

    hidden: how many files and folders have names that begin with a point. unlisted: folders that cannot be listed.
    """

    root: Path
    pictures: list[Path] = field(default_factory=list)
    others: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))
    left_out: dict[Path, str] = field(default_factory=dict)
    hidden: int = 0
    unlisted: dict[Path, str] = field(default_factory=dict)


def listing(root: Path) -> Listing:
    """List a folder and its subfolders; links to folders are followed, once each.

    Raises:
        DataError: for a folder that is not there, or cannot be listed itself.
    """
    if not root.is_dir():
        raise DataError(f"{root}: there is no such folder")
    found = Listing(root)
    seen, pending = set(), [str(root)]
    while pending:
        place = pending.pop()
        real = os.path.realpath(place)
        if real in seen:  # a link to a folder that is above it
            continue
        seen.add(real)
        try:
            entries = list(os.scandir(place))
        except OSError as error:
            if place == str(root):
                raise DataError(f"{root}: this folder cannot be listed ({error.strerror or error})") from error
            found.unlisted[Path(place)] = error.strerror or str(error)
            continue
        for entry in entries:
            if entry.name.startswith("."):
                found.hidden += 1
            elif os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir():
                pending.append(entry.path)
            else:
                _sort_in(found, entry)
    found.pictures.sort(key=lambda path: path.relative_to(root).parts)
    found.others = {suffix: sorted(found.others[suffix]) for suffix in sorted(found.others)}
    return found


def _sort_in(found: Listing, entry: os.DirEntry[str]) -> None:
    path = Path(entry.path)
    regular = os.path.isfile(entry.path) if entry.is_symlink() else entry.is_file()
    if not regular and os.path.exists(entry.path):
        found.left_out[path] = f"this is {kind_of(os.stat(entry.path).st_mode)}, not a file"
    elif path.suffix.lower() in SUFFIXES or (path.suffix.lower() in ARRAYS and not is_of_many(path)):
        found.pictures.append(path)
    else:
        found.others[path.suffix.lower()].append(path)


def is_of_many(path: Path) -> bool:
    """Whether an array has one of the names under which the data set `array` looks for many images."""
    return any(name in _OF_MANY for name in re.split(r"[_-]", path.stem.lower()))


def described(suffix: str, files: list[Path]) -> str:
    """What files of an unknown suffix are, as far as their beginnings or the suffix tell; else empty."""
    for path in files[:SNIFFED]:
        try:
            with path.open("rb") as file:
                begins = file.read(16)
        except OSError:
            continue
        known = next((words for start, words in _BEGINNINGS if begins.startswith(start)), "")
        if known and suffix not in KNOWN_OTHERS:
            return f"{known} under another name; give them the suffix of what they are"
    return KNOWN_OTHERS.get(suffix, "data of a kind that no data set reads" if suffix in UNREAD else "")
