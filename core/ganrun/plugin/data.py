"""The front door for data sets: what they are given, what they raise, and how files and downloads are read."""

from __future__ import annotations

from ganrun.contracts.protocols import Dataset
from ganrun.data import image_grid
from ganrun.data.download import DownloadError, fetch, only_one, unpack
from ganrun.data.image_files import find_pictures, read_picture
from ganrun.data.labels import names_of
from ganrun.data.order import permutation, subset
from ganrun.data.reader import Announced, InMemory, Movable, fingerprint, prepared, read_items, selected_classes
from ganrun.errors import DataError
from ganrun.randomness import ItemDraws
from ganrun.words.spaces import DataFiles

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
    "image_grid",
    "names_of",
    "only_one",
    "permutation",
    "prepared",
    "read_items",
    "read_picture",
    "selected_classes",
    "subset",
    "unpack",
]
