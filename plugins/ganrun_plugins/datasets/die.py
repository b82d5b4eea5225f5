"""Throws of a die, by default one with two fours: a distribution whose best generator is known.

A die whose faces are 1, 2, 3, 4, 4, 6 shows a four once in three throws. A throw is the number on a line plus a little
Gaussian noise, so that samples have a density and a generator can be trained by gradients: where its samples lie
closest to is what it threw.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import numpy as np
import torch
from pydantic import Field

from ganrun.plugin import Component, Space, hookimpl, stable_hash
from ganrun.plugin.data import DataError, DataFiles, InMemory


class Die(InMemory):
    """``x``: points (1,), the number thrown plus noise. ``label``: which of the different numbers, in their order."""

    def __init__(
        self,
        files: DataFiles,
        split: str,
        *,
        faces: Annotated[
            tuple[int, ...],
            Field(min_length=2, description="the number on each face; one that stands on two comes twice as often"),
        ] = (1, 2, 3, 4, 4, 6),
        sd: Annotated[float, Field(ge=0, description="standard deviation of the noise")] = 0.1,
        count: Annotated[int, Field(ge=1, description="throws in each split")] = 10_000,
    ) -> None:
        if split not in ("train", "test"):
            raise DataError(f"there is no split {split!r}; there are train and test")
        random = np.random.Generator(np.random.Philox(key=stable_hash("die", split, count)))
        thrown = np.array(faces)[random.integers(len(faces), size=count)]  # (count,)
        numbers = np.unique(faces)
        label = np.searchsorted(numbers, thrown)
        x = thrown[:, None] + sd * random.standard_normal((count, 1))  # (count, 1)
        super().__init__(
            {"x": torch.from_numpy(x).float(), "label": torch.from_numpy(label).long()},
            {"x": Space("points", (1,)), "label": Space("labels", (), len(numbers))},
            [str(number) for number in numbers],
        )


@hookimpl
def ganrun_components() -> Iterable[Component]:
    yield Component("dataset", "die", Die)
