"""Scans of handwritten digits that come with scikit-learn: 1,797 real pictures, no download.

Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits" (UCI, 1998), the test part: 8 x 8 grey values from 0 to
16, resized here with bilinear interpolation and held as uint8. Half of each class, chosen once and for all, is the
train split (899 pictures), the other half the test split (898).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from ganrun.plugin import Component, Space, hookimpl
from ganrun.plugin.data import DataError, DataFiles, InMemory, permutation, selected_classes

NAMES = [str(digit) for digit in range(10)]
SUBJECT = "handwritten digits, UCI optical recognition"  # what is pictured: shipped classifiers are chosen by it


def load_scans(split: str) -> tuple[Tensor, Tensor]:
    """All scans of a split: (N, 8, 8) float64 in [0, 1], and their digits (N,) int64.

    Raises:
        DataError: for a split other than train and test.
    """
    if split not in ("train", "test"):
        raise DataError(f"there is no split {split!r}; digits has train and test")
    images, target = _bundle()
    shuffled = permutation(len(target), "digits", "split")
    by_class = shuffled[np.argsort(target[shuffled], kind="stable")]
    mine = np.sort(by_class[0 if split == "train" else 1 :: 2])  # every other one of each class
    return torch.from_numpy(images[mine] / 16), torch.from_numpy(target[mine]).long()


@cache
def _bundle() -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's pictures (1797, 8, 8), 0 to 16, and digits (1797,), without its two seconds of imports."""
    spec = find_spec("sklearn")
    for folder in spec.submodule_search_locations or () if spec else ():
        path = Path(folder) / "datasets" / "data" / "digits.csv.gz"
        if path.is_file():
            table = np.loadtxt(path, delimiter=",")  # (1797, 65): a picture a row, then its digit
            return table[:, :-1].reshape(-1, 8, 8), table[:, -1].astype(np.int64)
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return bunch.images, bunch.target


def resized(scans: Tensor, size: int) -> Tensor:
    """(N, H, W) floats in [0, 1] -> (N, 1, size, size) uint8, bilinear, in the type of the scans."""
    # (N, 1, size, size)
    x = F.interpolate(scans[:, None], (size, size), mode="bilinear", antialias=size < scans.shape[-1])
    return (x * 255).round().clamp(0, 255).to(torch.uint8)


def only(
    scans: Tensor, label: Tensor, classes: Sequence[str | int] | None, names: Sequence[str] = NAMES
) -> tuple[Tensor, Tensor, list[str]]:
    """The scans of the selected classes, their labels counted in the order of the selection, and the names."""
    chosen = selected_classes(names, classes)
    number = torch.full((len(names),), -1)
    number[chosen] = torch.arange(len(chosen))
    keep = number[label] >= 0
    return scans[keep], number[label[keep]], [names[i] for i in chosen]


class Digits(InMemory):
    """``x``: images (1, size, size), white digits on black. ``label``: the digit."""

    subjects = {"x": SUBJECT}

    def __init__(
        self,
        files: DataFiles,
        split: str,
        *,
        size: Annotated[int, Field(ge=4, le=1024, description="side of the pictures in pixels; the scans have 8")] = 32,
        classes: Annotated[list[str | int] | None, Field(description="digits to keep; all by default")] = None,
        limit: Annotated[
            int | None, Field(ge=1, description="pictures of the train split to keep, evenly spread; all by default")
        ] = None,
    ) -> None:
        scans, label, names = only(*load_scans(split), classes)
        if limit is not None and split == "train" and limit < len(scans):
            kept = torch.arange(limit) * len(scans) // limit
            scans, label = scans[kept], label[kept]
        spaces = {"x": Space("image", (1, size, size)), "label": Space("labels", (), len(names))}
        super().__init__({"x": resized(scans, size), "label": label}, spaces, names)


@hookimpl
def ganrun_components() -> Iterable[Component]:
    yield Component("dataset", "digits", Digits)
