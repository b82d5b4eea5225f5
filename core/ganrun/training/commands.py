"""Commands that messages suggest."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ganrun.training.run import Run


def resume_command(run: Run) -> str:
    """The command that continues a run, uninstalled plugins included."""
    origins = [run.catalog.provenance(part.kind, part.name).get("file") for part in run.experiment.parts()]
    plugins = [word for file in dict.fromkeys(origins) if file for word in ("--plugin", file)]
    world = run.processes.world
    start = ["ganrun"] if world == 1 else ["torchrun", "--nproc_per_node", str(world), "-m", "ganrun"]
    words = [*start, "recipe", str(run.folder), "--resume", *plugins]
    prefix = "ACCELERATE_USE_CPU=true " if world > 1 and run.processes.device.type == "cpu" else ""
    return prefix + shlex.join(words)
