"""A plain folder of images as data, to be scored."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ganrun.contracts.protocols import Dataset
from ganrun.data.image_facts import image_facts, read_otherwise
from ganrun.data.image_files import find_pictures, read_picture
from ganrun.data.reader import fingerprint
from ganrun.errors import DataError
from ganrun.progress import track
from ganrun.randomness import ItemDraws, stable_hash
from ganrun.words.spaces import Space

FileReading = Literal["plain", "shown"]


class PictureFolder:
    """Entry ``x``: all images of a folder and its subfolders, (channels, side, side) uint8.

    Their order depends on their names alone, the same in two folders of the same names, and mixes subfolders, which may
    be classes: the first n are a fair sample.

    side: images are scaled to it (bicubic, antialiased); None keeps them, if all have one size. channels: 1 if all
    are grey, else 3, unless given. reading: ``plain``, bit for bit as the reference code of FID reads files
    (:mod:`ganrun.data.image_facts`), or ``shown``, as :func:`read_picture` does otherwise; it is warned of files of
    which the plain reading is not what is shown. ``departs``: whether pixels are other than those of the plain reading,
    so that scores are not called FID. ``preparation``: in words, what was done to the images.

    Raises:
        DataError: for a folder without images, or images of several sizes where no side is given.
    """

    in_memory = False
    classes: Sequence[str] = ()

    def __init__(
        self, root: Path, *, side: int | None = None, channels: int | None = None, reading: FileReading = "plain"
    ) -> None:
        self.root = root
        self.paths = sorted(find_pictures(root), key=lambda path: stable_hash("picture-folder", _name(path, root)))
        self.side = side
        self.reading = reading
        shown = reading == "shown"
        facts = [image_facts(path) for path in track(self.paths, f"looking at pictures of {root}", len(self.paths))]
        self.channels = channels or (1 if all(one.grey for one in facts) else 3)
        sizes = [one.shown_size if shown else one.size for one in facts]
        width, height = sizes[0]
        for path, size in zip(self.paths, sizes):
            if side is None and size != (width, height):
                raise DataError(
                    f"{root}: images of several sizes: {self.paths[0].name} has {width} x {height} pixels, "
                    f"{path.name} has {size[0]} x {size[1]}; add --size N to scale them all"
                )
        otherwise, scaled = read_otherwise(facts, shown=shown), side is not None and {*sizes} != {(side, side)}
        if otherwise and not shown:
            warnings.warn(
                f"{root}: {', '.join(otherwise)}, as the reference code of FID reads them; --reading shown reads them "
                "as a viewer shows them",
                stacklevel=2,
            )
        self.departs = scaled or (shown and bool(otherwise))
        repeated = sum(one.grey for one in facts) if self.channels == 3 else 0
        self.preparation = "; ".join(
            ["read as shown" if shown else "read as PIL's convert('RGB')", *otherwise]
            + ([f"grey repeated ({repeated} of {len(facts)})"] if repeated else [])
            + [f"scaled to {side} x {side} (bicubic, antialiased)" if scaled else "not scaled"]
        )
        self.spaces: Mapping[str, Space] = {"x": Space("image", (self.channels, side or height, side or width))}
        self.names = [_name(path, root) for path in self.paths]

    def __len__(self) -> int:
        return len(self.paths)

    def batch(self, indices: Tensor, draws: ItemDraws) -> dict[str, Tensor]:
        """Items (B,) -> ``x`` (B, C, H, W) uint8."""
        return {"x": torch.stack([self._read(self.paths[i]) for i in indices.tolist()])}

    def fingerprint(self) -> str:
        """A hash of the names and bytes of all files, and of how they are read and scaled."""
        # one file at a time in memory
        files = track(zip(self.names, self.paths), f"reading pictures of {self.root}", len(self))
        content = [[name, fingerprint(_bytes(path))] for name, path in files]
        return fingerprint(content, self.side, self.channels, self.reading)

    def _read(self, path: Path) -> Tensor:
        picture = read_picture(path, self.channels, plain=self.reading == "plain")
        if self.side is not None and picture.size != (self.side, self.side):
            picture = picture.resize((self.side, self.side), Image.Resampling.BICUBIC)
        values = np.array(picture)  # (H, W) or (H, W, C)
        return torch.from_numpy(values.reshape(*values.shape[:2], -1)).permute(2, 0, 1).contiguous()  # (C, H, W)


def folder_splits(
    root: Path, *, side: int | None = None, channels: int | None = None, reading: FileReading = "plain"
) -> Callable[[str], Dataset]:
    """Split -> images of a folder: its subfolders ``train`` and ``test`` if it has both, else all as ``test``."""
    both = (root / "train").is_dir() and (root / "test").is_dir()
    kept: dict[str, Dataset] = {}

    def dataset(split: str) -> Dataset:
        if split == "train" and not both:
            raise DataError(
                f"{root}: this score needs a train and a test split; give a folder with subfolders train and test"
            )
        if split not in kept:
            kept[split] = PictureFolder(root / split if both else root, side=side, channels=channels, reading=reading)
        return kept[split]

    return dataset


def _name(path: Path, root: Path) -> str:
    """What two folders share for images that belong together: the path in the folder, without the suffix."""
    return path.relative_to(root).with_suffix("").as_posix()


def _bytes(path: Path) -> np.ndarray:
    try:
        return np.fromfile(path, np.uint8)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}); repair the file or remove it") from error
