"""Files of numpy arrays: opened through memory maps where that can be, and found by their names."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from ganrun.plugin.data import DataError

SUFFIXES = (".npy", ".npz")
LOCAL_HEADER = 30  # bytes of a zip entry before its name
# By what names the arrays of a split go in public files: Keras, MedMNIST, numpy.savez and plain words.
SAMPLES = {
    "train": ("x_train", "train_images", "train_x", "x", "images", "data", "arr_0"),
    "test": ("x_test", "test_images", "val_images", "x_val", "test_x"),
}
LABELS = {
    "train": ("y_train", "train_labels", "train_y", "y", "label", "labels", "targets", "arr_1"),
    "test": ("y_test", "test_labels", "val_labels", "y_val", "test_y"),
}


def opened(path: Path) -> dict[str, np.ndarray]:
    """Name -> array of an .npz file; of an .npy file one array under an empty name. Nothing pickled is opened.

    Arrays of an .npy file, and those that an .npz file holds uncompressed (``numpy.savez``), are memory maps.

    Raises:
        DataError: for a file that is not there or holds something else.
    """
    try:
        if path.suffix.lower() == ".npz":
            return _archive(path)
        return {"": np.load(path, mmap_mode="r", allow_pickle=False)}
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        objects = any(word in str(error) for word in ("pickle", "Python objects"))
        why = "it holds pickled objects" if objects else " ".join(str(error).split())
        raise DataError(
            f"{path}: cannot be read as numpy's ({why}); write it with numpy.save or numpy.savez, of numbers"
        ) from error


def _archive(path: Path) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            name, suffix = entry.filename[:-4], entry.filename[-4:]
            if suffix == ".npy":
                mapped = _mapped(path, entry) if entry.compress_type == zipfile.ZIP_STORED else None
                if mapped is None:
                    with archive.open(entry) as file:
                        mapped = np.lib.format.read_array(file, allow_pickle=False)
                found[name] = mapped
    if not found:
        raise DataError(f"{path}: it holds no arrays; write it with numpy.savez")
    return found


def _mapped(path: Path, entry: zipfile.ZipInfo) -> np.ndarray | None:
    """An uncompressed entry as a memory map; None for one without numbers, which is read plainly."""
    with path.open("rb") as file:
        file.seek(entry.header_offset)
        header = file.read(LOCAL_HEADER)
        lengths = (int.from_bytes(header[place : place + 2], "little") for place in (26, 28))  # name, extra field
        file.seek(entry.header_offset + LOCAL_HEADER + sum(lengths))
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, columns_first, dtype = read(file)
        if dtype.hasobject or 0 in shape:
            return None
        order: Literal["C", "F"] = "F" if columns_first else "C"
        mapped: np.ndarray = np.memmap(path, dtype, mode="r", offset=file.tell(), shape=shape, order=order)
        return mapped


def chosen(arrays: Mapping[str, np.ndarray], wanted: str | None, usual: tuple[str, ...], path: Path) -> str | None:
    """The name of the array that is wanted, or of the first that has a usual name; None if none has.

    Raises DataError for a wanted name that is not there.
    """
    if wanted is not None and wanted not in arrays:
        raise DataError(f"{path}: there is no array {wanted!r} in it; there are {', '.join(arrays)}")
    lower = {name.lower(): name for name in arrays}
    return wanted if wanted is not None else next((lower[name] for name in usual if name in lower), None)
