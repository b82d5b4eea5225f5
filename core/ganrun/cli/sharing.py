"""What the commands that share a run have in common."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ganrun.cli.output import complain, counted
from ganrun.errors import UserError

if TYPE_CHECKING:
    from ganrun.inference.sharing import Shared

Licence = Annotated[
    str | None,
    typer.Option(
        "--license",
        "--licence",
        metavar="NAME",
        help="The licence of the weights, as the hub writes it: apache-2.0, mit, cc-by-4.0, cc-by-nc-4.0, other, ...",
    ),
]
WithTrainingState = Annotated[
    bool,
    typer.Option(
        "--with-training-state",
        help="Share all of the checkpoint, so that training can go on; not sampling's weights alone.",
    ),
]
Checkpoint = Annotated[str, typer.Option(metavar="WHICH", help="last, best or a step.")]
Plugins = Annotated[
    list[Path] | None,
    typer.Option("--plugin", metavar="FILE", help="A plugin file that the run used. Can be repeated."),
]


def asked_licence(given: str | None) -> str:
    """The licence that was given, or what is answered on a terminal. Raises UserError where nobody can be asked."""
    if given is None and sys.stdin.isatty():
        given = str(
            typer.prompt("Licence of the weights (apache-2.0, mit, cc-by-4.0, cc-by-nc-4.0, other, ...)")
        ).strip()
    if not given:
        raise UserError(
            "say under which licence others may use the weights: --license cc-by-4.0, apache-2.0, other, ..."
        )
    return given


def about(shared: Shared) -> str:
    """What is in it, in a line; and on stderr, what a recipe tells of this machine."""
    for path in shared.paths:
        complain(f"warning: recipe.yaml is shared as it is, and names a place on this machine: {path}")
    found = [f"step {shared.step}", f"{counted(shared.scores, 'evaluator')} with scores"]
    if shared.left_out:
        found.append(f"without {', '.join(shared.left_out)}")
    if not shared.picture:
        found.append("without a picture of samples, as there is none in the run")
    return "; ".join(found)
