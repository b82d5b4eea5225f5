"""What a run begins with: its own newest checkpoint, or the weights of another run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ganrun.errors import UserError
from ganrun.experiment.experiment import Experiment
from ganrun.training import checkpoint

if TYPE_CHECKING:
    from ganrun.training.run import Run


def load_modules(experiment: Experiment, modules: dict[str, dict[str, torch.Tensor]]) -> None:
    """Load networks by name. Raises CheckpointError with the first difference if they do not fit."""
    for name, module in experiment.modules.items():
        try:
            module.load_state_dict(modules[name])
        except (KeyError, RuntimeError) as error:
            line = str(error).splitlines()[-1].strip()
            raise checkpoint.CheckpointError(
                f"network {name} does not fit the checkpoint: {line}; were its parameters changed?"
            ) from error


def resume_run(run: Run, folder: Path, *, force: bool) -> None:
    """Load the newest intact checkpoint of a run's folder. One killed before its first starts again instead."""
    _, step, state, damaged = checkpoint.newest_intact(folder / "checkpoints")
    if run.steps < state["steps"] and not force:
        raise UserError(
            f"{folder} was to take {state['steps']} steps, and train.steps is {run.steps} now; "
            "--resume accepts a longer train.steps, not a shorter one: add --force to continue all the same"
        )
    run.load_state_dict(state)
    run.resumed_from = step
    if run.is_main:
        for line in damaged:
            print(f"warning: {line}; an older one is used", flush=True)
        if state["threads"] != torch.get_num_threads():
            print(
                f"warning: {state['threads']} threads before, {torch.get_num_threads()} now: sums may round otherwise",
                flush=True,
            )


def start_from(run: Run, other: Path) -> None:
    """Take the networks' weights of another run's newest checkpoint; everything else starts from the beginning."""
    source = other if (other / "manifest.json").exists() else None
    if source is None and not (other / "checkpoints").is_dir():
        raise UserError(f"init: {other} is neither a run's folder nor a checkpoint")
    state = checkpoint.read(source)[1] if source else checkpoint.newest_intact(other / "checkpoints")[2]
    load_modules(run.experiment, state["modules"])
