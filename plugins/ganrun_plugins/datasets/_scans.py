"""What other data sets' digits are: scikit-learn's scans, or the grey images of another labelled data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from ganrun.plugin import Part, PartOf, Space
from ganrun.plugin.data import DataDescription, DataError, DataFiles, permutation, read_items, selected_classes
from ganrun_plugins.datasets._fit import Rule, Sides
from ganrun_plugins.datasets._resize import by_rule

NAMES = [str(digit) for digit in range(10)]
SUBJECT = "handwritten digits, UCI optical recognition"  # what the images show: shipped classifiers are chosen by it


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
    """scikit-learn's images (1797, 8, 8), 0 to 16, and digits (1797,), without its two seconds of imports."""
    spec = find_spec("sklearn")
    for folder in spec.submodule_search_locations or () if spec else ():
        path = Path(folder) / "datasets" / "data" / "digits.csv.gz"
        if path.is_file():
            table = np.loadtxt(path, delimiter=",")  # (1797, 65): an image a row, then its digit
            return table[:, :-1].reshape(-1, 8, 8), table[:, -1].astype(np.int64)
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return bunch.images, bunch.target


def resized(scans: Tensor, size: Sides, resize: Rule = "squash") -> Tensor:
    """(N, H, W) floats in [0, 1] -> (N, 1, height, width) uint8, bilinear, in the type of the scans."""

    def scaled(x: Tensor, sides: tuple[int, int]) -> Tensor:
        shrinks = any(new < old for new, old in zip(sides, x.shape[-2:]))
        return F.interpolate(x, sides, mode="bilinear", antialias=shrinks)

    x = by_rule(scans[:, None], size, resize, scaled)  # (N, 1, height, width)
    return (x * 255).round().clamp(0, 255).to(torch.uint8)


def only(
    scans: Tensor, label: Tensor, classes: Sequence[str | int] | None, names: Sequence[str] = NAMES
) -> tuple[Tensor, Tensor, list[str]]:
    """The images of the selected classes, their labels counted in the order of the selection, and the names."""
    chosen = selected_classes(names, classes)
    number = torch.full((len(names),), -1)
    number[chosen] = torch.arange(len(chosen))
    keep = number[label] >= 0
    return scans[keep], number[label[keep]], [names[i] for i in chosen]


Images = Annotated[
    Annotated[Part, PartOf("dataset")] | None,
    Field(
        description=(
            "a data set whose grey images `x` with a `label` take the place of the digits; null: the scans of `digits`"
        )
    ),
]


def scans_of(images: Part | None, files: DataFiles, split: str) -> tuple[Tensor, Tensor, Sequence[str], str | None]:
    """All images of a split, (N, H, W) floats in [0, 1], labels (N,), names of the classes, and what the images show.

    Raises:
        DataError: for data that are no grey images with one label each.
    """
    if images is None:
        return *load_scans(split), NAMES, SUBJECT
    base: Any = images.make(files, split)
    check(images.name, base.spaces)
    # a data set that hides labels, or gives them to another entry, has this method for them
    if hasattr(base, "labelled"):
        x, label = base.labelled("x")
    else:
        batches = list(read_items(base, key=("scans",)))
        x, label = (torch.cat([batch[name].cpu() for batch in batches]) for name in ("x", "label"))
    x = x[:, 0].add_(1).div_(2)  # (N, 1, H, W) in [-1, 1] -> (N, H, W) in [0, 1]
    return x, label, names_of(base), getattr(base, "subjects", {}).get("x")


def described(images: Part | None, split: str) -> DataDescription | None:
    """What the data set of the images says of itself before a download, if it can tell.

    Raises DataError as ``scans_of``.
    """
    describe = None if images is None else getattr(images.component.factory, "describe", None)
    if images is None or describe is None:
        return None
    found: DataDescription | None = describe(split, **images.parameters)
    if found is not None:
        check(images.name, found.spaces)
        found.classes = names_of(found)
    return found


def check(name: str, spaces: Mapping[str, Space]) -> None:
    """Raise DataError unless there are grey images with one label each."""
    x, label = spaces.get("x"), spaces.get("label")
    if x is None or x.kind != "image" or x.shape[0] != 1 or label is None or label.kind != "labels" or label.shape:
        entries = ", ".join(f"{entry} ({space})" for entry, space in sorted(spaces.items()))
        raise DataError(
            f"grey images `x` with one `label` each are wanted, such as those of mnist; {name} has {entries}"
        )


def names_of(data: Any) -> list[str]:
    """The names of the classes, their numbers if they have none."""
    return list(data.classes) or [str(number) for number in range(data.spaces["label"].classes)]
