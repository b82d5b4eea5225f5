"""The front door for data sets: what they are given, what they raise, and how files and downloads are read."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ganrun.contracts.protocols import Dataset
from ganrun.data import image_grid
from ganrun.data.download import fetch, unpack
from ganrun.data.file_list import FileList
from ganrun.data.image_array import ValueRange, is_plain, read_array
from ganrun.data.image_facts import files_read_otherwise
from ganrun.data.image_files import decode_picture, find_pictures, list_pictures, read_picture
from ganrun.data.image_items import ImageReading
from ganrun.data.labels import label_names
from ganrun.data.locks import file_lock, remove_unfinished, written_whole
from ganrun.data.order import permutation, subset
from ganrun.data.reader import DataDescription, InMemory, fingerprint, normalised, read_items, selected_classes
from ganrun.data.split_folders import split_folder, warn_of_unread
from ganrun.data.workers import batch_memory, computed_in_workers
from ganrun.errors import DataError, DownloadError
from ganrun.progress import progress_bar, say, track
from ganrun.randomness import ItemDraws
from ganrun.words.spaces import DataFiles

if TYPE_CHECKING:
    from ganrun.evaluation.item_features import item_features


def __getattr__(name: str) -> Any:
    """Import what is slow when it is first asked for."""
    if name == "item_features":
        return import_module("ganrun.evaluation.item_features").item_features
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "DataDescription",
    "DataError",
    "DataFiles",
    "Dataset",
    "DownloadError",
    "FileList",
    "ImageReading",
    "InMemory",
    "ItemDraws",
    "ValueRange",
    "batch_memory",
    "computed_in_workers",
    "decode_picture",
    "fetch",
    "file_lock",
    "files_read_otherwise",
    "find_pictures",
    "fingerprint",
    "image_grid",
    "is_plain",
    "item_features",
    "label_names",
    "list_pictures",
    "normalised",
    "permutation",
    "progress_bar",
    "read_array",
    "read_items",
    "read_picture",
    "remove_unfinished",
    "say",
    "selected_classes",
    "split_folder",
    "subset",
    "track",
    "unpack",
    "warn_of_unread",
    "written_whole",
]
