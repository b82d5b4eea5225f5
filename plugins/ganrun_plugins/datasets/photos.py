"""Crops of real colour photographs, offline: 2,000 to train on and 500 of other pictures, 8 to 128 pixels.

To train: the astronaut Eileen Collins, a cup of coffee, the Hubble extreme deep field, a retina, the launch of a rocket
(scikit-image) and a flower (scikit-learn); for tests: Chelsea the cat (scikit-image) and a palace in China
(scikit-learn). The other colour pictures of scikit-image are left out, because their licences are not stated. Those of
the eight are in ``docs/licences.md``: public domain, CC0, and of scikit-learn's two CC BY 2.0, which asks to name the
photographers.

Crops are windows of 1 to ``largest`` times their size, scaled to it, at places that a key chooses, as many of each
picture. Those of one picture overlap, so that a generator can learn them by heart, and train and test differ in what
they show: a Fréchet distance between the splits is far from 0. It is a set to see colour, conventions of scores and
enlargement at work without a download, not to publish numbers on.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ganrun.plugin import Component, Space, hookimpl
from ganrun.plugin.data import DataFiles, InMemory
from ganrun_plugins.datasets._fit import Sides, image_space
from ganrun_plugins.datasets._photos import Count, CropSize, Largest, Source, crops, words


class Photos(InMemory):
    """``x``: RGB images (3, height, width)."""

    def __init__(
        self,
        files: DataFiles,
        split: str,
        *,
        size: CropSize = 32,
        count: Count = None,
        largest: Largest = 4.0,
        source: Source = "all",
    ) -> None:
        self.preparation = words(split, largest, source)
        super().__init__({"x": crops(split, size, count, largest, source)}, self.known_spaces(size=size))

    @classmethod
    def known_spaces(cls, *, size: Sides, **_: Any) -> dict[str, Space]:
        """The image, whose size follows from the parameters."""
        return {"x": image_space(3, size)}


@hookimpl
def ganrun_components() -> Iterable[Component]:
    yield Component("dataset", "photos", Photos)
