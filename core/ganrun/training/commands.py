"""Commands that messages suggest."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ganrun.training.run import Run


def resume_command(run: Run) -> str:
    """The command that continues a run, uninstalled plugins included.

    Of several machines it is the first one's line; the others' differ in ``--node_rank``.
    """
    origins = [run.catalog.provenance(part.kind, part.name).get("file") for part in run.experiment.parts()]
    plugins = [word for file in dict.fromkeys(origins) if file for word in ("--plugin", file)]
    world = run.processes.world
    here = int(os.environ.get("LOCAL_WORLD_SIZE", world))  # set by torchrun: the processes of one machine
    machines = ["--nnodes", str(world // here), "--nproc_per_node", str(here), "--node_rank", "0"]
    machines += ["--master_addr", os.environ.get("MASTER_ADDR", "localhost")]
    several = machines if here < world else ["--nproc_per_node", str(world)]
    start = ["ganrun"] if world == 1 else ["torchrun", *several, "-m", "ganrun"]
    words = [*start, "recipe", str(run.folder), "--resume", *plugins]
    prefix = "ACCELERATE_USE_CPU=true " if world > 1 and run.processes.device.type == "cpu" else ""
    return prefix + shlex.join(words)
