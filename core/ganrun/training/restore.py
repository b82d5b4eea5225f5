"""What a resumed run begins with: its own newest checkpoint."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ganrun.engine.boundaries import made_optimizer
from ganrun.engine.watch import names_not_finite
from ganrun.errors import UserError
from ganrun.experiment.experiment import Experiment
from ganrun.training import checkpoint
from ganrun.training.changed import LastStart, changed_data, changed_lengths, threads_differ
from ganrun.training.shares import check_batch
from ganrun.training.stored import StoredState, checked

if TYPE_CHECKING:
    from ganrun.training.run import Run


def check_state(state: dict[str, Any]) -> None:
    """Raises CheckpointError with the first place where a checkpoint's state is not shaped as a run writes it."""
    try:
        checked(StoredState, state)
    except ValueError as error:
        raise checkpoint.CheckpointError(f"its state is not what a run writes: {error}") from error
    if len(state["components"]) != state["world"] or len(state["buffers"]) not in (0, state["world"]):
        raise checkpoint.CheckpointError("its state is not what a run writes: it is of another number of processes")


def load_modules(
    experiment: Experiment,
    modules: dict[str, dict[str, torch.Tensor]],
    only: Collection[str] | None = None,
    left_out: Collection[str] = (),
) -> None:
    """Load networks by name, all of them or only some, and warn of those whose weights are not finite numbers.

    left_out: networks that stayed behind when the run was shared; whoever runs one gets a UserError.

    Raises CheckpointError with the first difference if they do not fit.
    """
    for name, module in experiment.modules.items():
        if name in left_out and name not in modules:
            module.register_forward_pre_hook(partial(_not_here, name))
            continue
        if only is not None and name not in only:
            continue
        try:
            module.load_state_dict(modules[name])
        except (KeyError, RuntimeError) as error:
            line = "it holds no such network" if name not in modules else str(error).splitlines()[-1].strip()
            raise checkpoint.CheckpointError(
                f"network {name} does not fit the checkpoint: {line}; were its parameters changed?"
            ) from error
    warn_of_not_finite(experiment, modules if only is None else {name: modules[name] for name in only})


def warn_of_not_finite(experiment: Experiment, modules: dict[str, dict[str, torch.Tensor]]) -> None:
    """Warn of networks whose weights in a checkpoint are not finite numbers."""
    if wrong := not_finite_weights(experiment, modules):
        warnings.warn(
            f"the weights of {' and '.join(wrong)} in this checkpoint are not finite numbers: training went wrong "
            "before it, and what is made with them shows nothing; choose an older one, such as with --checkpoint, "
            "if there is one",
            stacklevel=3,
        )


def _not_here(name: str, *_: Any) -> None:
    raise UserError(
        f"the weights of {name} are not here: this run was shared with the weights that sampling uses; what needs "
        f"{name} needs one that was shared --with-training-state"
    )


def not_finite_weights(experiment: Experiment, modules: dict[str, dict[str, torch.Tensor]]) -> list[str]:
    """The networks of an experiment whose parameters are not finite in a checkpoint, as far as it holds them."""
    found = []
    for name, module in experiment.modules.items():
        kept = modules.get(name, {})
        if names_not_finite({key: kept[key] for key, _ in module.named_parameters() if key in kept}):
            found.append(name)
    return found


def check_optimizer_state(player: str, experiment: Experiment, state: Mapping[str, Any]) -> None:
    """Hold a kept state against that of a new optimiser of the same part, after a step without a gradient.

    A wrong shape may be used without a word by an optimiser that steps all its parameters at once. A state may hold
    more, such as what comes with a later step, and none of a parameter that had no gradient.

    Raises CheckpointError for an entry that is missing, or that has another shape.
    """
    parameters = [nn.Parameter(torch.zeros_like(p)) for p in experiment.parameters(experiment.players[player])]
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    optimizer = made_optimizer(experiment.optimizers[player], parameters)
    with torch.random.fork_rng(devices=[]):
        optimizer.step()
    expected = optimizer.state_dict()["state"]
    for number, entries in state["state"].items():
        for name, value in expected.get(int(number), {}).items():
            found = entries.get(name)
            shapes = [tuple(x.shape) for x in (found, value) if isinstance(x, torch.Tensor)]
            if found is None or len(set(shapes)) > 1:
                raise checkpoint.CheckpointError(
                    f"the state of {player}'s optimiser does not fit its parameters: {name} of number {number}"
                )


def last_good(experiment: Experiment, folder: Path) -> tuple[int, dict[str, Any]] | None:
    """Step and state of the newest checkpoint that can be read and whose weights are finite; None if there is none."""
    for _, path in reversed(checkpoint.listing(folder / "checkpoints")):
        try:
            step, state = checkpoint.read(path)
            check_state(state)
        except checkpoint.CheckpointError:
            continue
        if not not_finite_weights(experiment, state["modules"]):
            return step, state
    return None


def resume_run(run: Run, folder: Path, started: LastStart | None, *, force: bool) -> bool:
    """Load the newest intact checkpoint of a run's folder, and say what changed since it was last started.

    Returns False if there is none: the run starts again.
    """
    if not checkpoint.listing(folder / "checkpoints"):
        if started is not None and not force:
            check_batch(run, {}, started)
        return False
    divided = ""

    def load(state: dict[str, Any]) -> None:
        nonlocal divided
        check_state(state)
        if "left_out" in state:
            raise UserError(
                f"{folder} was shared without its training state, so it cannot be continued; begin a run with its "
                f"weights, init: {{run: {folder}, partial: true}}, or ask for one that was shared --with-training-state"
            )
        if run.steps < state["steps"] and not force:
            raise UserError(
                f"{folder} was to take {state['steps']} steps, and train.steps is {run.steps} now; "
                "--resume accepts a longer train.steps, not a shorter one: add --force to continue all the same"
            )
        if not_finite_weights(run.experiment, state["modules"]) and last_good(run.experiment, folder):
            raise checkpoint.CheckpointError(f"the weights of step {state['step']} are not finite numbers")
        divided = "" if started is None or force else check_batch(run, state, started)
        run.load_state_dict(state)

    if run.is_main and started is not None and (changed := changed_data(started, run)):
        print(f"warning: the training data are not those of before: {changed}", flush=True)
    _, step, state, damaged = checkpoint.load_newest(folder / "checkpoints", load)
    run.resumed_from = step
    if run.is_main:
        for line in [] if started is None else changed_lengths(started, run):
            print(line, flush=True)
        for line in damaged:
            print(f"warning: {line}; an older one is used", flush=True)
        if divided:
            print(f"warning: {divided}", flush=True)
        if changed := threads_differ(state["threads"], torch.get_num_threads()):
            print(f"warning: {changed}", flush=True)
    return True
