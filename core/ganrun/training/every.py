"""How often an observer acts: every so many steps, epochs, images or percent of the run, or by the clock."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ganrun.distributed import Agreement
from ganrun.schedule import Duration

if TYPE_CHECKING:
    from ganrun.training.run import Run


class Every:
    """Says at the end of a step whether it is time. All processes ask alike, and get the same answer."""

    def __init__(self, duration: Duration | int | str) -> None:
        self.duration = Duration.parse(duration)
        self._steps = 0
        self._since = 0.0
        self._agreement: Agreement | None = None

    def start(self, run: Run) -> None:
        """Begin to count: called at the start of a run."""
        self._since = time.monotonic()
        self._agreement = Agreement(run.processes)
        self._steps = 0 if self.duration.unit == "minutes" else self.duration.whole_steps(run.experiment.clock)

    def due(self, run: Run) -> bool:
        """Whether to act after this step. Minutes are counted by the main process, which informs the others."""
        if self._steps:
            return run.step % self._steps == 0
        assert self._agreement is not None, "start comes first"
        late = time.monotonic() - self._since >= self.duration.amount * 60
        due = self._agreement.any(run.step, run.is_main and late)
        if due:
            self._since = time.monotonic()
        return due
