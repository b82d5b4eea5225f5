"""A training strip: the same latents at chosen moments side by side, which shows samples emerge from noise.

``strip.png`` has a row for each latent and a column for each moment, such as the ends of epochs 1, 6, 21 and 51; it is
drawn again at every moment, and at the end of the run, whose samples are its last column. The columns are kept as
``strip/step-0001000.png``; where a run stopped and was resumed has no place in the strip. The latents are those of
``ganrun sample RUN --seed 0``; a variant that translates is shown with its inputs as the first column.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, ClassVar

import torch
from PIL import Image
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Duration, Experiment, Refusal, Run, hookimpl
from ganrun.plugin.data import image_grid, read_items

SEED = 0


class Strip:
    """Keeps a column of samples at each moment, and joins the columns."""

    files: ClassVar[Sequence[str]] = ("strip.png", "strip/step-{step}.png")

    def __init__(
        self,
        *,
        at: Annotated[
            list[Duration],
            Field(min_length=1, description="moments, each the end of so many epochs, steps, images or percent"),
        ],
        rows: Annotated[int, Field(ge=1, le=100, description="latents, a row each")] = 8,
    ) -> None:
        self.at = [Duration.parse(moment) for moment in at]
        self.rows = rows
        if any(moment.unit == "minutes" for moment in self.at):
            raise Refusal(
                "moments in minutes would show other steps on another machine", "epochs, steps, images, kimg or percent"
            )

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        """Warn of moments that never come."""
        total = experiment.clock.total
        late = [str(moment) for moment in self.at if moment.whole_steps(experiment.clock) > total]
        if late:
            why = f"the run ends after {total} steps, so there is no column of {', '.join(late)}"
            experiment.warn("observer strip", why, "an earlier moment, or more train.steps")

    @hookimpl
    def step_end(self, run: Run) -> None:
        if run.step in self._moments(run):
            self._draw(run)

    def _moments(self, run: Run) -> set[int]:
        return {moment.whole_steps(run.experiment.clock) for moment in self.at}

    @hookimpl
    def run_end(self, run: Run, reason: str) -> None:
        if reason != "failed" and run.step > 0:
            self._draw(run)

    def _draw(self, run: Run) -> None:
        with run.processes.averaged_buffers(run.experiment.modules.values()):  # all processes take part
            if not run.is_main:
                return
            experiment, real = run.experiment, self._real(run)
            output = experiment.description.outputs[0]
            made = run.sample_maker.turn(self.rows if real is None else len(real[output]), SEED, real=real).made[output]
        place = run.place(f"strip/step-{run.step:07d}.png")
        newest = self._column(made)
        image_grid.save(newest, place)
        moments = {*self._moments(run), run.step}
        kept = [image_grid.kept(path) for step, path in self._columns(run) if step in moments]
        columns = [column for column in kept if column is not None and column.size == newest.size]
        if real is not None:
            kind = experiment.dataset.spaces[output].kind
            sources = [
                name for name, space in experiment.dataset.spaces.items() if space.kind == kind and name != output
            ]
            columns = [self._column(real[next(iter(sources), output)]), *columns]
        weights = run.sample_maker.caption()
        words = (f"last column, {weights}" if weights else "", image_grid.left_out(made))
        picture = image_grid.captioned(image_grid.joined(columns, image_grid.GAP), "; ".join(filter(None, words)))
        image_grid.save(picture, run.place("strip.png"))

    @staticmethod
    def _column(made: Tensor) -> Image.Image:
        """Images one below the other; points as one scatter plot."""
        return image_grid.grid(made, columns=1) if made.dim() == 4 else image_grid.scatter(None, made)

    def _real(self, run: Run) -> dict[str, Tensor] | None:
        if not run.experiment.description.conditional:
            return None
        n = min(self.rows, len(run.dataset("test")))
        pieces = list(read_items(run.dataset("test"), range(n), rows=n, key=("samples",)))
        return {name: torch.cat([piece[name] for piece in pieces]) for name in pieces[0]}

    def _columns(self, run: Run) -> list[tuple[int, Path]]:
        """Step and file of every column that is there, in order."""
        found = ((path.stem.removeprefix("step-"), path) for path in sorted(self._folder(run).glob("step-*.png")))
        return [(int(n), path) for n, path in found if n.isdecimal() and path.stem == f"step-{int(n):07d}"]

    @staticmethod
    def _folder(run: Run) -> Path:
        assert run.folder is not None
        return run.folder / "strip"


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("observer", "strip", Strip)
