"""Sends terms, scores and pictures to TensorBoard, into the run's folder ``tracker``.

``tensorboard --logdir runs`` shows all runs side by side. Needs the extra: ``pip install 'ganrun[tensorboard]'``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
from PIL import Image
from pydantic import Field

from ganrun.plugin import Component, Duration, Run, hookimpl
from ganrun_plugins.observers._tracker import Tracking, flat


class TensorBoard(Tracking):
    """The tracker ``tensorboard``, with what it can do beyond the others."""

    install = "pip install 'ganrun[tensorboard]'"

    def __init__(
        self,
        *,
        every: Annotated[Duration, Field(description="time between two values")] = Duration(50),
        images: Annotated[bool, Field(description="send the pictures, too")] = True,
    ) -> None:
        super().__init__("tensorboard", ".", every, images)

    def options(self, run: Run) -> dict[str, Any]:
        """Hide what a resumed run, or one rolled back, will write again."""
        return {"purge_step": run.step + 1} if run.resumed_from is not None or run.rollbacks else {}

    def configure(self, run: Run) -> None:
        """The resolved recipe as text: TensorBoard's table of hyperparameters opens a second run for each."""
        text = "\n".join(f"    {name}: {value}" for name, value in flat(run.recipe.resolved))
        self._tracker.log({"recipe": text}, step=run.step)

    def flush(self) -> None:
        """Write the events that TensorBoard's writer keeps in memory for up to two minutes."""
        self._tracker.tracker.flush()

    def as_images(self, picture: Image.Image) -> np.ndarray:
        """(1, 3, H, W) uint8."""
        return np.asarray(picture).transpose(2, 0, 1)[None]


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("observer", "tensorboard", TensorBoard)
