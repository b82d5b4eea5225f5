"""``ganrun pull``: a run from the hub of Hugging Face."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    name: Annotated[
        str, typer.Argument(metavar="USER/NAME", help="What it is called on the hub; @REVISION behind it.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Where it goes; runs/NAME by default.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a run that is there.")] = False,
) -> None:
    """Pull a run from the hub: `sample`, `translate`, `evaluate`, `export` and a recipe's `init` open it.

    Nothing in it is unpickled, and none of its code is run. HF_ENDPOINT names another hub, HF_TOKEN who asks.
    """
    from ganrun.training.hub import pull, split_name

    repo, _ = split_name(name)
    folder = output or Path("runs") / repo.partition("/")[2]
    revision, there = pull(name, folder, overwrite=overwrite)
    print(f"{folder}{' has it already' if there else ''}: {repo}, revision {revision[:8]}; ganrun sample {folder}")
