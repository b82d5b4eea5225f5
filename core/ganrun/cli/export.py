"""``ganrun export``: a trained network as a file that runs without ganrun."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ganrun.cli.loading import load_torch
from ganrun.cli.output import RUN_HELP


def command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help=RUN_HELP)],
    to: Annotated[list[str], typer.Option("--to", metavar="FORMAT", help="onnx, pt2 or safetensors. Can be repeated.")],
    network: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Which network, such as encoder; the one that makes the samples by default. Can be repeated.",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Where the files go; RUN/export by default.")
    ] = None,
    checkpoint: Annotated[str, typer.Option(metavar="WHICH", help="last, best or a step.")] = "last",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files of an earlier export.")] = False,
    plugin: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A plugin file that the run used. Can be repeated.")
    ] = None,
) -> None:
    """Write a trained network as a file that runs without ganrun, with the weights that sampling uses.

    Each file is run, and compared with ganrun on 64 inputs, before it is there.
    """
    load_torch()
    from ganrun.catalog.attribution import plugins_noted
    from ganrun.cli.plugins import catalog_with
    from ganrun.inference.export import export, opened
    from ganrun.inference.sampling_network import made_by
    from ganrun.training.located import place_for

    with plugins_noted():
        trained = opened(run, checkpoint, catalog_with(plugin))
    names = list(dict.fromkeys(network or [made_by(trained)]))
    folder = output or place_for(run, "export")
    for done in export(trained, names, list(dict.fromkeys(to)), folder, overwrite=overwrite):
        free = "rows" + (f", height and width (multiples of {done.of.multiple})" if done.of.any_size else "")
        print(
            f"{', '.join(map(str, done.files))}: {done.network} of step {trained.step}, "
            f"{done.bytes:,} bytes; free: {free}; largest difference from ganrun on 64 inputs {done.difference:.1e}"
        )
        if done.of.of_batch:
            print("  it normalises by the rows that it is given together, as `ganrun sample` does for this run")
