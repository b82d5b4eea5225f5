"""Points that are computed from their number: a thousand million of them, of which none is stored."""

from typing import Annotated

import numpy as np
import torch
from pydantic import Field

from ganrun.plugin import Component, Space, hookimpl
from ganrun.plugin.data import DataError, ItemDraws


class Spiral:
    """``x``: points (2,) on a spiral of two turns from the origin to radius 1, and a little beside it."""

    spaces = {"x": Space("points", (2,))}
    classes = ()
    in_memory = True  # to compute a batch is as fast as to index one

    def __init__(
        self, files, split, *, count: Annotated[int, Field(ge=1, description="points in each split")] = 10**9
    ) -> None:
        if split not in ("train", "test"):
            raise DataError(f"there is no split {split!r}; there are train and test")
        self.split = split
        self.count = count

    def __len__(self):
        return self.count

    def batch(self, indices, draws):
        """Numbers (B,) -> ``x`` (B, 2). Drawn for the number alone, not with ``draws``, which change with the epoch."""
        numbers = ItemDraws(("spiral", self.split), np.asarray(0), indices.numpy()).uniform("point", 3)
        radius, beside = np.sqrt(numbers[:, :1]), 0.02 * (numbers[:, 1:] - 0.5)
        angle = 4 * np.pi * radius
        x = radius * np.concatenate([np.cos(angle), np.sin(angle)], axis=1) + beside
        return {"x": torch.from_numpy(x).float()}

    def fingerprint(self):
        """The split and how many there are say everything."""
        return f"spiral {self.split} {self.count}"


@hookimpl
def ganrun_components():
    yield Component("dataset", "spiral", Spiral)
