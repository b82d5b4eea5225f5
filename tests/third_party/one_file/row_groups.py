"""Rows of numbers in a text file, read a group at a time: what is too large for memory and fast only in its order.

A folder holds ``train.csv`` and ``test.csv``: a line of names, then one item a line, numbers between commas. As with
the row groups of Parquet a whole group is decoded for any row of it, so items are asked for in their order.
"""

import os
from typing import Annotated

import numpy as np
import torch
from pydantic import Field

from ganrun.plugin import Component, Space, hookimpl
from ganrun.plugin.data import DataError, fingerprint


class RowGroups:
    """``x``: the numbers of a line, (D,)."""

    classes = ()
    in_memory = False
    order = "sequential"

    def __init__(
        self,
        files,
        split,
        *,
        folder: Annotated[str, Field(description="the folder of the two files")],
        group: Annotated[int, Field(ge=1, description="rows that are decoded at once")] = 1024,
    ) -> None:
        self.path = files.path(folder) / f"{split}.csv"
        self.group = group
        self.starts, self.length = [], 0  # where each group begins in the file, in bytes; rows
        try:
            with self.path.open("rb") as file:
                self.names = file.readline().decode().strip().split(",")
                place = file.tell()
                for line in file:
                    if self.length % group == 0:
                        self.starts.append(place)
                    self.length += 1
                    place += len(line)
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read ({error.strerror})") from error
        self.spaces = {"x": Space("points", (len(self.names),))}
        self._decoded = -1, np.empty(0)  # the last group, and its number

    def __len__(self):
        return self.length

    def batch(self, indices, draws):
        """Rows (B,) -> ``x`` (B, D)."""
        numbers = indices.numpy() // self.group
        x = np.empty((len(indices), len(self.names)), np.float32)
        for number in np.unique(numbers):
            here = numbers == number
            x[here] = self._rows(int(number))[indices.numpy()[here] % self.group]
        return {"x": torch.from_numpy(x)}

    def fingerprint(self):
        """A hash of the file's name, size and date: a whole file would take too long to read."""
        return fingerprint(str(self.path), os.stat(self.path).st_size, os.stat(self.path).st_mtime_ns)

    def _rows(self, number):
        if self._decoded[0] != number:
            with self.path.open("rb") as file:
                file.seek(self.starts[number])
                rows = np.loadtxt(file, delimiter=",", max_rows=self.group, ndmin=2)
            self._decoded = number, rows
        return self._decoded[1]


@hookimpl
def ganrun_components():
    yield Component("dataset", "row-groups", RowGroups)
