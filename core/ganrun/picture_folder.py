"""A plain folder of pictures as data: whatever made them, they can be scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ganrun.data import DataError, fingerprint
from ganrun.picture_files import find_pictures, read_picture
from ganrun.protocols import Dataset, Space
from ganrun.randomness import ItemDraws

GREY = ("1", "L", "I", "I;16", "I;16L", "I;16B")


class PictureFolder:
    """Entry ``x``: all pictures of a folder and its subfolders, sorted by path, (channels, side, side) uint8.

    side: pictures are scaled to it (bicubic, antialiased); None keeps them, if all have one size. channels: 1 if all are grey, else 3,
    unless it is said.

    Raises:
        DataError: for a folder without pictures, or pictures of several sizes where no side is given.
    """

    in_memory = False
    classes: Sequence[str] = ()

    def __init__(self, root: Path, *, side: int | None = None, channels: int | None = None) -> None:
        self.root = root
        self.paths = find_pictures(root)
        self.side = side
        first = self.paths[0]
        facts = {path: _facts(path) for path in self.paths}
        self.channels = channels or (1 if all(grey for _, grey in facts.values()) else 3)
        (width, height), _ = facts[first]
        for path, (size, _) in facts.items():
            if side is None and size != (width, height):
                raise DataError(
                    f"{root}: pictures of several sizes: {first.name} has {width} x {height} pixels, {path.name} has {size[0]} x {size[1]}; "
                    "add --size N to scale them all"
                )
        self.spaces: Mapping[str, Space] = {"x": Space("image", (self.channels, side or height, side or width))}
        self.names = [path.relative_to(root).with_suffix("").as_posix() for path in self.paths]

    def __len__(self) -> int:
        return len(self.paths)

    def batch(self, indices: Tensor, draws: ItemDraws) -> dict[str, Tensor]:
        """Items (B,) -> ``x`` (B, C, H, W) uint8."""
        return {"x": torch.stack([self._read(self.paths[i]) for i in indices.tolist()])}

    def fingerprint(self) -> str:
        """A hash of the names and bytes of all files, and of their scaling."""
        content = [[name, np.fromfile(path, np.uint8)] for name, path in zip(self.names, self.paths)]
        return fingerprint(content, self.side, self.channels)

    def _read(self, path: Path) -> Tensor:
        picture = read_picture(path, self.channels)
        if self.side is not None and picture.size != (self.side, self.side):
            picture = picture.resize((self.side, self.side), Image.Resampling.BICUBIC)
        values = np.array(picture)  # (H, W) or (H, W, C)
        return torch.from_numpy(values.reshape(*values.shape[:2], -1)).permute(2, 0, 1).contiguous()  # (C, H, W)


def folder_splits(root: Path, *, side: int | None = None, channels: int | None = None) -> Callable[[str], Dataset]:
    """Split -> pictures of a folder: its subfolders ``train`` and ``test`` if it has both; otherwise all of it is ``test``."""
    both = (root / "train").is_dir() and (root / "test").is_dir()
    kept: dict[str, Dataset] = {}

    def dataset(split: str) -> Dataset:
        if split == "train" and not both:
            raise DataError(f"{root}: this score compares with a train and a test split; give a folder that has subfolders train and test")
        if split not in kept:
            kept[split] = PictureFolder(root / split if both else root, side=side, channels=channels)
        return kept[split]

    return dataset


def _facts(path: Path) -> tuple[tuple[int, int], bool]:
    """Width and height, and whether it is grey, read from the file's head alone."""
    try:
        with Image.open(path) as picture:
            return picture.size, picture.mode in GREY
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: cannot be read as a picture ({error}); repair the file or remove it") from error
