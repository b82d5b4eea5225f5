"""Features that note how many rows each process saw, and evaluators that fail.

ROWS: a folder for a file for each process. FAIL: ``evaluator``, ``late``, ``features`` or nothing; RANKS: the processes
in which features fail.
"""

import os
from pathlib import Path

from ganrun.errors import UserError
from ganrun.words.hooks import Component, hookimpl

RANK = os.environ.get("RANK", "0")
FAIL = os.environ.get("FAIL", "")


class Watching:
    """The samples themselves."""

    size = 2
    keep = False  # real samples are looked at, too, whatever was kept on disk

    def __init__(self, context):
        self.size = context.space.size

    def __call__(self, x):
        with (Path(os.environ["ROWS"]) / f"{RANK}.txt").open("a") as file:
            file.write(f"{len(x)}\n")
        if FAIL == "features" and RANK in os.environ["RANKS"]:
            raise UserError(f"process {RANK} cannot look at this")
        return x.flatten(1)

    def fingerprint(self):
        return "watching"


class Failing:
    """Cannot score anything, and says so before it has asked for samples, or after."""

    def evaluate(self, evaluation):
        if FAIL == "late":
            evaluation.fakes(n=1000)
        if FAIL in ("evaluator", "late"):
            raise UserError(f"process {RANK} cannot score this")
        return {"fine": 1.0}


@hookimpl
def ganrun_components():
    yield Component("features", "watching", Watching)
    yield Component("evaluator", "failing", Failing)
