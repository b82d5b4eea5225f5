"""An observer for runs of several processes that asks to go back, in all of them or in the main one.

In step STOP of attempt 1 it ends the process.
"""

import os

from ganrun.distributed import Agreement
from ganrun.engine.engine import Engine
from ganrun.words.hooks import Component, hookimpl

Agreement.STEPS = 2  # the runs are short
STOP = os.environ.get("STOP", "")


class GoesBack:
    """Once, at the end of step ``at``."""

    def __init__(self, *, at: int, who: str = "all"):
        self.at, self.who = at, who

    @hookimpl
    def step_end(self, run):
        if run.step == self.at and not run.rollbacks and (self.who == "all" or run.is_main):
            assert run.roll_back("a whim")

    @hookimpl
    def rolled_back(self, run):
        print(f"rank {run.processes.rank} at step {run.step}, attempt {run.attempt}\n", end="", flush=True)


@hookimpl
def ganrun_components():
    yield Component("observer", "goes-back", GoesBack)


if STOP:
    update = Engine.update

    def broken(self, turn):
        if (turn.step, self.attempt) == (int(STOP), 1) and turn.player == "generator":
            raise RuntimeError("broken on purpose")
        update(self, turn)

    Engine.update = broken
