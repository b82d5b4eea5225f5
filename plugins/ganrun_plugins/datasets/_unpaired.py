"""What unpaired data sets share: two folders of images, read as the CycleGAN paper reads them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import RecipePath, Space
from ganrun.plugin.data import DataError, DataFiles, ImageReading, ItemDraws, fingerprint
from ganrun_plugins.datasets._fit import (
    Draft,
    LoadSize,
    Pad,
    Resize,
    Sides,
    Size,
    check_kept,
    image_space,
    translation_fit,
)
from ganrun_plugins.datasets._images import Cache, InMemory, Pictures, ranges_of, read_as_items
from ganrun_plugins.datasets._parts import TestFraction
from ganrun_plugins.datasets._reading import BadImages, Frames
from ganrun_plugins.datasets._two_sides import Roots, Side, TwoChannels, TwoRanges, of_both, unpaired_files


class Unpaired:
    """``a`` and ``b``: images (channels, height, width) of the two folders."""

    classes: tuple[str, ...] = ()

    def __init__(
        self,
        files: DataFiles,
        split: str,
        *,
        root: Annotated[
            str | None,
            Field(
                min_length=1,
                description="the folder of trainA, trainB, testA and testB; a relative path starts at the recipe",
            ),
            RecipePath(),
        ] = None,
        roots: Roots = None,
        test_fraction: TestFraction = 0.1,
        size: Size = 256,
        resize: Resize = "squash",
        load_size: LoadSize = None,
        pad: Pad = "black",
        flip: Annotated[bool, Field(description="mirror half of the training images")] = True,
        channels: TwoChannels = 3,
        in_memory: InMemory = False,
        cache: Cache = False,
        draft: Draft = False,
        range: TwoRanges = None,
        frames: Frames = "first",
        bad_images: BadImages = "fail",
    ) -> None:
        fits = {
            side: translation_fit(
                "unpaired folders", split, count, size, load_size, flip=flip, resize=resize, pad=pad, draft=draft
            )
            for side, count in of_both(channels, "channels").items()
        }
        check_kept("unpaired folders", fits["a"], keep=in_memory)
        lists = unpaired_files(files, split, root, roots, test_fraction)
        base = None if root is None else files.path(root)
        self.training = split == "train"
        self.in_memory = in_memory or cache
        kept = files.cache if cache else None
        try:
            measured = lists if self.training else unpaired_files(files, "train", root, roots, test_fraction)
        except DataError:  # a test split may be there alone
            measured = lists
        readings = {side: ImageReading(one, frames, bad_images) for side, one in of_both(range, "range").items()}
        self.pictures: dict[str, Pictures] = {
            side: read_as_items(
                readings[side],
                [(paths, fits[side], measured[side])],
                keep=in_memory,
                cache=kept,
                root=base or paths.root,
            )[0]
            for side, paths in lists.items()
        }
        self.sizes = {name: len(pictures) for name, pictures in self.pictures.items()}
        self.spaces = self.known_spaces(size=size, channels=channels)

    @classmethod
    def known_spaces(cls, *, size: Sides, channels: int | Mapping[Side, int], **_: Any) -> dict[str, Space]:
        """Entries, which follow from the parameters: networks are built where the files are not."""
        return {side: image_space(count, size) for side, count in of_both(channels, "channels").items()}

    def __len__(self) -> int:
        return max(self.sizes.values())

    def batch(self, indices: Tensor, draws: ItemDraws) -> dict[str, Tensor]:
        """Items (B,) -> ``a`` and ``b``, (B, C, height, width) uint8 each."""
        of_b = torch.from_numpy(draws.integers("b", self.sizes["b"])) if self.training else indices % self.sizes["b"]
        chosen = {"a": indices % self.sizes["a"], "b": of_b}
        return {name: pictures.batch(chosen[name], draws, name) for name, pictures in self.pictures.items()}

    def to(self, device: torch.device) -> None:
        """Move what is in memory to a device."""
        for pictures in self.pictures.values():
            pictures.to(device)

    @property
    def paths(self) -> list[Path]:
        """The files that items are read from."""
        return [path for pictures in self.pictures.values() for path in pictures.all_paths()]

    @property
    def preparation(self) -> str:
        """How files are read, and what is done to the images, in words, of ``a`` and of ``b`` where they differ."""
        words = {name: pictures.preparation for name, pictures in self.pictures.items()}
        same = len(set(words.values())) == 1
        return words["a"] if same else "; ".join(f"{name}: {said}" for name, said in words.items())

    @property
    def skipped(self) -> dict[Path, str]:
        """Files that cannot be read and were left out, and why."""
        return {path: why for pictures in self.pictures.values() for path, why in pictures.skipped.items()}

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """What -1 and 1 of an entry stand for, where that is not 0 and 255."""
        return ranges_of(self.pictures)

    @property
    def departs(self) -> bool:
        """Whether some files are read otherwise than the reference code of FID reads them."""
        return any(pictures.departs for pictures in self.pictures.values())

    def fingerprint(self) -> str:
        """A hash of the files and the preprocessing."""
        return fingerprint([self.pictures[name].fingerprint() for name in ("a", "b")])
