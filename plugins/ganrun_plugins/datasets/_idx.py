"""MNIST's file format and layout: what mnist and fashion-mnist have in common."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ganrun.plugin import Space
from ganrun.plugin.data import DataDescription, DataError, DataFiles, DownloadError, InMemory, fetch, selected_classes
from ganrun_plugins.datasets._resize import fitted

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


class IdxImages(InMemory):
    """``x``: grey images (1, size, size). ``label``: the class.

    ``published`` is torchvision's class of the data: where the files are, and their MD5. ``root`` holds the four files,
    itself or in ``raw`` or ``published/raw``; without one they are downloaded into the cache.
    """

    def __init__(
        self,
        files: DataFiles,
        split: str,
        published: str,
        names: Sequence[str],
        *,
        root: str | None,
        size: int,
        classes: Sequence[str | int] | None,
    ) -> None:
        if split not in FILES:
            raise DataError(f"there is no split {split!r}; there are train and test")
        base = files.cache if root is None else files.path(root)
        if root is None and any(_find(base, published, name) is None for pair in FILES.values() for name in pair):
            _download(base / published / "raw", published)
        images, label = (torch.from_numpy(read_idx(_required(base, published, name)).copy()) for name in FILES[split])
        if (
            images.dim() != 3
            or label.dim() != 1
            or len(images) != len(label)
            or not len(label)
            or int(label.max()) >= len(names)
        ):
            raise DataError(
                f"{base}: the files of the {split} split hold {tuple(images.shape)} images and {tuple(label.shape)} "
                "labels, not one each"
            )
        chosen = selected_classes(names, classes)
        number = torch.full((len(names),), -1)
        number[chosen] = torch.arange(len(chosen))
        label = number[label.long()]
        images, label = images[label >= 0][:, None], label[label >= 0]  # (N, 1, H, W)
        spaces = {"x": Space("image", (1, size, size)), "label": Space("labels", (), len(chosen))}
        super().__init__({"x": fitted(images, size, "bilinear"), "label": label}, spaces, [names[i] for i in chosen])


def described(
    split: str, names: Sequence[str], root: str | None, size: int, classes: Sequence[str | int] | None
) -> DataDescription | None:
    """Spaces and length of mnist's and fashion-mnist's data before the download; None for a folder of one's own.

    The published sets hold 6,000 training and 1,000 test images a class (mnist about as many).
    """
    chosen = selected_classes(names, classes)
    spaces = {"x": Space("image", (1, size, size)), "label": Space("labels", (), len(chosen))}
    return (
        None
        if root is not None
        else DataDescription(spaces, len(chosen) * {"train": 6000, "test": 1000}[split], [names[i] for i in chosen])
    )


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
