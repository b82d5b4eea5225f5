"""Breaks a run off at a moment that the environment variable BREAK names: ``moment:step:rank``.

It brings a trick and an evaluator that watch.
"""

import os
import signal
from pathlib import Path

import torch

from ganrun.distributed import Agreement
from ganrun.engine.engine import Engine
from ganrun.training import checkpoint
from ganrun.words.hooks import Component, hookimpl

Agreement.STEPS = 4  # the runs are short

MOMENT, STEP, RANK = (os.environ.get("BREAK", "never:0:0")).split(":")
RANK_HERE = os.environ.get("RANK", "0")


def die():
    os.kill(os.getpid(), signal.SIGKILL)


class Watch:
    """Says from inside how many processes there are."""

    @hookimpl
    def run_start(self, run):
        world = torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1
        if run.resumed_from is None:
            print(f"rank {run.processes.rank} of {world} processes", flush=True)


class Where:
    """Scores with the rank of the process that evaluates."""

    def evaluate(self, evaluation):
        evaluation.fakes(n=2)
        print(f"evaluated by rank {RANK_HERE}", flush=True)
        return {"rank": float(RANK_HERE)}


@hookimpl
def ganrun_components():
    yield Component("trick", "watch", Watch)
    yield Component("evaluator", "where", Where)


def in_the_middle_of_a_step(act):
    """Do it between the turns of step STEP (counted from 0): the first player has moved, the last has not."""
    update = Engine.update

    def broken(self, turn):
        if turn.step == int(STEP) and turn.player == self.experiment.phases[-1].player:
            act()
        update(self, turn)

    Engine.update = broken


def kill():
    in_the_middle_of_a_step(die)


def host():
    """Everything of a machine: the process that torchrun started, and torchrun."""

    def all_of_it():
        os.kill(os.getppid(), signal.SIGKILL)
        die()

    in_the_middle_of_a_step(all_of_it)


def fail():
    def raise_it():
        raise RuntimeError("broken on purpose")

    in_the_middle_of_a_step(raise_it)


def term():
    in_the_middle_of_a_step(lambda: os.kill(os.getpid(), signal.SIGTERM))


def interrupt():
    in_the_middle_of_a_step(lambda: os.kill(os.getpid(), signal.SIGINT))


def twice():
    """A signal, and another one while the checkpoint it asked for is being written."""
    interrupt()
    save = checkpoint.save_file

    def interrupted_again(tensors, path):
        if int(Path(path).parent.name.rpartition("-")[2]) == int(STEP) + 1:
            os.kill(os.getpid(), signal.SIGINT)
        save(tensors, path)

    checkpoint.save_file = interrupted_again


def tensors():
    """Die when half of the tensors of the checkpoint of step STEP are on disk."""
    save = checkpoint.save_file

    def half(tensors, path):
        save(tensors, path)
        if int(Path(path).parent.name.rpartition("-")[2]) == int(STEP):
            os.truncate(path, Path(path).stat().st_size // 2)
            die()

    checkpoint.save_file = half


def rename():
    """Die when all of the checkpoint of step STEP is on disk, but it has no name yet."""
    replace = os.replace

    def unnamed(source, target):
        if Path(source).name == f".writing-{int(STEP):07d}":
            die()
        replace(source, target)

    os.replace = unnamed


def prune():
    """Die when an old checkpoint is half removed, as the checkpoint of step STEP has just been written."""
    remove = checkpoint._remove

    def half(path):
        if (path.parent / f"step-{int(STEP):07d}").exists() and path.name.startswith("step-"):
            (path / "manifest.json").unlink()
            die()
        remove(path)

    checkpoint._remove = half


MOMENTS = {moment.__name__: moment for moment in (kill, host, fail, term, interrupt, twice, tensors, rename, prune)}
if RANK_HERE == RANK and MOMENT != "never":
    MOMENTS[MOMENT]()
