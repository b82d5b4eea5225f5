"""Points in the plane on a ring of Gaussians: the smallest test for missing modes.

VEEGAN (Srivastava et al. 2017) and PacGAN (Lin et al. 2018): eight Gaussians of standard deviation 0.01, evenly spaced
on a circle of radius 1, 100,000 fixed training points. Mode k is at angle 2 pi k / modes; a well-known demonstration
spaces its angles up to and including 2 pi, so that its first and last mode coincide.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import numpy as np
from pydantic import Field

from ganrun.plugin import Component, hookimpl
from ganrun.plugin.data import DataFiles
from ganrun_plugins.datasets._mixture import Mixture


class Ring(Mixture):
    """``modes`` Gaussians on a circle around 0."""

    def __init__(
        self,
        files: DataFiles,
        split: str,
        *,
        modes: Annotated[int, Field(ge=1, le=10_000, description="number of Gaussians")] = 8,
        radius: Annotated[float, Field(gt=0, description="radius of the circle")] = 1.0,
        sd: Annotated[float, Field(ge=0, description="standard deviation of each Gaussian")] = 0.01,
        count: Annotated[int, Field(ge=1, description="points in each split")] = 100_000,
        classes: Annotated[
            list[str | int] | None, Field(description="modes to keep, by number; all by default")
        ] = None,
    ) -> None:
        angle = 2 * np.pi * np.arange(modes) / modes
        centres = radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)  # (modes, 2)
        super().__init__(centres, [str(k) for k in range(modes)], split, sd=sd, count=count, classes=classes)


@hookimpl
def ganrun_components() -> Iterable[Component]:
    yield Component("dataset", "ring", Ring)
