"""Paired translation that can be measured offline: the outline of a digit, and the scan that it was taken from.

B holds scikit-learn's scans (see ``digits``), or (``images``) another data set's images. A holds their outlines: the
scan is thresholded at half of its brightness, and white is what such a shape gains when it grows by one pixel in each
direction. So A says where the strokes are and how thick, and nothing about their grey values: an answer that is right
on average is a blur, which is what the game of pix2pix (Isola et al. 2016) is there to prevent.

Item i of A belongs to item i of B, in training, too. ``hidden_pairs`` returns the pairs of a split for evaluators.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from ganrun.plugin import Component, Part, Space, hookimpl
from ganrun.plugin.data import DataDescription, DataFiles, InMemory, selected_classes
from ganrun_plugins.datasets._fit import Sides, image_space
from ganrun_plugins.datasets._resize import Resize, RoomySize
from ganrun_plugins.datasets._scans import Images, described, only, resized, scans_of


def outlines(digits: Tensor) -> Tensor:
    """(N, 1, H, W) uint8 -> the same: 255 where the shape of a digit would gain a pixel, else 0."""
    shape = (digits > 127).float()
    grown = F.max_pool2d(shape, 3, stride=1, padding=1)  # (N, 1, H, W)
    return (255 * (grown - shape)).to(torch.uint8)


class PairedDigits(InMemory):
    """``a``: outlines, ``b``: the digits; both (1, height, width). ``label``: the digit."""

    provides = frozenset({"hidden-pairs"})

    def __init__(
        self,
        files: DataFiles,
        split: str,
        *,
        size: Annotated[
            RoomySize, Field(description="side of the images in pixels, or [height, width]; those of `digits` have 8")
        ] = 32,
        resize: Resize = "squash",
        classes: Annotated[list[str | int] | None, Field(description="digits to keep; all by default")] = None,
        limit: Annotated[
            int | None, Field(ge=1, description="pairs of the train split to keep, evenly spread; all by default")
        ] = None,
        images: Images = None,
    ) -> None:
        scans, label, known, subject = scans_of(images, files, split)
        scans, label, names = only(scans, label, classes, known)
        if limit is not None and split == "train" and limit < len(scans):
            kept = torch.arange(limit) * len(scans) // limit
            scans, label = scans[kept], label[kept]
        digits = resized(scans, size, resize)
        self.subjects = {"b": subject} if subject else {}
        super().__init__({"a": outlines(digits), "b": digits, "label": label}, spaces_of(size, len(names)), names)

    @classmethod
    def describe(
        cls,
        split: str,
        *,
        size: Sides,
        classes: list[str | int] | None,
        limit: int | None,
        images: Part | None,
        **_: Any,
    ) -> DataDescription | None:
        """Spaces and length before ``images`` are downloaded, if known; of some classes as if all had as many."""
        found = described(images, split)
        if found is None:
            return None
        chosen = selected_classes(found.classes, classes)
        count = len(found) * len(chosen) // len(found.classes)
        count = min(limit or count, count) if split == "train" else count
        return DataDescription(spaces_of(size, len(chosen)), count, [found.classes[i] for i in chosen], cls.provides)

    def hidden_pairs(self) -> dict[str, Tensor]:
        """All pairs of this split: ``a`` and ``b`` (N, 1, H, W) uint8, ``label`` (N,). On the CPU."""
        return {name: tensor.cpu().clone() for name, tensor in self.tensors.items()}


def spaces_of(size: Sides, classes: int) -> dict[str, Space]:
    """The entries."""
    space = image_space(1, size)
    return {"a": space, "b": space, "label": Space("labels", (), classes)}


@hookimpl
def ganrun_components() -> Iterable[Component]:
    yield Component("dataset", "paired-digits", PairedDigits)
