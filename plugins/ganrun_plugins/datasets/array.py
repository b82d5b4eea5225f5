"""Arrays of numpy: images with any number of channels, or points, in .npy or .npz files read through memory maps.

``root`` is a file, or a folder with ``train.npy`` and ``test.npy`` (or ``.npz``; ``val`` and ``validation`` are test
splits, too). One file holds both splits if its arrays have the names that public files use (``x_train`` and ``x_test``,
``train_images`` and ``test_images``, ...); otherwise a fixed part of its rows, chosen by a key, is the test split.

(N, H, W), (N, C, H, W) and (N, H, W, C) are images, (N, D) points, which stay as they are. uint8 images stay as they
are; those of other types are scaled from ``range`` to [-1, 1], as float32, and a warning says what is cut off at its
ends. Without a ``range`` it is measured on the training rows, and said. Images are fitted to a ``size``, if one is
given. A file is memory-mapped, but for an .npz file that is compressed, which is read whole.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, RecipePath, Space, hookimpl
from ganrun.plugin.data import DataError, DataFiles, ItemDraws, fingerprint, track
from ganrun_plugins.datasets._arrays import LABELS, SAMPLES, SUFFIXES, chosen, opened
from ganrun_plugins.datasets._fit import Colour, Fit, Pad, Resize, Rule, Sides, Size
from ganrun_plugins.datasets._parts import TestFraction, part

Layout = Literal["auto", "channels-first", "channels-last"]
CHANNELS = (1, 2, 3, 4)  # an axis of so many is one of channels, where nothing else says so
SPLITS = {"train": ("train",), "test": ("test", "val", "valid", "validation")}
PIECE = 1 << 24  # numbers of an array that are looked at together
USUAL = ((0.0, 1.0), (-1.0, 1.0))  # ranges that floating-point images are taken to be in, if all values are


class Rows(NamedTuple):
    """The rows of one split: samples (N, ...), labels (N,) or None, the rows of the split, and the file."""

    x: np.ndarray
    label: np.ndarray | None
    rows: np.ndarray
    path: Path


class Array:
    """``x``: images (C, H, W) or points (D,). ``label``: the class, if there are labels."""

    in_memory = False

    def __init__(
        self,
        files: DataFiles,
        split: str,
        *,
        root: Annotated[
            str,
            Field(
                min_length=1,
                description="an .npy or .npz file, or a folder of train and test; a relative path starts at the recipe",
            ),
            RecipePath(),
        ],
        x: Annotated[str | None, Field(description="the array of samples in an .npz file; null: by its name")] = None,
        label: Annotated[
            str | None,
            Field(description="the array of labels in an .npz file, or an .npy file; null: by its name"),
            RecipePath(or_name=True),
        ] = None,
        layout: Annotated[
            Layout, Field(description="of four axes; auto: the one of 1 to 4 values is that of the channels")
        ] = "auto",
        range: Annotated[
            tuple[float, float] | None,
            Field(description="values of images that become -1 and 1; null: uint8 0 to 255, others measured"),
        ] = None,
        size: Annotated[Size | None, Field(description="of images, which are fitted to it; null: as they are")] = None,
        resize: Resize = "squash",
        pad: Pad = "black",
        flip: Annotated[bool, Field(description="mirror half of the images in training")] = False,
        test_fraction: TestFraction = 0.1,
    ) -> None:
        if split not in ("train", "test"):
            raise DataError(f"there is no split {split!r}; array has train and test")
        if range is not None and not range[0] < range[1]:
            raise DataError(f"array: range {list(range)}: the first value has to be less than the second")
        found = {name: _split(files, root, name, x, label, test_fraction) for name in ("train", split)}
        mine = found[split]
        self.data, self.rows, self.path = mine.x, mine.rows, mine.path
        self.flip = flip and split == "train"
        self.points = self.data.ndim == 2
        self.channels_last = not self.points and _channels_last(self.data.shape, layout, self.path)
        training = found["train"]
        self.range = None if self.points or training.x.dtype == np.uint8 else measured(training, range)
        self.ranges: Mapping[str, tuple[float, float]] = {} if self.range is None else {"x": self.range}
        if training.x.dtype == np.uint8 and range not in (None, (0.0, 255.0)):
            raise DataError(f"{self.path}: its values are of 8 bits, which are in 0 to 255; leave `range` out")
        self.fit = _fit(self._shape(), size, resize, pad, self.path)
        shape = self._shape() if self.fit is None else (self.fit.channels, *self.fit.sides)
        self.spaces = {"x": Space("points" if self.points else "image", shape)}
        if mine.x.shape[1:] != training.x.shape[1:]:
            raise DataError(f"{self.path}: {mine.x.shape[1:]} a row, where {training.path} has {training.x.shape[1:]}")
        self.label, self.classes = _labels(training, mine)
        if self.label is not None:
            self.spaces["label"] = Space("labels", (), len(self.classes))

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, indices: Tensor, draws: ItemDraws) -> dict[str, Tensor]:
        """Items (B,) -> ``x`` (B, C, H, W) uint8 or float32 in [-1, 1], or (B, D), and ``label`` (B,)."""
        rows = self.rows[indices.numpy()]
        values = np.asarray(self.data[rows])
        if self.channels_last and values.ndim == 4:
            values = values.transpose(0, 3, 1, 2)  # (B, H, W, C) -> (B, C, H, W)
        elif not self.points and values.ndim == 3:
            values = values[:, None]  # (B, H, W) -> (B, 1, H, W)
        values = self._scaled(values, rows)
        if self.fit is not None:
            values = np.stack([self.fit.scaled_array(image) for image in values])
        x = torch.from_numpy(np.ascontiguousarray(values))
        if self.flip and not self.points:
            mirrored = torch.from_numpy(draws.uniform("x flip")[:, 0] < 0.5)
            x = torch.where(mirrored[:, None, None, None], x.flip(-1), x)
        batch = {"x": x}
        return batch if self.label is None else {**batch, "label": self.label.index_select(0, indices)}

    def known_labels(self) -> dict[str, Tensor]:
        """``label`` -> the labels of all items, if there are labels."""
        return {} if self.label is None else {"label": self.label}

    @property
    def preparation(self) -> str:
        """How rows become items, in words."""
        scaled = f"{self.range[0]:g} to {self.range[1]:g} become -1 to 1" if self.range else "as they are"
        where = "channels last; " if self.channels_last and self.data.ndim == 4 else ""
        fitted = f"; {'; '.join(self.fit.geometry())}" if self.fit else ""
        return f"rows of {self.path.name}, {self.data.dtype}: {where}{scaled}{fitted}"

    def fingerprint(self) -> str:
        """A hash of the file's name, size and time, of a few rows, and of what is made of them."""
        facts = self.path.stat()
        some = np.linspace(0, len(self.rows) - 1, min(len(self.rows), 16)).astype(np.int64)
        sample = np.ascontiguousarray(self.data[self.rows[some]])
        made = [self.range, self.flip, self.channels_last, *([] if self.fit is None else [self.fit])]
        return fingerprint(self.path.name, facts.st_size, sample, self.rows, *made)

    def _shape(self) -> tuple[int, ...]:
        if self.points:
            return (int(self.data.shape[1]),)
        shape = (1, *self.data.shape[1:]) if self.data.ndim == 3 else self.data.shape[1:]
        return tuple(int(n) for n in ((shape[2], *shape[:2]) if self.channels_last and self.data.ndim == 4 else shape))

    def _scaled(self, values: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Values of rows as items have them: uint8, or float32 in [-1, 1]; points as float32."""
        if values.dtype == np.uint8 and not self.points:
            return values
        found = values.astype(np.float32)
        if not np.isfinite(found).all():
            raise DataError(_not_finite(self.path, rows, found))
        if self.range is None:
            return found
        low, high = self.range
        # in float64: 16-bit and larger values are not rounded on the way
        return np.clip((values.astype(np.float64) - low) * (2 / (high - low)) - 1, -1, 1).astype(np.float32)


def _fit(shape: tuple[int, ...], size: Sides | None, resize: Rule, pad: Colour, path: Path) -> Fit | None:
    """How images of a shape are fitted; None if they stay as they are.

    Raises DataError for points, and for parameters that are of use with a size only.
    """
    if size is None:
        if (resize, pad) != ("squash", "black"):
            raise DataError("array: resize and pad say how images are fitted to a `size`; set it, or leave them out")
        return None
    if len(shape) == 1:
        raise DataError(f"{path}: it holds points, which have no size to be fitted to; leave `size` out")
    return Fit(shape[0], size, size, resize, pad=pad)


def measured(data: Rows, given: tuple[float, float] | None) -> tuple[float, float]:
    """The range of the values of all rows: the given one, else [0, 1] or [-1, 1] if they lie in it, else their own.

    It is warned of values outside a given range, and of a range that is not given.

    Raises DataError for numbers that are not finite, and where all are equal and no range is given.
    """
    low, high = _least_and_most(data)
    kind = data.x.dtype
    if given is not None:
        if low < given[0] or high > given[1]:
            warnings.warn(
                f"{data.path}: {kind} values from {low:g} to {high:g}; those outside the `range` of {given[0]:g} to "
                f"{given[1]:g} are cut off",
                stacklevel=2,
            )
        return given
    if low == high:
        raise DataError(f"{data.path}: all values are {low:g}; give their `range`, such as [0, 1]")
    found = next((r for r in USUAL if kind.kind in "bf" and r[0] <= low and high <= r[1]), (low, high))
    warnings.warn(
        f"{data.path}: {kind} values from {low:g} to {high:g}; {found[0]:g} to {found[1]:g} become -1 to 1; "
        "`range: [LOW, HIGH]` says what they mean",
        stacklevel=2,
    )
    return found


def _least_and_most(data: Rows) -> tuple[float, float]:
    low, high = np.inf, -np.inf
    each = max(1, PIECE // max(1, int(np.prod(data.x.shape[1:]))))
    starts = range(0, len(data.rows), each)
    for first in track(starts, f"measuring the values of {data.path.name}", len(starts)):
        rows = data.rows[first : first + each]
        piece = np.asarray(data.x[rows])
        if piece.dtype.kind == "f" and not np.isfinite(piece).all():
            raise DataError(_not_finite(data.path, rows, piece))
        low, high = min(low, float(piece.min())), max(high, float(piece.max()))
    return low, high


def _not_finite(path: Path, rows: np.ndarray, values: np.ndarray) -> str:
    row = rows[~np.isfinite(values).reshape(len(values), -1).all(1)][0]
    return f"{path}: row {row} holds a number that is not finite; mend it or leave the row out"


def _split(files: DataFiles, root: str, split: str, x: str | None, label: str | None, test_fraction: float) -> Rows:
    """The rows of a split: in a file of its own, in an array of its own, or a part of all rows."""
    place = files.path(root)
    apart = place.is_dir() and _file(place, "test") is not None
    path = place if not place.is_dir() else _file(place, split if apart else "train")
    if path is None:
        raise DataError(f"{place}: it holds no train.npy or train.npz; give a file, or name its splits so")
    arrays = opened(path)
    named = not apart and x is None and all(chosen(arrays, None, SAMPLES[each], path) is not None for each in SAMPLES)
    usual = split if named else "train"
    more = "test" if apart else usual  # a file of one split may name its arrays by it, or plainly
    name = next(iter(arrays)) if len(arrays) == 1 else chosen(arrays, x, SAMPLES[usual] + SAMPLES[more], path)
    if name is None:
        raise DataError(f"{path}: which array holds the samples? set `x` to one of {', '.join(arrays)}")
    values = arrays[name]
    if values.ndim not in (2, 3, 4) or values.dtype.kind not in "buif" or not len(values):
        raise DataError(
            f"{path}: {name or 'it'} holds {values.dtype} {values.shape}; "
            "wanted: numbers (N, H, W), (N, C, H, W), (N, H, W, C), or (N, D) for points"
        )
    labels = _label_array(files, arrays, label, LABELS[usual] + LABELS[more], path, split if apart else "train")
    if labels is not None and labels.shape not in ((len(values),), (len(values), 1)):
        raise DataError(f"{path}: labels {labels.shape} for {len(values)} samples; there has to be one for each")
    rows = np.arange(len(values))
    if not (apart or named):
        rows = part(len(rows), split, test_fraction, "array", str(path))
    return Rows(values, None if labels is None else labels.reshape(-1), rows, path)


def _file(folder: Path, split: str) -> Path | None:
    """The file of a split in a folder, None if there is none."""
    there = {entry.name.lower(): entry for entry in folder.iterdir()}
    names = [name + suffix for name in (*SPLITS[split], *SAMPLES[split]) for suffix in SUFFIXES]
    return next((there[name] for name in names if name in there), None)


def _label_array(
    files: DataFiles,
    arrays: Mapping[str, np.ndarray],
    wanted: str | None,
    usual: tuple[str, ...],
    path: Path,
    split: str,
) -> np.ndarray | None:
    """Labels: an array of the file, or an .npy file, that is named or lies beside the samples under a usual name."""
    if wanted is not None and wanted.lower().endswith(".npy"):
        return next(iter(opened(files.path(wanted)).values()))
    name = chosen(arrays, wanted, usual, path)
    beside = [path.with_name(f"{each}.npy") for each in LABELS[split]] if path.suffix.lower() == ".npy" else []
    found = next((each for each in beside if name is None and each != path and each.is_file()), None)
    if found is not None:
        return next(iter(opened(found).values()))
    return None if name is None else arrays[name]


def _channels_last(shape: Sequence[int], layout: Layout, path: Path) -> bool:
    """Whether the channels are the last of four axes. Raises DataError where that cannot be told."""
    if len(shape) == 3 or layout != "auto":
        return layout == "channels-last"
    first, last = shape[1] in CHANNELS, shape[3] in CHANNELS
    if first == last:
        raise DataError(
            f"{path}: of {tuple(shape)}, which axis is that of the channels? "
            "set layout: channels-first for (N, C, H, W), channels-last for (N, H, W, C)"
        )
    return last


def _labels(training: Rows, mine: Rows) -> tuple[Tensor | None, list[str]]:
    """The labels of this split, counted from 0, and the names of the classes: the values of the training rows."""
    if training.label is None or mine.label is None:
        return None, []
    names, _ = np.unique(np.asarray(training.label[training.rows]), return_inverse=True)
    own = np.asarray(mine.label[mine.rows])
    number = np.searchsorted(names, own).clip(0, len(names) - 1)
    if (odd := own[names[number] != own]).size:
        raise DataError(
            f"{mine.path}: label {odd[0]!s} is none of the training rows' {', '.join(map(str, names[:20]))}"
        )
    return torch.from_numpy(number.astype(np.int64)), [str(name) for name in names.tolist()]


@hookimpl
def ganrun_components() -> Iterable[Component]:
    yield Component("dataset", "array", Array)
