"""Points in the plane on a square grid of Gaussians: many modes, for counting those that are missing.

VEEGAN (Srivastava et al. 2017) and PacGAN (Lin et al. 2018): 25 Gaussians of standard deviation 0.05 at
{-4, -2, 0, 2, 4} x {-4, -2, 0, 2, 4}, 100,000 fixed training points.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import numpy as np
from pydantic import Field

from ganrun.plugin import Component, hookimpl
from ganrun.plugin.data import DataFiles
from ganrun_plugins.datasets._mixture import Mixture


class Grid(Mixture):
    """``side`` x ``side`` Gaussians around 0, ``spacing`` apart."""

    def __init__(
        self,
        files: DataFiles,
        split: str,
        *,
        side: Annotated[int, Field(ge=1, le=100, description="Gaussians along one side")] = 5,
        spacing: Annotated[float, Field(gt=0, description="distance of neighbouring Gaussians")] = 2.0,
        sd: Annotated[float, Field(ge=0, description="standard deviation of each Gaussian")] = 0.05,
        count: Annotated[int, Field(ge=1, description="points in each split")] = 100_000,
        classes: Annotated[
            list[str | int] | None, Field(description="modes to keep, by number; all by default")
        ] = None,
    ) -> None:
        line = spacing * (np.arange(side) - (side - 1) / 2)
        centres = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)  # (side * side, 2)
        super().__init__(centres, [str(k) for k in range(side * side)], split, sd=sd, count=count, classes=classes)


@hookimpl
def ganrun_components() -> Iterable[Component]:
    yield Component("dataset", "grid", Grid)
