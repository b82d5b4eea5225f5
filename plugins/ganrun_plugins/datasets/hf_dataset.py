"""Images of a data set of Hugging Face's ``datasets`` library: a folder, Parquet files, or a name on the hub.

``path`` is tried as a place on this machine first (a folder that ``save_to_disk`` wrote, a folder of Parquet files or
of images with metadata, a Parquet file), then as a name on the hub, which is downloaded once into ganrun's cache. No
code of a data set is run. The test split is ``test``, else ``validation``; where there is neither, a fixed part of the
rows, chosen by a key. Needs the package ``datasets`` (``pip install "ganrun[hf]"``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, RecipePath, Space, hookimpl
from ganrun.plugin.data import DataError, DataFiles, ItemDraws, fingerprint
from ganrun_plugins.datasets._encoded import Colours, Encoded, Flip
from ganrun_plugins.datasets._fit import Pad, Resize, Sides, Size, image_space
from ganrun_plugins.datasets._parts import TestFraction, part

TESTS = ("test", "validation", "valid", "val")


class HFDataset:
    """``x``: images (channels, height, width). ``label``: the class, if there is a column of labels."""

    in_memory = False

    def __init__(
        self,
        files: DataFiles,
        split: str,
        *,
        path: Annotated[
            str,
            Field(min_length=1, description="a folder, a Parquet file, or a name on the hub, such as mnist"),
            RecipePath(or_name=True),
        ],
        name: Annotated[str | None, Field(description="which configuration, of a data set that has several")] = None,
        revision: Annotated[
            str | None, Field(description="a branch, tag or commit of the hub; null: the newest")
        ] = None,
        image: Annotated[str | None, Field(description="the column of images; null: the only one")] = None,
        label: Annotated[
            str | None, Field(description="the column of labels; null: the only one of classes; none: no labels")
        ] = None,
        size: Size = 64,
        resize: Resize = "crop",
        pad: Pad = "black",
        channels: Colours = 3,
        flip: Flip = False,
        test_fraction: TestFraction = 0.1,
    ) -> None:
        if split not in ("train", "test"):
            raise DataError(f"there is no split {split!r}; hf-dataset has train and test")
        library = _library()
        splits = _opened(library, files, path, name, revision)
        training = splits.get("train", next(iter(splits.values())))
        test: Any = next((splits[each] for each in TESTS if each in splits), training)
        apart = test is not training
        table = test if split == "test" else training
        self.path = path
        self.column = _column(training, image, library.Image, "images", path)
        self.rows = np.arange(len(table)) if apart else part(len(table), split, test_fraction, "hf-dataset", path)
        self.table = table.cast_column(self.column, library.Image(decode=False))
        self.images = Encoded(channels, size, resize, pad, flip=flip and split == "train")
        self.spaces = self.known_spaces(size=size, channels=channels)
        self.label = None if label == "none" else _label_column(library, training, label, path)
        self.classes: list[str] = []
        if self.label is not None:
            feature = training.features[self.label]
            values = [] if hasattr(feature, "names") else sorted(set(training[self.label]))
            self.classes = [str(each) for each in (feature.names if hasattr(feature, "names") else values)]
            self._number = {value: number for number, value in enumerate(values)} or None
            self.spaces["label"] = Space("labels", (), len(self.classes))

    @classmethod
    def known_spaces(cls, *, size: Sides, channels: int, **_: Any) -> dict[str, Space]:
        """The image, whose size follows from the parameters; whether there are labels, the data alone can tell."""
        return {"x": image_space(channels, size)}

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, indices: Tensor, draws: ItemDraws) -> dict[str, Tensor]:
        """Items (B,) -> ``x`` (B, C, height, width) uint8 and ``label`` (B,)."""
        rows = self.rows[indices.numpy()].tolist()
        read = self.table[rows]
        names = [f"{self.path}, row {row}" for row in rows]
        batch = {
            "x": self.images.batch([_bytes(each, name) for each, name in zip(read[self.column], names)], names, draws)
        }
        if self.label is not None:
            batch["label"] = torch.tensor([self._class(value, name) for value, name in zip(read[self.label], names)])
        return batch

    def known_labels(self) -> dict[str, Tensor]:
        """``label`` -> the labels of all items, if there is a column of labels."""
        if self.label is None:
            return {}
        values = list(self.table[self.label])
        rows = self.rows.tolist()
        return {"label": torch.tensor([self._class(values[row], f"{self.path}, row {row}") for row in rows])}

    @property
    def preparation(self) -> str:
        """How images are decoded and fitted, in words."""
        return self.images.preparation

    def fingerprint(self) -> str:
        """A hash of the columns, of the number of rows and a few of them, and of what is made of them."""
        some = self.rows[np.linspace(0, len(self.rows) - 1, min(len(self.rows), 16)).astype(np.int64)].tolist()
        columns = [self.column] + ([self.label] if self.label is not None else [])
        read = self.table.select_columns(columns)[some]
        return fingerprint(repr(read), self.rows, self.images.fit, self.classes)

    def _class(self, value: Any, name: str) -> int:
        number = value if self._number is None else self._number.get(value)
        if number is None or not 0 <= number < len(self.classes):
            raise DataError(f"{name}: label {value!r} is none of the training rows' {', '.join(self.classes[:20])}")
        return int(number)


def _library() -> Any:
    try:
        return import_module("datasets")
    except ImportError as error:
        raise DataError('hf-dataset: it is read with the package datasets; pip install "ganrun[hf]"') from error


def _opened(library: Any, files: DataFiles, path: str, name: str | None, revision: str | None) -> Mapping[str, Any]:
    """Split -> its table. Raises DataError for what cannot be opened."""
    place = files.path(path)
    cache = str(files.cache / "hf")
    try:
        if place.is_dir() and any((place / mark).is_file() for mark in ("dataset_dict.json", "state.json")):
            found = library.load_from_disk(str(place))
        elif place.is_file():
            found = library.load_dataset("parquet", data_files={"train": str(place)}, cache_dir=cache)
        elif place.is_dir():
            found = library.load_dataset(str(place), name, cache_dir=cache)
        else:
            found = library.load_dataset(path, name, revision=revision, cache_dir=cache)
    except Exception as error:  # the library raises its own, pyarrow's, fsspec's and the network's
        why = " ".join(str(error).split())[:300] or type(error).__name__
        raise DataError(
            f"{path}: neither a data set at {place} nor one on the hub that can be opened ({why}); give a folder that "
            "save_to_disk wrote, a folder of Parquet files, a Parquet file, or a name such as mnist with a network"
        ) from error
    return found if isinstance(found, Mapping) else {"train": found}


def _column(table: Any, wanted: str | None, kind: type, what: str, path: str) -> str:
    """A column by name, or the only one of its kind. Raises DataError naming the columns."""
    features = table.features
    of_kind: list[str] = [each for each, feature in features.items() if isinstance(feature, kind)]
    if wanted is not None and wanted in features:
        return wanted
    if wanted is None and len(of_kind) == 1:
        return of_kind[0]
    said = ", ".join(f"{each} ({type(feature).__name__})" for each, feature in features.items())
    problem = f"there is no column {wanted!r}" if wanted else f"which column holds the {what}?"
    raise DataError(f"{path}: {problem}; its columns are {said}")


def _label_column(library: Any, table: Any, wanted: str | None, path: str) -> str | None:
    """The column of labels; None if none is wanted by name and there are no classes."""
    kind = library.ClassLabel
    there = any(isinstance(feature, kind) for feature in table.features.values())
    return _column(table, wanted, kind, "labels", path) if wanted is not None or there else None


def _bytes(image: Mapping[str, Any], name: str) -> bytes:
    """The encoded image of a cell, which holds its bytes or the path of a file."""
    if image and image.get("bytes") is not None:
        return bytes(image["bytes"])
    if image and image.get("path"):
        try:
            return Path(image["path"]).read_bytes()
        except OSError as error:
            raise DataError(f"{name}: {image['path']} cannot be read ({error.strerror or error})") from error
    raise DataError(f"{name}: it holds no image; leave the row out")


@hookimpl
def ganrun_components() -> Iterable[Component]:
    yield Component("dataset", "hf-dataset", HFDataset)
