"""Points on a line from a mixture of Gaussians: data whose density can be drawn beside the generator's.

Goodfellow et al., "Generative Adversarial Nets" (2014), figure 1, shows one Gaussian on a line, the generator's
samples, and the discriminator between them. All centres are equally likely.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import numpy as np
from pydantic import Field

from ganrun.plugin import Component, hookimpl
from ganrun.plugin.data import DataFiles
from ganrun_plugins.datasets._mixture import Mixture


class Line(Mixture):
    """``x``: points (1,) around ``centres``. ``label``: which of them."""

    def __init__(
        self,
        files: DataFiles,
        split: str,
        *,
        centres: Annotated[tuple[float, ...], Field(min_length=1, description="where the Gaussians lie")] = (0.0,),
        sd: Annotated[float, Field(ge=0, description="standard deviation of each Gaussian")] = 1.0,
        count: Annotated[int, Field(ge=1, description="points in each split")] = 10_000,
    ) -> None:
        places = np.array(centres, dtype=float)[:, None]  # (M, 1)
        super().__init__(places, [f"{centre:g}" for centre in centres], split, sd=sd, count=count, classes=None)


@hookimpl
def ganrun_components() -> Iterable[Component]:
    yield Component("dataset", "line", Line)
