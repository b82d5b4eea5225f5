"""Arrays in .npy files, read through memory maps: a set as large as the disk.

A folder holds ``train.npy`` and ``test.npy``: uint8 (N, C, H, W) for images, floating point (N, D) for points.
"""

from typing import Annotated

import numpy as np
import torch
from pydantic import Field

from ganrun.plugin import Component, Space, hookimpl
from ganrun.plugin.data import DataError


class Arrays:
    """``x``: the rows of the file of a split."""

    classes = ()
    in_memory = False

    def __init__(self, files, split, *, folder: Annotated[str, Field(description="where the two files are")]) -> None:
        self.path = files.path(folder) / f"{split}.npy"
        try:
            self.rows = np.load(self.path, mmap_mode="r")
        except (OSError, ValueError) as error:
            raise DataError(f"{self.path}: cannot be read ({error}); a file written by numpy.save is wanted") from error
        shape = self.rows.shape[1:]
        if self.rows.dtype == np.uint8 and len(shape) == 3:
            self.spaces = {"x": Space("image", shape)}
        elif self.rows.dtype.kind == "f" and len(shape) == 1:
            self.spaces = {"x": Space("points", shape)}
        else:
            raise DataError(
                f"{self.path} holds {self.rows.dtype} {self.rows.shape}; wanted: uint8 (N, C, H, W) or floats (N, D)"
            )

    def __len__(self):
        return len(self.rows)

    def batch(self, indices, draws):
        """Rows (B,) -> ``x`` (B, *shape): only these are read from the disk."""
        return {"x": torch.from_numpy(self.rows[indices.numpy()])}


@hookimpl
def ganrun_components():
    yield Component("dataset", "arrays", Arrays)
