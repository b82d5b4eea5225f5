"""The items of a data set that reads no image files of its own: rows of an array, scans, points."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ganrun.contracts.protocols import Dataset
from ganrun.data.file_contents import SIDE, Contents
from ganrun.data.file_facts import FileFacts
from ganrun.data.labels import label_names
from ganrun.progress import track
from ganrun.randomness import ItemDraws

MOST_ITEMS = 20_000  # items of a split that are looked at
_ROWS = 256  # that are read together
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def item_contents(dataset: Dataset, split: str) -> tuple[dict[Path, Contents], dict[str, Counter[str]]]:
    """What is in the first items of a split, and entry of labels -> how many items have each of them.

    An image goes by the name ``SPLIT/NUMBER``, or ``SPLIT/ENTRY/NUMBER`` where items have several.
    """
    images = [name for name, space in dataset.spaces.items() if space.kind == "image"]
    names = label_names(dataset)
    found: dict[Path, Contents] = {}
    counts: dict[str, Counter[str]] = {name: Counter() for name in names}
    for first, batch in _batches(dataset, split):
        for entry in images:
            for number, values in enumerate(batch[entry].numpy(), first):
                found[_name(split, entry, number, images)] = _contents(values)
        for entry in counts:
            counts[entry].update(_labels(batch[entry], names[entry]))
    return found, {name: Counter(dict(sorted(some.items()))) for name, some in counts.items()}


def item_picture(dataset: Dataset, name: Path) -> Image.Image:
    """The image of an item, by the name that :func:`item_contents` gave it."""
    entry = name.parts[1] if len(name.parts) > 2 else _first_image(dataset)
    batch = dataset.batch(torch.tensor([int(name.name)]), _draws(np.array([int(name.name)])))
    values = batch[entry][0].numpy()
    values = _bytes(values)
    shown = (
        values if values.shape[0] in (1, 3) else values[:3] if values.shape[0] == 4 else values.mean(0, keepdims=True)
    )
    return Image.fromarray(shown.astype(np.uint8).transpose(1, 2, 0).squeeze())


def _first_image(dataset: Dataset) -> str:
    return next(name for name, space in dataset.spaces.items() if space.kind == "image")


def _batches(dataset: Dataset, split: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    count = min(len(dataset), MOST_ITEMS)
    starts = range(0, count, _ROWS)
    for first in track(starts, f"looking at items of {split}", len(starts)):
        rows = np.arange(first, min(first + _ROWS, count))
        yield first, dataset.batch(torch.from_numpy(rows), _draws(rows))


def _draws(rows: np.ndarray) -> ItemDraws:
    return ItemDraws(("inspection",), np.asarray(0), rows)


def _name(split: str, entry: str, number: int, images: list[str]) -> Path:
    return Path(split, str(number)) if len(images) == 1 else Path(split, entry, str(number))


def _contents(values: np.ndarray) -> Contents:
    """Of an image (C, H, W) uint8, or float in [-1, 1]."""
    channels, height, width = values.shape
    low, high = float(values.min()), float(values.max())
    kind = str(values.dtype)
    facts = FileFacts("item", _MODES.get(channels, kind), kind, channels, (width, height), 1, low, high)
    digest = hashlib.blake2b(np.ascontiguousarray(values).tobytes(), digest_size=16).hexdigest()
    small = Image.fromarray(_bytes(values).mean(0).astype(np.uint8)).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return Contents(facts, digest, b"" if low == high else small.tobytes())


def _bytes(values: np.ndarray) -> np.ndarray:
    if values.dtype == np.uint8:
        return values
    scaled: np.ndarray = ((np.nan_to_num(values.astype(np.float64)) + 1) * 127.5).round().clip(0, 255).astype(np.uint8)
    return scaled


def _labels(values: torch.Tensor, names: list[str]) -> Counter[str]:
    """One label each, or yes and no for each of several: then it is counted how many have each of them."""
    if values.ndim == 1:
        return Counter(names[number] for number in values.tolist())
    return Counter({name: int(count) for name, count in zip(names, (values > 0).sum(0).tolist())})
