"""Which of vanilla and least squares, with or without BatchNorm, under Adam and RMSProp, collapse?

    python benchmarks/batch_norm.py  # 24 combinations, seeds 0 to 2, one after the other; prints a table of RESULTS.md

Mao et al., "Least Squares Generative Adversarial Networks" (2016), section 4.2, ask this of convolutional networks on
bedrooms and tell which collapse by their images. Here: DCGAN's networks of width 16 on digits of 16 x 16 pixels, and
numbers. `classes` are those that the shipped classifier reads at least 20 of 898 samples as; `kl` is that of their
shares to real ones; a generator whose samples are all one has one class.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import Any

from _runs import Line, collect, kept, of, spread, table, trained

LOSSES = {"vanilla": "non-saturating", "least squares": {"least-squares": {"coding": "zero-one"}}}
NORMS = {
    "in both": ("batch", "batch"),
    "in D alone": ("none", "batch"),
    "in G alone": ("batch", "none"),
    "in neither": ("none", "none"),
}
OPTIMIZERS: dict[str, Any] = {
    "Adam 2e-4": {"adam": {"lr": 2e-4, "betas": [0.5, 0.999]}},
    "RMSProp 2e-4": {"rmsprop": {"lr": 2e-4}},
    "RMSProp 5e-5": {"rmsprop": {"lr": 5e-5}},
}
SCORES = {
    "class-share[classifier].classes-with-20": 1,
    "class-share[classifier].kl": 2,
    "frechet-distance[classifier]": 1,
}
HEAD = [
    "loss",
    "BatchNorm",
    "optimizer",
    "classes (>= 20)",
    "KL",
    "Frechet distance [classifier]",
    "CPU minutes a seed",
]


def recipe(loss: str, norm: str, optimizer: str, steps: int) -> dict[str, Any]:
    """One combination."""
    of_generator, of_discriminator = NORMS[norm]
    player = {"optimizer": OPTIMIZERS[optimizer], "init": {"scheme": "normal", "gain": 0.02}}
    return {
        "variant": "dcgan",
        "dataset": {"digits": {"size": 16}},
        "generator": {"dcgan": {"width": 16, "norm": of_generator}},
        "discriminator": {"dcgan": {"width": 16, "norm": of_discriminator}},
        "loss": LOSSES[loss],
        "players": {"generator": player, "discriminator": player},
        "evaluators": [
            {"class-share": {"samples": 898}},
            {"frechet-distance": {"features": "classifier", "samples": 898}},
        ],
        "without": ["progress", "samples", "metrics-log", "health", "checkpoints"],
        "train": {"steps": steps, "batch_size": 64, "device": "cpu"},
    }


def train(run: Line) -> Line:
    """Train one combination with one seed. Returns its scores and the CPU minutes it took."""
    ended, minutes = trained(
        recipe(run["loss"], run["norm"], run["optimizer"], run["steps"]), [f"train.seed={run['seed']}"]
    )
    return {**{name: float(ended.scores[name]) for name in SCORES}, "cpu-minutes": minutes}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    options.add_argument("--steps", type=int, default=800)
    options.add_argument("--out", default="runs/batch_norm.jsonl")
    options.add_argument("--table", action="store_true", help="print the table of what is there, and stop")
    arguments = options.parse_args()
    out = Path(arguments.out)
    combinations = [
        dict(zip(("loss", "norm", "optimizer"), names)) for names in itertools.product(LOSSES, NORMS, OPTIMIZERS)
    ]
    runs = [{**names, "steps": arguments.steps, "seed": seed} for seed in arguments.seeds for names in combinations]
    if not arguments.table:
        collect(runs, train, out)
    lines, rows = kept(out), []
    for names in combinations:
        mine = [line for run in runs if run.items() >= names.items() and (line := of(run, lines))]
        scores = [spread([line[name] for line in mine], digits) for name, digits in SCORES.items()]
        rows.append([*names.values(), *scores, spread([line["cpu-minutes"] for line in mine], 1).partition(" ")[0]])
    print(table(HEAD, rows))


if __name__ == "__main__":
    main()
