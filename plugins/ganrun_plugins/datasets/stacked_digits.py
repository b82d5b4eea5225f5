"""Stacked digits: 1,000 modes that can be counted offline, three scans of handwritten digits in one colour image.

Stacked MNIST of Metz et al., "Unrolled Generative Adversarial Networks" (2016), and Srivastava et al., "VEEGAN" (2017),
at 8 x 8: the channels of an image are three scans drawn at random, independently, and the image shows the number abc
of its three digits. The 128,000 fixed images are as many as Lin et al., "PacGAN" (2018), train on.

The scans are those of ``digits``: a train image has scans of its train half, a test image of its test half. Which
three an image has follows from its split and its index alone, so a smaller ``count`` gives the first images of a
larger one. ``images: mnist`` makes the papers' stacked MNIST, of MNIST's own splits; which images the papers drew is
not known.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Part, Space, hookimpl
from ganrun.plugin.data import DataDescription, DataError, DataFiles, InMemory, ItemDraws
from ganrun_plugins.datasets._fit import Sides, image_space
from ganrun_plugins.datasets._resize import Resize, Size
from ganrun_plugins.datasets._scans import Images, described, resized, scans_of

CHANNELS = 3


class StackedDigits(InMemory):
    """``x``: images (3, height, width), one digit a channel; ``label``: 100 a + 10 b + c, in the channels' order.

    With K classes instead of ten it is K^2 a + K b + c. Held are the scans and which three of them make each image;
    ``batch`` puts those together.
    """

    def __init__(
        self,
        files: DataFiles,
        split: str,
        *,
        size: Annotated[
            Size, Field(description="side of the images in pixels, or [height, width]; those of `digits` have 8")
        ] = 8,
        resize: Resize = "squash",
        count: Annotated[int, Field(ge=1, description="images in each split")] = 128_000,
        images: Images = None,
    ) -> None:
        scans, digit, names, _ = scans_of(images, files, split)
        draws = ItemDraws(("stacked-digits", split), np.asarray(0), np.arange(count))
        chosen = np.stack([draws.integers(f"channel {channel}", len(scans)) for channel in range(CHANNELS)], axis=1)
        drawn = torch.from_numpy(chosen)  # (count, 3)
        classes = len(names)
        label = (digit[drawn] * torch.tensor([classes**2, classes, 1])).sum(1)  # (count,)
        tensors = {"drawn": drawn, "label": label, "scans": resized(scans, size, resize)[:, 0]}
        super().__init__(tensors, spaces_of(size, classes), numbers(names))

    @classmethod
    def describe(cls, split: str, *, size: Sides, count: int, images: Part | None, **_: Any) -> DataDescription | None:
        """Spaces and length before the download of ``images``, if they can tell."""
        found = described(images, split)
        return (
            None
            if found is None
            else DataDescription(spaces_of(size, len(found.classes)), count, numbers(found.classes))
        )

    def __len__(self) -> int:
        return len(self.tensors["label"])

    def batch(self, indices: Tensor, draws: ItemDraws) -> dict[str, Tensor]:
        """Items (B,) -> ``x`` (B, 3, H, W) uint8 and ``label`` (B,), on the device of the data."""
        indices = indices.to(self.device)
        drawn = self.tensors["drawn"].index_select(0, indices)  # (B, 3)
        return {"x": self.tensors["scans"][drawn], "label": self.tensors["label"].index_select(0, indices)}


def spaces_of(size: Sides, classes: int) -> dict[str, Space]:
    """The entries, for scans of so many classes."""
    return {"x": image_space(CHANNELS, size), "label": Space("labels", (), classes**CHANNELS)}


def numbers(names: Sequence[str]) -> list[str]:
    """The names of the classes of three, in the order of their labels: 000, 001, ...

    Raises DataError for more than 100 names.
    """
    if len(names) > 100:
        raise DataError(
            f"stacked-digits: {len(names)} classes make {len(names) ** CHANNELS:,} of three; "
            "take `images` of at most 100 classes"
        )
    between = "" if all(len(name) == 1 for name in names) else "-"
    return [between.join(digits) for digits in itertools.product(names, repeat=CHANNELS)]


@hookimpl
def ganrun_components() -> Iterable[Component]:
    yield Component("dataset", "stacked-digits", StackedDigits)
