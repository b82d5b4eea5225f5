"""Photographs of ten kinds of scenes, such as bedrooms and church outdoors, from LSUN's LMDB databases.

Yu et al., "LSUN: Construction of a Large-Scale Image Dataset using Deep Learning with Humans in the Loop" (2015).
``root`` holds the unpacked databases, ``bedroom_train_lmdb`` and ``bedroom_val_lmdb`` for each class; nothing is
downloaded (43 GB for bedrooms). The test split is LSUN's validation part, 300 images a class. Reading needs the
package ``lmdb`` (``pip install "ganrun[lsun]"``). Scaling is antialiased, and bicubic; that of the code of DCGAN and
WGAN is ``interpolation: bilinear``.

Names of files and classes are torchvision's. Its reader is not used: it keeps the keys of a database as a pickle in
whatever folder the process runs in, and trusts what it finds there. Here they are an array in the data cache, which
cannot run anything.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from PIL import Image
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, RecipePath, Space, hookimpl, stable_hash
from ganrun.plugin.data import DataError, DataFiles, ItemDraws, file_lock, fingerprint, written_whole
from ganrun_plugins.datasets._centre import CentreFit, Crop, Flip, Interpolation
from ganrun_plugins.datasets._fit import Pad, Resize, Sides, Size, image_space

Scene = Literal[
    "bedroom",
    "bridge",
    "church_outdoor",
    "classroom",
    "conference_room",
    "dining_room",
    "kitchen",
    "living_room",
    "restaurant",
    "tower",
]


class Database:
    """One LMDB of encoded images.

    It is opened for each batch: a process may have it open only once, and a fork not at all.
    """

    def __init__(self, path: Path, cache: Path) -> None:
        if not path.is_dir():
            raise DataError(f"{path}: there is no such database; unpack {path.name}.zip of LSUN there")
        self.path = path
        self.keys = self._read_keys(cache)  # (N,) bytes

    def __len__(self) -> int:
        return len(self.keys)

    def pictures(self, indices: np.ndarray, fit: CentreFit) -> Tensor:
        """Items (n,) -> (n, 3, height, width) uint8.

        Raises DataError naming the key of an image that cannot be decoded.
        """
        found = []
        with opened(self.path) as environment, environment.begin() as transaction:
            for key in self.keys[indices].tolist():
                try:
                    with Image.open(io.BytesIO(transaction.get(key))) as picture:
                        found.append(torch.from_numpy(fit.scaled_picture(picture.convert("RGB"))))
                except Exception as error:  # decoders raise nearly anything on broken files
                    raise DataError(
                        f"{self.path}: image {key.decode(errors='replace')} cannot be read ({error})"
                    ) from error
        return torch.stack(found)

    def _read_keys(self, cache: Path) -> np.ndarray:
        """All keys in their order, read once and kept: going through three million takes minutes."""
        with opened(self.path) as environment:
            entries = environment.stat()["entries"]
            kept = cache / "lsun" / f"{self.path.name}-{entries}-{stable_hash(str(self.path)):x}.npy"
            with file_lock(kept, f"another process reads the keys of {self.path.name}"):
                if kept.is_file():
                    keys: np.ndarray = np.load(kept, allow_pickle=False)
                    return keys
                with environment.begin() as transaction:
                    keys = np.array(list(transaction.cursor().iternext(keys=True, values=False)), dtype=bytes)
                with written_whole(kept) as unfinished:
                    np.save(unfinished, keys, allow_pickle=False)
        return keys


def opened(path: Path) -> Any:
    """An LMDB environment to read from. Raises DataError if the package is not installed or the file is damaged."""
    try:
        lmdb = import_module("lmdb")
    except ImportError as error:
        raise DataError('lsun: reading its databases needs the package lmdb; pip install "ganrun[lsun]"') from error
    try:
        return lmdb.open(str(path), max_readers=1, readonly=True, lock=False, readahead=False, meminit=False)
    except lmdb.Error as error:
        raise DataError(f"{path}: cannot be opened as a database ({error})") from error


class LSUN:
    """``x``: RGB images (3, height, width). ``label``: the class, if there are several."""

    in_memory = False
    offline = False

    def __init__(
        self,
        files: DataFiles,
        split: str,
        *,
        root: Annotated[
            str,
            Field(
                min_length=1,
                description=(
                    "the folder of the databases, such as bedroom_train_lmdb; a relative path starts at the recipe"
                ),
            ),
            RecipePath(),
        ],
        classes: Annotated[Sequence[Scene], Field(min_length=1, description="the scenes to keep")] = ("bedroom",),
        size: Size = 64,
        resize: Resize = "crop",
        pad: Pad = "black",
        crop: Crop = None,
        interpolation: Interpolation = "bicubic",
        flip: Flip = False,
    ) -> None:
        if split not in ("train", "test"):
            raise DataError(f"there is no split {split!r}; lsun has train and test")
        if len(set(classes)) < len(classes):
            raise DataError(f"lsun: a class is named twice: {', '.join(classes)}")
        folder = files.path(root)
        part = {"train": "train", "test": "val"}[split]
        self.classes = list(classes)
        self.databases = [Database(folder / f"{name}_{part}_lmdb", files.cache) for name in classes]
        self.ends = np.cumsum([len(database) for database in self.databases])
        flip = flip and split == "train"
        self.fit = CentreFit(3, size, size, resize, flip=flip, pad=pad, crop=crop, interpolation=interpolation)
        self.spaces = self.known_spaces(classes=classes, size=size)

    @classmethod
    def known_spaces(cls, *, classes: Sequence[str], size: Sides, **_: Any) -> dict[str, Space]:
        """Entries, which follow from the parameters: networks are built where the files are not."""
        several = {"label": Space("labels", (), len(classes))} if len(classes) > 1 else {}
        return {"x": image_space(3, size), **several}

    def __len__(self) -> int:
        return int(self.ends[-1])

    def batch(self, indices: Tensor, draws: ItemDraws) -> dict[str, Tensor]:
        """Items (B,) -> ``x`` (B, 3, height, width) uint8 and, if there are several classes, ``label`` (B,)."""
        rows = indices.numpy()
        label = np.searchsorted(self.ends, rows, side="right")  # (B,)
        x = torch.empty(len(rows), *self.spaces["x"].shape, dtype=torch.uint8)
        for i in np.unique(label).tolist():
            mine = label == i
            start = self.ends[i - 1] if i else 0
            x[torch.from_numpy(mine)] = self.databases[i].pictures(rows[mine] - start, self.fit)
        batch = {"x": self.fit.cropped(x, draws, "x")}
        return batch | ({"label": torch.from_numpy(label.astype(np.int64))} if "label" in self.spaces else {})

    def known_labels(self) -> dict[str, Tensor]:
        """``label`` -> the labels of all items, if there are several classes."""
        counts = torch.tensor([len(database) for database in self.databases])
        every = torch.repeat_interleave(torch.arange(len(counts)), counts)
        return {"label": every} if "label" in self.spaces else {}

    def fingerprint(self) -> str:
        """A hash of the keys, which are hashes of the images, and of the preprocessing."""
        return fingerprint([database.keys for database in self.databases], self.fit, self.classes)


@hookimpl
def ganrun_components() -> Iterable[Component]:
    yield Component("dataset", "lsun", LSUN)
