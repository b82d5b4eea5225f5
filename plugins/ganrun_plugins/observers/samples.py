"""Pictures of what the networks make of fixed latents, as PNG files in the run's folder.

``samples/step-0001000.png``: a square grid, rows of input, output and reconstruction for a variant that translates, a
scatter plot for points (real ones grey), and beside the grid a row for each label that a generator can be asked for.
Small pictures are enlarged by whole pixels; rows and columns have their names beside them.
The latents are those of ``ganrun sample RUN --seed 0``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Duration, Every, Run, hookimpl
from ganrun.plugin.data import image_grid, label_names, read_items

SEED = 0
MOST = 20  # labels in a picture


class Samples:
    """Draws a picture every so often and at the end; the main process makes it."""

    files: ClassVar[Sequence[str]] = ("samples/step-{step}.png",)

    def __init__(
        self,
        *,
        every: Annotated[Duration, Field(description="time between two pictures")] = Duration(10, "%"),
        count: Annotated[int, Field(ge=1, le=10_000, description="samples in a grid")] = 64,
        rows: Annotated[int, Field(ge=1, le=1000, description="rows of a translation picture")] = 8,
        points: Annotated[int, Field(ge=1, le=100_000, description="points in a scatter plot")] = 1000,
        scale: Annotated[
            int | None, Field(ge=1, le=64, description="pixels in the picture for one of a sample; null: seen well")
        ] = None,
    ) -> None:
        self.every = Every(every)
        self.count = count
        self.rows = rows
        self.points = points
        self.scale = scale
        self._newest = -1

    @hookimpl
    def run_start(self, run: Run) -> None:
        self.every.start(run)
        self._find_newest(run)

    @hookimpl
    def rolled_back(self, run: Run) -> None:
        self._newest, run.newest_picture = -1, None
        self._find_newest(run)

    def _find_newest(self, run: Run) -> None:
        """Show the picture that is there already in a resumed run, or in one rolled back."""
        found = [(path.stem.removeprefix("step-"), path) for path in self._folder(run).glob("step-*.png")]
        numbered = [(int(n), path) for n, path in found if n.isdecimal() and path.stem == f"step-{int(n):07d}"]
        if run.is_main and numbered:
            self._newest, run.newest_picture = max(numbered)

    @hookimpl
    def step_end(self, run: Run) -> None:
        if self.every.due(run):
            self._draw(run)

    @hookimpl
    def run_end(self, run: Run, reason: str) -> None:
        if reason != "failed" and run.step > 0:
            self._draw(run)

    def _draw(self, run: Run) -> None:
        with run.processes.averaged_buffers(run.experiment.modules.values()):  # all processes take part
            if not run.is_main or self._newest == run.step:
                return
            panels = self._panels(run)
            picture = image_grid.picture_of(
                panels,
                self._real_points(run),
                max(self.rows, MOST) if run.experiment.description.codes else self.rows,
                self.scale,
            )
        hidden = {image_grid.left_out(column) for panel in panels.values() for column in panel.columns}
        caption = "; ".join(filter(None, [run.sample_maker.caption(), *sorted(hidden)]))
        picture = image_grid.captioned(picture, caption)
        run.newest_picture = image_grid.save(picture, run.place(f"samples/step-{run.step:07d}.png"))
        self._newest = run.step

    def _panels(self, run: Run) -> dict[str, image_grid.Panel]:
        """The variant's panels of a turn that depends on the networks alone."""
        experiment = run.experiment
        images = any(experiment.dataset.spaces[name].kind == "image" for name in experiment.description.outputs)
        n = self.count if images else self.points
        real = None
        if experiment.description.conditional:
            n = min(self.rows if images else n, len(run.dataset("test")))
            (real,) = read_items(run.dataset("test"), range(n), rows=n, key=("samples",))
        # in the weights and modes of sampling
        found: dict[str, image_grid.Panel] = run.sample_maker.panels(n, SEED, real=real)
        names = label_names(experiment.dataset)
        for name, space in experiment.description.codes.items():
            if images and space.kind == "labels" and not space.shape and not experiment.description.conditional:
                columns = run.sample_maker.each(name, torch.arange(min(space.classes, MOST)), self.rows, SEED)
                found[name] = image_grid.Panel(columns, (), names.get(name, [str(n) for n in range(space.classes)]))
        return found

    def _real_points(self, run: Run) -> dict[int, Tensor]:
        """Real points to draw fakes over, by their number of coordinates."""
        names = [name for name, space in run.experiment.dataset.spaces.items() if space.kind == "points"]
        n = min(self.points, len(run.dataset("test")))
        found = {}
        for name in names:
            x = torch.cat([piece[name] for piece in read_items(run.dataset("test"), range(n), key=("samples",))])
            found[x[0].numel()] = x
        return found

    @staticmethod
    def _folder(run: Run) -> Path:
        assert run.folder is not None
        return run.folder / "samples"


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("observer", "samples", Samples)
