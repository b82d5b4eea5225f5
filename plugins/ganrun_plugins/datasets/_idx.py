"""MNIST's file format and layout: what mnist and fashion-mnist have in common."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from ganrun.plugin.data import DataError, DataFiles, DownloadError, fetch, selected_classes
from ganrun_plugins.datasets._classes import PublishedClasses
from ganrun_plugins.datasets._fit import Rule, Sides

FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


def read_idx(path: Path) -> np.ndarray:
    """The uint8 array of an IDX file, gzipped or not.

    Raises:
        DataError: naming the file, if it is not such a file or is truncated.
    """
    try:
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}); fetch the file again") from None
    axes = raw[3] if len(raw) > 4 and raw[:3] == b"\0\0\x08" else 0  # two zeros, 8 for bytes, the number of axes
    shape = np.frombuffer(raw, ">u4", axes, 4).astype(int) if axes and len(raw) >= 4 + 4 * axes else np.empty(0, int)
    if not len(shape) or len(raw) != 4 + 4 * axes + shape.prod():
        raise DataError(f"{path}: not a whole IDX file of bytes; fetch the file again")
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * axes).reshape(shape)


class IdxImages(PublishedClasses):
    """``x``: grey images (1, height, width). ``label``: the class. 6,000 training and 1,000 test images a class.

    ``published`` is torchvision's class of the data: where the files are, and their MD5. ``root`` holds the four files,
    itself or in ``raw`` or ``published/raw``; without one they are downloaded into the cache.
    """

    channels = 1
    per_class = {"train": 6000, "test": 1000}  # mnist: about as many
    published: ClassVar[str]

    def __init__(
        self,
        files: DataFiles,
        split: str,
        *,
        root: str | None,
        size: Sides,
        resize: Rule,
        classes: Sequence[str | int] | None,
    ) -> None:
        if split not in FILES:
            raise DataError(f"there is no split {split!r}; there are train and test")
        selected_classes(self.names, classes)  # an unknown class is refused before the download
        base = files.cache if root is None else files.path(root)
        published = self.published
        if root is None and any(_find(base, published, name) is None for pair in FILES.values() for name in pair):
            _download(base / published / "raw", published)
        images, label = (torch.from_numpy(read_idx(_required(base, published, name)).copy()) for name in FILES[split])
        if (
            images.dim() != 3
            or label.dim() != 1
            or len(images) != len(label)
            or not len(label)
            or int(label.max()) >= len(self.names)
        ):
            raise DataError(
                f"{base}: the files of the {split} split hold {tuple(images.shape)} images and {tuple(label.shape)} "
                "labels, not one each"
            )
        super().__init__(
            images[:, None], label.long(), size=size, resize=resize, classes=classes, mode="bilinear"
        )  # (N, 1, H, W)


def _find(base: Path, published: str, name: str) -> Path | None:
    places = [
        folder / file for folder in (base / published / "raw", base / "raw", base) for file in (name, f"{name}.gz")
    ]
    return next((path for path in places if path.is_file()), None)


def _required(base: Path, published: str, name: str) -> Path:
    path = _find(base, published, name)
    if path is None:
        raise DataError(f"{base}: no {name} or {name}.gz in this folder, in `raw` or in `{published}/raw`")
    return path


def _download(folder: Path, published: str) -> None:
    import torchvision.datasets  # takes a second: only for the table of addresses

    source: Any = getattr(torchvision.datasets, published)
    for name, md5 in source.resources:
        errors = []
        for mirror in source.mirrors:
            try:
                fetch(f"{mirror}{name}", folder / name, size=None, sha256=None, md5=md5)
                break
            except DownloadError as error:
                errors.append(error)
        else:
            wanted = ", ".join(file for file, _ in source.resources)
            raise DownloadError(
                f"{errors[0]}\nAll files needed there: {wanted}; or set `root` to a folder that holds them"
            )
