"""What other data sets' digits are: scikit-learn's scans, or the grey images of another labelled data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Part, PartOf, Space
from ganrun.plugin.data import Announced, DataError, DataFiles, read_items
from ganrun_plugins.datasets.digits import NAMES, SUBJECT, load_scans

Images = Annotated[
    Annotated[Part, PartOf("dataset")] | None,
    Field(
        description=(
            "a data set whose grey images `x` with a `label` take the place of the digits; null: the scans of `digits`"
        )
    ),
]


def scans_of(images: Part | None, files: DataFiles, split: str) -> tuple[Tensor, Tensor, Sequence[str], str | None]:
    """All images of a split, (N, H, W) floats in [0, 1], labels (N,), names of the classes, and what is pictured.

    Raises:
        DataError: for data that are no grey images with one label each.
    """
    if images is None:
        return *load_scans(split), NAMES, SUBJECT
    base: Any = images.make(files, split)
    check(images.name, base.spaces)
    # a data set that hides labels, or gives them to another entry, shows them to who asks
    if hasattr(base, "labelled"):
        x, label = base.labelled("x")
    else:
        batches = list(read_items(base, key=("scans",)))
        x, label = (torch.cat([batch[name].cpu() for batch in batches]) for name in ("x", "label"))
    x = x[:, 0].add_(1).div_(2)  # (N, 1, H, W) in [-1, 1] -> (N, H, W) in [0, 1]
    return x, label, names_of(base), getattr(base, "subjects", {}).get("x")


def announced(images: Part | None, split: str) -> Announced | None:
    """What the data set of the images says of itself before a download, if it can tell.

    Raises DataError as ``scans_of``.
    """
    announce = None if images is None else getattr(images.component.factory, "announced", None)
    if images is None or announce is None:
        return None
    found: Announced | None = announce(split, **images.parameters)
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
