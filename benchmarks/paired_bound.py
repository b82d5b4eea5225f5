"""What the restyled digits allow: the generator of `cyclegan_restyled_digits`, trained on the true pairs instead.

    .venv/bin/python benchmarks/paired_bound.py [--seeds 0 1 2] [--steps 4000]

Same network, data, batch, optimiser and number of steps as the recipe, but each direction minimises the L1 distance to
the true counterpart of its input, which CycleGAN never sees. Prints the evaluator's errors on the test split.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import mean, stdev

import torch
from torch import Tensor
from torch.nn import functional as F

from ganrun.catalog.catalog import Catalog
from ganrun.data.reader import normalised
from ganrun.randomness import Draws
from ganrun.recipe import find_recipe, load_recipe
from ganrun.training.run import Run
from ganrun.words.spaces import DataFiles
from ganrun_plugins.evaluators.hidden_pairs import errors

QUIET = {"without": ["progress", "samples", "metrics-log", "health", "checkpoints"], "evaluators": []}


def train(seed: int, steps: int, catalog: Catalog) -> dict[str, float]:
    """Train both generators of the recipe on pairs, and score them on the test split."""
    recipe = load_recipe(
        find_recipe("cyclegan_restyled_digits"),
        catalog=catalog,
        overrides={**QUIET, "train.seed": seed, "train.steps": steps},
    )
    scores: dict[str, float] = {}
    run = Run(recipe, catalog)
    with run.experiment.settings():
        splits = {
            split: recipe.dataset.make(DataFiles(Path.cwd(), Path.cwd()), split).hidden_pairs()
            for split in ("train", "test")
        }
        data, held = (normalised(pairs, "cpu") for pairs in splits.values())
        for source, target, name in (("a", "b", "generator_ab"), ("b", "a", "generator_ba")):
            network = run.engine.modules[name].requires_grad_(True)
            optimizer = torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.5, 0.999))
            for step in range(steps):
                rows = Draws((seed, step)).integers("rows", len(data["a"]), recipe.train.batch_size)
                optimizer.zero_grad()
                F.l1_loss(network(data[source][rows]), data[target][rows]).backward()
                optimizer.step()
            with torch.no_grad():
                made: Tensor = torch.cat([network(x) for x in held[source].split(128)])
            scores |= {f"{source}-to-{target}.{kind}": value for kind, value in errors(made, held[target]).items()}
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=4000)
    options = parser.parse_args()
    found = [train(seed, options.steps, Catalog()) for seed in options.seeds]
    for name in found[0]:
        values = [scores[name] for scores in found]
        print(
            f"{name}: {mean(values):.4f} +- {stdev(values) if len(values) > 1 else 0:.4f}  "
            f"({', '.join(f'{v:.4f}' for v in values)})"
        )


if __name__ == "__main__":
    main()
