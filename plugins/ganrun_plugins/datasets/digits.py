"""Scans of handwritten digits that come with scikit-learn: 1,797 real images, no download.

Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits" (UCI, 1998), the test part: 8 x 8 grey values from 0 to
16, resized here with bilinear interpolation and held as uint8. Half of each class, chosen once and for all, is the
train split (899 images), the other half the test split (898).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import torch
from pydantic import Field

from ganrun.plugin import Component, Space, hookimpl
from ganrun.plugin.data import DataFiles, InMemory
from ganrun_plugins.datasets._fit import image_space
from ganrun_plugins.datasets._resize import Resize, Size
from ganrun_plugins.datasets._scans import SUBJECT, load_scans, only, resized


class Digits(InMemory):
    """``x``: images (1, height, width), white digits on black. ``label``: the digit."""

    subjects = {"x": SUBJECT}

    def __init__(
        self,
        files: DataFiles,
        split: str,
        *,
        size: Annotated[
            Size, Field(description="side of the images in pixels, or [height, width]; the scans have 8")
        ] = 32,
        resize: Resize = "squash",
        classes: Annotated[list[str | int] | None, Field(description="digits to keep; all by default")] = None,
        limit: Annotated[
            int | None, Field(ge=1, description="images of the train split to keep, evenly spread; all by default")
        ] = None,
    ) -> None:
        scans, label, names = only(*load_scans(split), classes)
        if limit is not None and split == "train" and limit < len(scans):
            kept = torch.arange(limit) * len(scans) // limit
            scans, label = scans[kept], label[kept]
        spaces = {"x": image_space(1, size), "label": Space("labels", (), len(names))}
        super().__init__({"x": resized(scans, size, resize), "label": label}, spaces, names)


@hookimpl
def ganrun_components() -> Iterable[Component]:
    yield Component("dataset", "digits", Digits)
