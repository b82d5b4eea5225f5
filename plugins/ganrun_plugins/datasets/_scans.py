"""What data sets made of digits are made of: scikit-learn's scans, or the grey pictures of another labelled data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from ganrun.data import Announced, DataError, read_items
from ganrun.protocols import DataFiles, PartOf
from ganrun.recipe import Part
from ganrun_plugins.datasets.digits import NAMES, SUBJECT, load_scans

Images = Annotated[
    Part | None, PartOf("dataset"), Field(description="a data set of grey images `x` with a `label` to take the digits from; null: the scans of `digits`")
]


def scans_of(images: Part | None, files: DataFiles, split: str) -> tuple[Tensor, Tensor, Sequence[str], str | None]:
    """All pictures of a split, (N, H, W) floats in [0, 1], their labels (N,), the names of the classes, and what is pictured.

    Raises:
        DataError: for data that are no grey images with one label each.
    """
    if images is None:
        return *load_scans(split), NAMES, SUBJECT
    base: Any = images.make(files, split)
    x, label = base.spaces.get("x"), base.spaces.get("label")
    if x is None or x.kind != "image" or x.shape[0] != 1 or label is None or label.kind != "labels" or label.shape:
        entries = ", ".join(f"{name} ({space})" for name, space in sorted(base.spaces.items()))
        raise DataError(f"grey images `x` with one `label` each are wanted, such as those of mnist; {images.name} has {entries}")
    batches = list(read_items(base, key=("scans",)))
    pictures = torch.cat([batch["x"].cpu() for batch in batches])[:, 0]  # (N, H, W) in [-1, 1]
    names = base.classes or [str(number) for number in range(label.classes)]
    return (pictures + 1) / 2, torch.cat([batch["label"].cpu() for batch in batches]), names, getattr(base, "subjects", {}).get("x")


def announced(images: Part | None, split: str) -> Announced | None:
    """What the data set of the pictures says of itself before a download, if it can tell."""
    announce = None if images is None else getattr(images.component.factory, "announced", None)
    found: Announced | None = announce(split, **images.parameters) if announce and images is not None else None
    return found
