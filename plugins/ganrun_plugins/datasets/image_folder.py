"""Images in a folder and its subfolders, labelled by the names of its first-level folders.

``root/train`` and ``root/test`` (or ``val``, ``valid``, ``validation``), whatever the case, are the splits if they are
there; otherwise a fixed part of all images, chosen by their names, is the test split. Images of all modes are
converted, transparent parts lie on white. Files of more than 8 bits keep their levels, see ``range``; arrays of numpy
(``.npy``, ``.npz``) are images, too.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

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
    list_pictures,
    selected_classes,
    split_folder,
    warn_of_unread,
)
from ganrun_plugins.datasets._fit import (
    Draft,
    Fit,
    LoadSize,
    Pad,
    Resize,
    Rule,
    Sides,
    Size,
    check_kept,
    image_space,
    load_sides,
)
from ganrun_plugins.datasets._images import Cache, Channels, InMemory, ranges_of, read_as_items
from ganrun_plugins.datasets._reading import BadImages, Frames, Range

Root = Annotated[str, Field(min_length=1, description="the folder; a relative path starts at the recipe"), RecipePath()]
Crop = Annotated[
    Literal["centre", "random", "stretch"],
    Field(
        description="the window from the middle, or, in training, from a random place of what `load_size` "
        "says; stretch: as `resize: squash`"
    ),
]


class ImageFolder:
    """``x``: images (channels, height, width). ``label``: the first-level folder, if the images are in such folders."""

    def __init__(
        self,
        files: DataFiles,
        split: str,
        *,
        root: Root,
        size: Size = 64,
        channels: Channels = 3,
        resize: Resize = "crop",
        crop: Crop = "centre",
        load_size: LoadSize = None,
        pad: Pad = "black",
        flip: Annotated[bool, Field(description="mirror half of the images in training")] = False,
        labels: Annotated[bool, Field(description="labels from the names of the first-level folders")] = True,
        classes: Annotated[list[str | int] | None, Field(description="classes to keep; all by default")] = None,
        test_fraction: Annotated[
            float, Field(ge=0, lt=1, description="share of the test split where there is no test folder")
        ] = 0.1,
        in_memory: InMemory = False,
        cache: Cache = False,
        draft: Draft = False,
        range: Range = None,
        frames: Frames = "first",
        bad_images: BadImages = "fail",
    ) -> None:
        rule = _rule(resize, crop)
        training = split == "train"
        load = _load(size, load_size, rule, crop)
        random, flip = crop == "random" and training, flip and training
        fit = Fit(channels, size, load, rule, random=random, flip=flip, pad=pad, draft=draft)
        check_kept("image-folder", fit, keep=in_memory, cure="set crop: centre")
        base, paths, everything = _paths(files.path(root), split, test_fraction)
        folders, number = paths.folders()
        names = _class_names(files.path(root), base, everything) if labels else []
        if classes is not None and not names:
            raise DataError(
                f"{base}: `classes` selects by folder, but the images are in no folders (or labels is false)"
            )
        self.classes = [names[i] for i in selected_classes(names, classes)] if names else []
        label = _numbers(folders, self.classes)[number] if names else number
        if names:
            paths, label = paths.take(np.flatnonzero(label >= 0)), label[label >= 0]
        if not paths:
            raise DataError(
                f"{base}: no images remain in the {split} split of {', '.join(self.classes) or 'this folder'}"
            )
        reading = ImageReading(range, frames, bad_images)
        measured = paths if training else _paths(files.path(root), "train", test_fraction)[1]
        (self.pictures,) = read_as_items(
            reading, [(paths, fit, measured)], keep=in_memory, cache=files.cache if cache else None, root=base
        )
        self.in_memory = in_memory or cache
        self.label = torch.from_numpy(label[self.pictures.rows]) if names else None
        self.spaces = self.known_spaces(size=size, channels=channels)
        if names:
            self.spaces["label"] = Space("labels", (), len(self.classes))

    @classmethod
    def known_spaces(cls, *, size: Sides, channels: int, **_: Any) -> dict[str, Space]:
        """The image, whose size follows from the parameters; whether there are labels, the folders alone can tell."""
        return {"x": image_space(channels, size)}

    def __len__(self) -> int:
        return len(self.pictures)

    def batch(self, indices: Tensor, draws: ItemDraws) -> dict[str, Tensor]:
        """Items (B,) -> ``x`` (B, C, height, width) uint8 and ``label`` (B,)."""
        batch = {"x": self.pictures.batch(indices, draws, "x")}
        if self.label is not None:
            batch["label"] = self.label.index_select(0, indices.to(self.label.device))
        return batch

    def known_labels(self) -> dict[str, Tensor]:
        """``label`` -> the labels of all items, if there are labels."""
        return {} if self.label is None else {"label": self.label}

    def to(self, device: torch.device) -> None:
        """Move what is in memory to a device."""
        self.pictures.to(device)
        self.label = None if self.label is None else self.label.to(device)

    @property
    def paths(self) -> list[Path]:
        """The files that items are read from."""
        return self.pictures.all_paths()

    @property
    def preparation(self) -> str:
        """How files are read, and what is done to the images, in words."""
        return self.pictures.preparation

    @property
    def skipped(self) -> dict[Path, str]:
        """Files that cannot be read and were left out, and why."""
        return self.pictures.skipped

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """What -1 and 1 of ``x`` stand for, if that is not 0 and 255."""
        return ranges_of({"x": self.pictures})

    @property
    def departs(self) -> bool:
        """Whether some files are read otherwise than the reference code of FID reads them."""
        return self.pictures.departs

    def fingerprint(self) -> str:
        """A hash of the files and the preprocessing."""
        return fingerprint(self.pictures.fingerprint(), self.classes)


def _load(size: Sides, load_size: Sides | None, rule: Rule, crop: str) -> Sides:
    """What images are scaled to; it is warned of a ``load_size`` that has no effect."""
    if crop == "random":
        return load_sides("image-folder: ", size, load_size, rule)
    if load_size is not None:
        warnings.warn(f"image-folder: load_size is for crop: random, and has no effect with crop: {crop}", stacklevel=3)
    return size


def _rule(resize: Rule, crop: str) -> Rule:
    """The rule of ``resize``, or what ``crop: stretch`` of earlier recipes stands for."""
    if crop != "stretch":
        return resize
    if resize not in ("crop", "squash"):
        raise DataError(f"image-folder: crop: stretch is another word for resize: squash, not {resize}; leave it out")
    return "squash"


def _paths(root: Path, split: str, test_fraction: float) -> tuple[Path, FileList, FileList]:
    """The folder of a split, its images, and all images of that folder.

    They are mixed in an order of their names alone: the first n are a fair sample of the classes.
    """
    if split not in ("train", "test"):
        raise DataError(f"there is no split {split!r}; image-folder has train and test")
    train = split_folder(root, "train") if root.is_dir() else None
    test = split_folder(root, "test") if train else None
    base = train or root
    if train is not None:
        warn_of_unread(root, [train, *([test] if test else [])])
    apart = test is not None
    if test is not None and split == "test":
        base = test
    paths = list_pictures(base, arrays=True).mixed("image-folder")
    if apart:
        return base, paths, paths
    count = min(len(paths) - 1, max(1, round(test_fraction * len(paths)))) if test_fraction else 0
    kept = paths[:count] if split == "test" else paths[count:]
    if not kept:
        why = f"test_fraction is {test_fraction}" if not test_fraction else "there is a single image"
        raise DataError(f"{root}: the test split is empty: there is no folder `test` beside `train`, and {why}")
    return base, kept, paths


def _class_names(root: Path, base: Path, everything: FileList) -> list[str]:
    """First-level folders with images, sorted; those of the train split, whatever the split, so that labels agree.

    everything: all images in ``base``.
    """
    source = split_folder(root, "train") or base
    names, number = (everything if base == source else list_pictures(source, arrays=True)).folders()
    if names and (number < 0).any():
        raise DataError(
            f"{source}: images both in the folder and in its subfolders, so that labels are unclear; "
            "set labels: false to ignore folders"
        )
    extra = sorted(_firsts(everything) - {*names}) if names and base != source else []
    if extra:
        raise DataError(f"{base}: {extra[0]!r} is no class of {source}")
    return names


def _numbers(folders: list[str], classes: list[str]) -> np.ndarray:
    """The place of each folder among the classes, int64; -1 for one that is none of them."""
    return np.array([classes.index(name) if name in classes else -1 for name in folders], np.int64)


def _firsts(paths: FileList) -> set[str]:
    """The first parts of paths: folders, and files that are in none."""
    return {name.partition("/")[0] for name in paths.names()}


@hookimpl
def ganrun_components() -> Iterable[Component]:
    yield Component("dataset", "image-folder", ImageFolder)
