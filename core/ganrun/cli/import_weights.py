"""``ganrun import-weights``: networks trained with the reference code, as a run to sample, evaluate or start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ganrun.errors import UserError


def command(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="A file, or the name of a shipped recipe: the networks to fill.")
    ],
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="NETWORK=FILE...", help="generator_ab=latest_net_G_A.pth, a file of weights for each network."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="The new run's folder.")],
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a value of the recipe. Can be repeated."),
    ] = None,
    plugin: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A plugin file that is not installed. Can be repeated.")
    ] = None,
) -> None:
    """Import networks trained with reference code.

    State dicts of CycleGAN, pix2pix, StarGAN or DCGAN fill the networks of a recipe. The result is a run at step 0 to
    sample, translate or evaluate, or to name under a recipe's `init:` and train further.
    """
    from ganrun.api import open_recipe
    from ganrun.catalog.catalog import Catalog
    from ganrun.inference.import_weights import import_weights

    named: dict[str, Path] = {}
    for text in files:
        network, _, file = text.partition("=")
        if not network or not file:
            raise UserError(f"{text}: expected NETWORK=FILE, such as generator=latest_net_G.pth")
        if network in named:
            raise UserError(f"{text}: {network} has a file already, {named[network]}; give one for each network")
        named[network] = Path(file)
    catalog = Catalog(modules=plugin or ())
    run = import_weights(open_recipe(recipe, catalog, list(changes or ())), catalog, named, output)
    left = [name for name in run.experiment.modules if name not in named]
    print(f"{output}: {', '.join(named)} from files" + (f"; {', '.join(left)} as initialised" if left else ""))
