"""Trains recipes one after the other and keeps what each ends with: ``trains_each.py RECIPES.json FOLDER``.

RECIPES.json maps a name to a recipe. The main process writes ``FOLDER/NAME.pt``: the tensors of all networks, what was
warned of, and whether a network has dropout; or the message of the error.
"""

import json
import sys
from pathlib import Path

import torch

from ganrun.catalog.catalog import Catalog
from ganrun.experiment.capabilities import traits
from ganrun.recipe import load_recipe
from ganrun.training.run import Run


def end_of(recipe):
    """What a recipe ends with, as the first lines say."""
    try:
        run = Run(load_recipe(recipe, catalog=Catalog()), Catalog())
        for step in range(run.steps):
            run.engine.step(step)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    modules = run.experiment.modules.items()
    with run.processes.averaged_buffers(module for _, module in modules):
        tensors = {f"{name}.{key}": x.clone() for name, module in modules for key, x in module.state_dict().items()}
    dropout = any("dropout" in traits(module.modules()) for _, module in modules)
    return {"tensors": tensors, "dropout": dropout, "warnings": [str(found) for found in run.experiment.warnings]}


def main():
    recipes, folder = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    torch.set_num_threads(1)
    for name, recipe in recipes.items():
        found = end_of(recipe)
        if not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0:
            torch.save(found, folder / f"{name}.pt")


if __name__ == "__main__":
    main()
