"""A plain folder of images as data, to be scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ganrun.contracts.protocols import Dataset
from ganrun.data.image_files import find_pictures, read_picture
from ganrun.data.reader import fingerprint
from ganrun.errors import DataError
from ganrun.randomness import ItemDraws, stable_hash
from ganrun.words.spaces import Space

ORIENTATION = 0x0112  # the EXIF tag for an image's orientation; reading it turns it back
GREY = ("1", "L", "I", "I;16", "I;16L", "I;16B")


class PictureFolder:
    """Entry ``x``: all images of a folder and its subfolders, (channels, side, side) uint8.

    Their order depends on their names alone, the same in two folders of the same names, and mixes subfolders, which may
    be classes: the first n are a fair sample.

    side: images are scaled to it (bicubic, antialiased); None keeps them, if all have one size. channels: 1 if all
    are grey, else 3, unless given.

    Raises:
        DataError: for a folder without images, or images of several sizes where no side is given.
    """

    in_memory = False
    classes: Sequence[str] = ()

    def __init__(self, root: Path, *, side: int | None = None, channels: int | None = None) -> None:
        self.root = root
        self.paths = sorted(find_pictures(root), key=lambda path: stable_hash("picture-folder", _name(path, root)))
        self.side = side
        first = self.paths[0]
        facts = {path: _facts(path) for path in self.paths}
        self.channels = channels or (1 if all(grey for _, grey in facts.values()) else 3)
        (width, height), _ = facts[first]
        for path, (size, _) in facts.items():
            if side is None and size != (width, height):
                raise DataError(
                    f"{root}: images of several sizes: {first.name} has {width} x {height} pixels, "
                    f"{path.name} has {size[0]} x {size[1]}; add --size N to scale them all"
                )
        self.spaces: Mapping[str, Space] = {"x": Space("image", (self.channels, side or height, side or width))}
        self.names = [_name(path, root) for path in self.paths]

    def __len__(self) -> int:
        return len(self.paths)

    def batch(self, indices: Tensor, draws: ItemDraws) -> dict[str, Tensor]:
        """Items (B,) -> ``x`` (B, C, H, W) uint8."""
        return {"x": torch.stack([self._read(self.paths[i]) for i in indices.tolist()])}

    def fingerprint(self) -> str:
        """A hash of the names and bytes of all files, and of their scaling."""
        # one file at a time in memory
        content = [[name, fingerprint(_bytes(path))] for name, path in zip(self.names, self.paths)]
        return fingerprint(content, self.side, self.channels)

    def _read(self, path: Path) -> Tensor:
        picture = read_picture(path, self.channels)
        if self.side is not None and picture.size != (self.side, self.side):
            picture = picture.resize((self.side, self.side), Image.Resampling.BICUBIC)
        values = np.array(picture)  # (H, W) or (H, W, C)
        return torch.from_numpy(values.reshape(*values.shape[:2], -1)).permute(2, 0, 1).contiguous()  # (C, H, W)


def folder_splits(root: Path, *, side: int | None = None, channels: int | None = None) -> Callable[[str], Dataset]:
    """Split -> images of a folder: its subfolders ``train`` and ``test`` if it has both, else all as ``test``."""
    both = (root / "train").is_dir() and (root / "test").is_dir()
    kept: dict[str, Dataset] = {}

    def dataset(split: str) -> Dataset:
        if split == "train" and not both:
            raise DataError(
                f"{root}: this score needs a train and a test split; give a folder with subfolders train and test"
            )
        if split not in kept:
            kept[split] = PictureFolder(root / split if both else root, side=side, channels=channels)
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


def _facts(path: Path) -> tuple[tuple[int, int], bool]:
    """Width and height as it is seen, and whether it is grey, read from the file's head alone."""
    try:
        with Image.open(path) as picture:
            width, height = picture.size
            on_its_side = picture.getexif().get(ORIENTATION, 1) in (5, 6, 7, 8)
            return (height, width) if on_its_side else (width, height), picture.mode in GREY
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: cannot be read as an image ({error}); repair the file or remove it") from error
