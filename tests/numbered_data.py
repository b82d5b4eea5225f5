"""Data sets whose items are numbers, for tests of reading."""

import os

import numpy as np
import torch

from ganrun.data.reader import InMemory
from ganrun.errors import UserError
from ganrun.words.spaces import Space


class Streamed:
    """Not in memory: an item is (index, a random number of its own), and the process that read it is on record."""

    spaces = {"x": Space("points", (2,)), "pid": Space("labels", (), 2)}
    classes = ()
    in_memory = False

    def __init__(self, length=10, bad=-1, order="shuffled"):
        self.length = length
        self.bad = bad
        self.order = order

    def __len__(self):
        return self.length

    def batch(self, indices, draws):
        if self.bad in indices.tolist():
            raise UserError("pictures/17.jpg: cannot be read")
        x = np.stack([indices.numpy().astype(np.float64), draws.uniform("crop")[:, 0]], axis=1)
        return {"x": torch.from_numpy(x), "pid": torch.full((len(indices),), os.getpid())}


def points(n=10, order="shuffled"):
    data = InMemory({"x": torch.arange(n).float()[:, None]}, {"x": Space("points", (1,))})
    data.order = order
    return data


def drain(reader, steps, rows=4, parts=1):
    """The first coordinates and random numbers of all parts of some steps."""
    out = []
    for _ in range(steps):
        out += [reader.get(rows, part, parts)["x"].clone() for part in range(parts)]
        reader.advance(rows * parts)
    return torch.cat(out)
