"""Sends terms, scores and pictures to an experiment tracker that Accelerate knows, such as wandb or mlflow.

``{tracker: {name: wandb}}``. What a tracker keeps on disk goes to the run's folder ``tracker``. The values are those of
``metrics-log``; the tracker's own account, project and server are set up as its documentation says.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from ganrun.plugin import Component, Duration, hookimpl
from ganrun_plugins.observers._tracker import Tracking


class Tracker(Tracking):
    """Any tracker of Accelerate, by its name."""

    def __init__(
        self,
        *,
        name: Annotated[
            str, Field(description="wandb, mlflow, comet_ml, aim, clearml, dvclive, swanlab, trackio or tensorboard")
        ],
        project: Annotated[
            str, Field(min_length=1, description="the project under which the tracker files this run")
        ] = "ganrun",
        every: Annotated[Duration, Field(description="time between two values")] = Duration(50),
        images: Annotated[bool, Field(description="send the pictures, too, if the tracker takes pictures")] = True,
    ) -> None:
        super().__init__(name, project, every, images)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("observer", "tracker", Tracker)
