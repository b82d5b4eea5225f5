"""Super-resolution on photographs, offline: crops of the pictures of the data set ``photos``, and the same made small.

Crops are made small by a bicubic filter, as in Ledig et al., "Photo-Realistic Single Image Super-Resolution Using a
Generative Adversarial Network" (2016), section 3.2. Those for tests are of other pictures. With ``largest: 1`` crops
are not scaled, as in the paper; these files are sharpest at about half their size, so that windows of up to twice the
size are taken.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import Field

from ganrun.plugin import Component, Space, hookimpl
from ganrun.plugin.data import DataFiles, InMemory
from ganrun_plugins.datasets._bicubic import check_factor, shrunk
from ganrun_plugins.datasets._fit import Sides, image_space, sides_of
from ganrun_plugins.datasets._photos import Count, CropSize, Largest, Source, crops, words


class SuperResolutionPhotos(InMemory):
    """``low``: RGB images (3, height / factor, width / factor). ``x``: the same crops, (3, height, width)."""

    def __init__(
        self,
        files: DataFiles,
        split: str,
        *,
        size: CropSize = 64,
        factor: Annotated[int, Field(ge=2, le=16, description="how much smaller `low` is")] = 4,
        count: Count = None,
        largest: Largest = 2.0,
        source: Source = "all",
    ) -> None:
        check_factor(size, factor)
        self.preparation = words(split, largest, source)
        x = crops(split, size, count, largest, source)
        super().__init__({"low": shrunk(x, factor), "x": x}, self.known_spaces(size=size, factor=factor))

    @classmethod
    def known_spaces(cls, *, size: Sides, factor: int, **_: Any) -> dict[str, Space]:
        """Entries, which follow from the parameters."""
        height, width = sides_of(size)
        return {"low": image_space(3, (height // factor, width // factor)), "x": image_space(3, size)}


@hookimpl
def ganrun_components() -> Iterable[Component]:
    yield Component("dataset", "super-resolution-photos", SuperResolutionPhotos)
