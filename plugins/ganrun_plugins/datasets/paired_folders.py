"""Pairs of images: side by side in the files of `train` and `test`, or under the same names in `trainA` and `trainB`.

The layouts of pix2pix (Isola et al. 2016): one image of twice the width, whose left half is A and right half B; and
of its tools: two folders for each split (``trainA``, ``trainB``, ``testA``, ``testB``), where pairs have the same name,
whatever the suffix. A folder ``trainA`` decides which it is. Where there is no test folder, ``val`` (``valA``,
``valB``) is the test split.

Training images are stretched to ``load_size`` squared, a random window of ``size`` is cropped and half of them are
mirrored: both images of a pair are one array of twice the channels while that happens, so that one geometry serves
both. Test images are stretched to ``size`` and come in order. ``hidden_pairs`` returns the test pairs, for evaluators
that compare answers with the truth.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, RecipePath, Space, hookimpl
from ganrun.plugin.data import DataError, DataFiles, FileList, ItemDraws, list_pictures, read_picture
from ganrun_plugins.datasets._fit import (
    Draft,
    Fit,
    LoadSize,
    Pad,
    Resize,
    Sides,
    Size,
    check_kept,
    image_space,
    translation_fit,
)
from ganrun_plugins.datasets._images import Cache, Channels, InMemory, Pictures, file_list


class Pairs(Pictures):
    """Images with two of everything: the first half of an item's channels is A, the second B."""

    def __init__(
        self,
        root: Path,
        paths: Sequence[Path] | FileList,
        partners: Sequence[Path] | None,
        fit: Fit,
        *,
        keep: bool,
        cache: Path | None = None,
    ) -> None:
        self.partners = None if partners is None else file_list(root, partners)
        super().__init__(root, paths, fit, keep=keep, cache=cache)

    def files(self) -> Sequence[FileList]:
        """The files of A and those of B, or those that hold both."""
        return [self.paths] if self.partners is None else [self.paths, self.partners]

    def decoded(self, row: int) -> np.ndarray:
        """(2 C, H, W) uint8 of one file with both images, or of a file and its partner."""
        path = self.paths[row]
        if self.partners is not None:
            return np.concatenate([self.fit.scaled(path), self.fit.scaled(self.partners[row])])
        both = read_picture(path, self.fit.channels)
        width, height = both.size
        if width < 2:
            raise DataError(f"{path}: {width} x {height} pixels hold no two images side by side")
        half = width // 2  # of an odd width the column in the middle belongs to neither
        halves = [both.crop((0, 0, half, height)), both.crop((width - half, 0, width, height))]
        return np.concatenate([self.fit.scaled_picture(picture) for picture in halves])


class PairedFolders:
    """``a`` and ``b``: images (channels, height, width) that belong together."""

    provides = frozenset({"hidden-pairs"})
    classes: tuple[str, ...] = ()

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
                    "the folder of train and test, or of trainA, trainB, ...; a relative path starts at the recipe"
                ),
            ),
            RecipePath(),
        ],
        size: Size = 256,
        resize: Resize = "squash",
        load_size: LoadSize = None,
        pad: Pad = "black",
        flip: Annotated[bool, Field(description="mirror half of the training pairs")] = True,
        channels: Channels = 3,
        in_memory: InMemory = False,
        cache: Cache = False,
        draft: Draft = False,
    ) -> None:
        fit = translation_fit(
            "paired folders", split, channels, size, load_size, flip=flip, resize=resize, pad=pad, draft=draft
        )
        check_kept("paired-folders", fit, keep=in_memory)
        base = files.path(root)
        if not base.is_dir():
            raise DataError(
                f"{base}: there is no such folder; it has to hold train and test, or trainA, trainB, testA and testB"
            )
        self.in_memory = in_memory
        self.channels = channels
        self.pairs = Pairs(base, *found_pairs(base, split), fit, keep=in_memory, cache=files.cache if cache else None)
        self.spaces = self.known_spaces(size=size, channels=channels)

    @classmethod
    def known_spaces(cls, *, size: Sides, channels: int, **_: Any) -> dict[str, Space]:
        """Entries, which follow from the parameters: networks are built where the files are not."""
        return {name: image_space(channels, size) for name in ("a", "b")}

    def __len__(self) -> int:
        return len(self.pairs)

    def batch(self, indices: Tensor, draws: ItemDraws) -> dict[str, Tensor]:
        """Items (B,) -> ``a`` and ``b``, (B, C, height, width) uint8 each."""
        a, b = self.pairs.batch(indices, draws, "pair").split(self.channels, 1)  # (B, 2 C, height, width)
        return {"a": a.contiguous(), "b": b.contiguous()}

    def hidden_pairs(self) -> dict[str, Tensor]:
        """All pairs of this split, ``a`` and ``b`` (N, C, height, width) uint8, on the CPU. For evaluators only."""
        every = np.arange(len(self))
        return {
            name: x.cpu()
            for name, x in self.batch(torch.from_numpy(every), ItemDraws(("pairs",), np.asarray(0), every)).items()
        }

    def to(self, device: torch.device) -> None:
        """Move what is in memory to a device."""
        self.pairs.to(device)

    @property
    def paths(self) -> list[Path]:
        """The files that items are read from."""
        return self.pairs.all_paths()

    @property
    def preparation(self) -> str:
        """How files are read, and what is done to the images, in words."""
        return self.pairs.preparation

    @property
    def departs(self) -> bool:
        """Whether some files are read otherwise than the reference code of FID reads them."""
        return self.pairs.departs

    def fingerprint(self) -> str:
        """A hash of the files and the preprocessing."""
        return self.pairs.fingerprint()


def found_pairs(base: Path, split: str) -> tuple[Sequence[Path], list[Path] | None]:
    """The files of a split: those with both images and None, or those of A and of B, pair by pair.

    Raises DataError.
    """
    apart = (base / "trainA").is_dir()
    ending = "A" if apart else ""
    if split == "test" and not (base / f"test{ending}").is_dir() and (base / f"val{ending}").is_dir():
        split = "val"
    if not apart:
        if not (base / split).is_dir():
            raise DataError(
                f"{base}: it holds no folder {split}, and no trainA; it has to hold train and test, or trainA, "
                "trainB, testA and testB"
            )
        return list_pictures(base / split), None
    first, second = (named(base / f"{split}{domain}") for domain in "AB")
    alone = sorted(first.keys() ^ second.keys())
    if alone:
        where = split + ("A" if alone[0] in first else "B")
        raise DataError(
            f"{base}: {len(alone)} images have no partner, the first is {alone[0]} in {where}; "
            "a pair has one name in both folders"
        )
    return list(first.values()), [second[name] for name in first]


def named(folder: Path) -> dict[str, Path]:
    """Name without suffix -> file, of all images in a folder. Raises DataError if two have one name."""
    found: dict[str, Path] = {}
    for path in list_pictures(folder):
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            raise DataError(
                f"{folder}: {found[name].name} and {path.name} have one name, so that it is open which is the partner; "
                "remove one"
            )
        found[name] = path
    return found


@hookimpl
def ganrun_components() -> Iterable[Component]:
    yield Component("dataset", "paired-folders", PairedFolders)
