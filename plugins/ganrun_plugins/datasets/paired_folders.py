"""Pairs of images: side by side in the files of `train` and `test`, or under the same names in `trainA` and `trainB`.

The layouts of pix2pix (Isola et al. 2016): one image of twice the width, whose left half is A and right half B; and
of its tools: two folders for each split (``trainA``, ``trainB``, ``testA``, ``testB``), where pairs have the same name,
whatever the suffix. A folder ``trainA`` decides which it is. Where there is no test folder, ``val`` (``valA``,
``valB``), ``valid`` or ``validation`` is the test split.

``roots: {a: ..., b: ...}`` are two folders of any names instead, each with ``train`` and ``test`` or with images, of
which a fixed part is the test split. Names of a pair may differ in what they end in (``suffixes: [_A, _B]``), or begin
with (``prefixes``).

Training images are by default squashed to ``load_size``, a random window of ``size`` is cropped and half of them are
mirrored: in both images of a pair in the same way. Test images are scaled to ``size`` and come in order.
``hidden_pairs`` returns the test pairs, for evaluators that compare answers with the truth.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, RecipePath, Space, hookimpl
from ganrun.plugin.data import (
    DataError,
    DataFiles,
    FileList,
    ImageReading,
    ItemDraws,
    fingerprint,
    is_plain,
    list_pictures,
    read_array,
    read_picture,
    split_folder,
)
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
from ganrun_plugins.datasets._images import Cache, InMemory, Pictures, ranges_of, read_as_items
from ganrun_plugins.datasets._parts import TestFraction
from ganrun_plugins.datasets._reading import BadImages, Frames
from ganrun_plugins.datasets._two_sides import Roots, Side, TwoChannels, TwoRanges, of_both, paired_files

Root = Annotated[
    str | None,
    Field(
        min_length=1,
        description=("the folder of train and test, or of trainA, trainB, ...; a relative path starts at the recipe"),
    ),
    RecipePath(),
]
Suffixes = Annotated[
    tuple[str, str],
    Field(description="what the names of a and of b end in, before .png and the like, such as [_A, _B]"),
]
Prefixes = Annotated[tuple[str, str], Field(description="what the names of a and of b begin with")]


class Halves(Pictures):
    """Images in the halves of files: the first channels of an item are of the left half, a, the others of b."""

    def __init__(self, root: Path, paths: FileList, fits: Mapping[str, Fit], **how: Any) -> None:
        self.fits = fits
        super().__init__(root, paths, fits["a"], **how)

    def decoded(self, row: int) -> np.ndarray:
        """(C of a + C of b, H, W) of one file."""
        path, wanted = self.paths[row], {fit.channels for fit in self.fits.values()}
        if self.values is not None or not all(is_plain(path, channels) for channels in wanted):
            return self._decoded_array(row)
        read = {channels: read_picture(path, channels, frame=self.frame(row)) for channels in wanted}
        width, height = next(iter(read.values())).size
        if width < 2:
            raise DataError(f"{path}: {width} x {height} pixels hold no two images side by side")
        half = width // 2  # of an odd width the column in the middle belongs to neither
        boxes = {"a": (0, 0, half, height), "b": (width - half, 0, width, height)}
        return np.concatenate(
            [fit.scaled_picture(read[fit.channels].crop(boxes[side])) for side, fit in self.fits.items()]
        )

    def _decoded_array(self, row: int) -> np.ndarray:
        path, halves = self.paths[row], []
        for side, fit in self.fits.items():
            both = read_array(path, fit.channels, self.values, frame=self.frame(row))
            width = both.shape[2]
            if width < 2:
                raise DataError(f"{path}: {width} x {both.shape[1]} pixels hold no two images side by side")
            half = width // 2
            halves.append(fit.scaled_array(both[:, :, :half] if side == "a" else both[:, :, width - half :]))
        return np.concatenate(halves)

    @property
    def preparation(self) -> str:
        """How files are read, and what is done to the images, in words."""
        if not self._differ:
            return super().preparation
        return "; ".join([self.reading_words(), *(f"{side}: {fit.words()}" for side, fit in self.fits.items())])

    def fingerprint(self) -> str:
        """A hash of the files and the preprocessing."""
        return fingerprint(super().fingerprint(), self.fits["b"]) if self._differ else super().fingerprint()

    @property
    def _differ(self) -> bool:
        return self.fits["a"] != self.fits["b"]

    def _cache_key(self) -> str:
        return fingerprint(super()._cache_key(), self.fits["b"])


class PairedFolders:
    """``a`` and ``b``: images (channels, height, width) that belong together."""

    provides = frozenset({"hidden-pairs"})
    classes: tuple[str, ...] = ()

    def __init__(
        self,
        files: DataFiles,
        split: str,
        *,
        root: Root = None,
        roots: Roots = None,
        suffixes: Suffixes = ("", ""),
        prefixes: Prefixes = ("", ""),
        test_fraction: TestFraction = 0.1,
        size: Size = 256,
        resize: Resize = "squash",
        load_size: LoadSize = None,
        pad: Pad = "black",
        flip: Annotated[bool, Field(description="mirror half of the training pairs")] = True,
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
                "paired folders", split, count, size, load_size, flip=flip, resize=resize, pad=pad, draft=draft
            )
            for side, count in of_both(channels, "channels").items()
        }
        check_kept("paired-folders", fits["a"], keep=in_memory)
        self.in_memory = in_memory or cache
        self.channels = [fit.channels for fit in fits.values()]
        base = None if root is None else files.path(root)
        kept = files.cache if cache else None
        ranges = of_both(range, "range")
        reading = ImageReading(ranges["a"], frames, bad_images)
        self.pictures: dict[str, Pictures]
        if base is not None and roots is None and not (base.is_dir() and split_folder(base, "train", "A")):
            if any((*suffixes, *prefixes)):
                raise DataError(
                    f"{base}: suffixes and prefixes are of images in two folders, and there is no folder trainA; "
                    "leave them out, or set `roots`"
                )
            if ranges["a"] != ranges["b"]:
                raise DataError(f"{base}: both images of a pair are one file here, which has one range of values")
            self.pictures = {"pair": halves(reading, base, split, fits, keep=in_memory, cache=kept)}
        else:
            given = (root, roots, test_fraction, suffixes, prefixes)
            lists = paired_files(files, split, *given)
            try:
                measured = paired_files(files, "train", *given)
            except DataError:  # a test split may be there alone
                measured = lists
            three = [(lists[side], fits[side], measured[side]) for side in lists]
            own = [ranges[side] for side in lists]
            read = read_as_items(reading, three, ranges=own, keep=in_memory, cache=kept, root=base)
            self.pictures = dict(zip(lists, read))
        self.spaces = self.known_spaces(size=size, channels=channels)

    @classmethod
    def known_spaces(cls, *, size: Sides, channels: int | Mapping[Side, int], **_: Any) -> dict[str, Space]:
        """Entries, which follow from the parameters: networks are built where the files are not."""
        return {side: image_space(count, size) for side, count in of_both(channels, "channels").items()}

    def __len__(self) -> int:
        return len(next(iter(self.pictures.values())))

    def batch(self, indices: Tensor, draws: ItemDraws) -> dict[str, Tensor]:
        """Items (B,) -> ``a`` and ``b``, (B, C, height, width) each.

        Draws have one name for both, so that the same window is cropped and mirrored.
        """
        found = {name: pictures.batch(indices, draws, "pair") for name, pictures in self.pictures.items()}
        if "pair" not in found:
            return found
        a, b = found["pair"].split(self.channels, 1)  # (B, C of a + C of b, height, width)
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
        return next(iter(words.values())) if same else "; ".join(f"{name}: {said}" for name, said in words.items())

    @property
    def skipped(self) -> dict[Path, str]:
        """Files that cannot be read and were left out, and why."""
        return {path: why for pictures in self.pictures.values() for path, why in pictures.skipped.items()}

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """What -1 and 1 of an entry stand for, where that is not 0 and 255."""
        together = self.pictures.get("pair")
        return ranges_of(self.pictures if together is None else {"a": together, "b": together})

    @property
    def departs(self) -> bool:
        """Whether some files are read otherwise than the reference code of FID reads them."""
        return any(pictures.departs for pictures in self.pictures.values())

    def fingerprint(self) -> str:
        """A hash of the files and the preprocessing."""
        marks = [pictures.fingerprint() for pictures in self.pictures.values()]
        return marks[0] if len(marks) == 1 else fingerprint(*marks)


def halves(
    reading: ImageReading, base: Path, split: str, fits: Mapping[str, Fit], *, keep: bool, cache: Path | None
) -> Halves:
    """The images of files that hold both. Raises DataError."""
    paths = side_by_side(base, split)
    rows, frames, skipped = reading.items([paths])
    alone = split == "train" or split_folder(base, "train") is None  # a test split may be there alone
    values = reading.values(paths if alone else side_by_side(base, "train"))
    return Halves(
        base, paths.take(rows), fits, keep=keep, cache=cache, frames=frames, values=values, rows=rows, skipped=skipped
    )


def side_by_side(base: Path, split: str) -> FileList:
    """The files of a split that hold both images. Raises DataError."""
    held = "it has to hold train and test, or trainA, trainB, testA and testB"
    if not base.is_dir():
        raise DataError(f"{base}: there is no such folder; {held}")
    folder = split_folder(base, split)
    if folder is None:
        raise DataError(f"{base}: it holds no folder {split}, and no trainA; {held}")
    return list_pictures(folder, arrays=True)


@hookimpl
def ganrun_components() -> Iterable[Component]:
    yield Component("dataset", "paired-folders", PairedFolders)
