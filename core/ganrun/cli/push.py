"""``ganrun push``: a run to the hub of Hugging Face."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ganrun.cli.loading import load_torch
from ganrun.cli.sharing import Checkpoint, Licence, Plugins, WithTrainingState, about, asked_licence


def command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")],
    name: Annotated[str, typer.Argument(metavar="USER/NAME", help="What it is called on the hub.")],
    licence: Licence = None,
    private: Annotated[bool, typer.Option("--private", help="A new model is seen by you alone.")] = False,
    with_training_state: WithTrainingState = False,
    checkpoint: Checkpoint = "last",
    plugin: Plugins = None,
) -> None:
    """Push a run to the hub: weights of sampling, recipe, versions, scores, a picture, and a card made of them.

    Needs a token: `hf auth login`, or HF_TOKEN. HF_ENDPOINT names another hub.
    """
    from ganrun.training.hub import split_name

    repo, _ = split_name(name)
    given = asked_licence(licence)
    load_torch()
    from ganrun.cli.plugins import catalog_with
    from ganrun.inference.push import push
    from ganrun.inference.sharing import prepared

    wanted = {"checkpoint_name": checkpoint, "training_state": with_training_state, "licence": given, "name": repo}
    with prepared(run, catalog_with(plugin), **wanted) as shared:
        said = about(shared)
        address, unchanged = push(shared, repo, private=private)
    print(f"{address}{' has this already' if unchanged else ''} ({said})")
    if not unchanged:
        print(f"open it with: ganrun sample hf://{repo}")
