"""The front door for data sets: what they are given, what they raise, and how files and downloads are read."""

from __future__ import annotations

from ganrun import pictures
from ganrun.asking import names_of
from ganrun.data import (
    Announced,
    DataError,
    InMemory,
    Movable,
    fingerprint,
    permutation,
    prepared,
    read_items,
    selected_classes,
)
from ganrun.download import DownloadError, fetch, only_one, unpack
from ganrun.picture_files import find_pictures, read_picture
from ganrun.protocols import DataFiles, Dataset
from ganrun.randomness import ItemDraws

__all__ = [
    "Announced",
    "DataError",
    "DataFiles",
    "Dataset",
    "DownloadError",
    "InMemory",
    "ItemDraws",
    "Movable",
    "fetch",
    "find_pictures",
    "fingerprint",
    "names_of",
    "only_one",
    "permutation",
    "pictures",
    "prepared",
    "read_items",
    "read_picture",
    "selected_classes",
    "unpack",
]
