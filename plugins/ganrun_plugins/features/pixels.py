"""The samples themselves, flattened: the simplest feature space, for any data.

Distances between pixels say little about images (Xu et al., "An empirical study on evaluation metrics of generative
adversarial networks", 2018); for points they are the natural choice.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from ganrun.plugin import Component, hookimpl
from ganrun.plugin.evaluation import FeatureContext


class Pixels:
    """(B, *shape) -> (B, size) float32: pixels in [-1, 1], or the coordinates of points. The gradient is 1."""

    preprocessing = "none"
    keep = False  # to read them from a disk would take longer

    def __init__(self, context: FeatureContext) -> None:
        self.size = context.space.size

    def __call__(self, x: Tensor) -> Tensor:
        return x.flatten(1).float()

    def fingerprint(self) -> str:
        """There are no weights, so nothing but the name."""
        return "pixels"


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("features", "pixels", Pixels)
