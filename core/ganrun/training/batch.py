"""The batch of a step and its parts, one a process and micro-batch: what is refused and warned of before training."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import nn

from ganrun.experiment.batch_norm import synchronise
from ganrun.experiment.capabilities import traits
from ganrun.experiment.cures import choices
from ganrun.experiment.diagnostics import Diagnostic, label
from ganrun.experiment.experiment import Experiment
from ganrun.experiment.precision import computes_bfloat16
from ganrun.experiment.shapes import on_meta


def check_size(experiment: Experiment) -> list[Diagnostic]:
    """Refuse data that cannot fill one batch: its samples would come twice in it."""
    clock, train, world = experiment.clock, experiment.recipe.train, experiment.processes.world
    if clock.dataset >= clock.batch:
        return []
    why = (
        f"it has {clock.dataset} training items, fewer than the {clock.batch} of one step "
        f"(batch_size {train.batch_size} x accumulate {train.accumulate} x processes {world})"
    )
    return [Diagnostic(label(experiment.recipe.dataset), why, smaller_batch(clock.dataset, train.accumulate, world))]


def smaller_batch(items: int, accumulate: int, processes: int) -> str:
    """What to set so that a step takes at most so many items. A step takes batch_size x accumulate x processes."""
    if items >= accumulate * processes:
        return f"--set train.batch_size={items // (accumulate * processes)} or less"
    if items >= processes:
        return f"--set train.batch_size=1 --set train.accumulate={max(items // processes, 1)} or less"
    return f"at most {max(items, 1)} process{'es' if items > 1 else ''}, with train.batch_size 1 and train.accumulate 1"


def check_batch_statistics(experiment: Experiment) -> list[Diagnostic]:
    """Refuse BatchNorm over one number a channel, and warn of what sees a part of the batch of a step.

    With ``sync_batch_norm`` it is made to see the rows of all processes.
    """
    train, world, refusals = experiment.recipe.train, experiment.processes.world, []
    for name, network in experiment.description.networks.items():
        module = experiment.modules[name]
        found = traits(module.modules())
        if world > 1 and found & {"group-statistics", "batch-coupled"}:
            why = (
                "it judges a sample by others of its forward, which are those of one process and not of the whole batch"
            )
            experiment.warn(f"network {name}", why, "larger batches in fewer processes")
        if "batch-statistics" not in found:
            continue
        if train.accumulate > 1:
            why = "BatchNorm takes mean and variance from one micro-batch, not from the whole batch of a step"
            experiment.warn(f"network {name}", why, "a larger train.batch_size with a smaller train.accumulate")
        if world > 1 and not train.sync_batch_norm:
            why = "BatchNorm takes mean and variance from the batch of one process, not from that of all"
            experiment.warn(f"network {name}", why, "--set train.sync_batch_norm=true")
        elif world > 1 and (other := synchronise(module)):
            why = f"its {other} is a BatchNorm of another kind, which train.sync_batch_norm cannot make one over all"
            refusals.append(Diagnostic(f"network {name}", why, "--set train.sync_batch_norm=false, or another network"))
        rows = train.batch_size // network.interface.pack * (world if train.sync_batch_norm else 1)
        if rows == 1 and _normalises_single_numbers(module, network.interface):
            why = (
                "a forward of it sees one row, in which BatchNorm finds one number a channel: "
                "minus its own mean that is 0, always"
            )
            part = experiment.recipe.networks.get(name)
            norms = [] if part is None else [value for value in choices(part, "norm") if value != "batch"]
            instead = f", or norm: {' or '.join(norms)}" if norms else ""
            instead = f"train.batch_size of at least two rows (or packs){instead}"
            refusals.append(Diagnostic(f"network {name}", why, instead))
    return refusals


def check_precision(experiment: Experiment) -> None:
    """Warn of bfloat16 on a device that only imitates it."""
    device = experiment.processes.device
    if experiment.recipe.train.precision == "bfloat16" and not computes_bfloat16(device):
        named = "CPU" if device.type == "cpu" else torch.cuda.get_device_name(device)
        why = f"this {named} has no units for it and imitates it, which may take many times as long as float32"
        experiment.warn("train.precision bfloat16", why, "--set train.precision=float32")


def _normalises_single_numbers(module: nn.Module, interface: Any) -> bool:
    """Whether a BatchNorm of a network sees one number a channel in a row.

    Found by running a copy of it on the meta device.
    """
    found: list[bool] = []
    twin = on_meta(module)
    for layer in twin.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.register_forward_pre_hook(lambda layer, args: found.append(args[0].shape[2:].numel() == 1))
    dtype = next((p.dtype for p in twin.parameters() if p.is_floating_point()), None)
    # of a network that does not run on shapes alone we know nothing
    with contextlib.suppress(RuntimeError), torch.no_grad():
        twin(*interface.example(1, dtype=dtype))
    return any(found)
