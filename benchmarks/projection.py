"""Held-out digits projected into a trained generator, beside the nearest training scan: is the way back found?

    python benchmarks/projection.py [--digits 50] [--steps 3000] [--seed 0]

Trains `dcgan_digits` (or takes the run that is there), projects test scans, and compares the mean absolute difference
of pixels, in parts of the range, with that of the training scan nearest to each (by pixels), and of the nearest of as
many samples as there are training scans.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

import ganrun
from ganrun.catalog.catalog import Catalog
from ganrun.data.reader import read_items
from ganrun.evaluation.features import context_of
from ganrun.inference.project import Projector
from ganrun.recipe import load_part


def nearest(targets: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference of each target (n, ...) to the nearest of others (m, ...) by squares, of the range."""
    found = torch.cdist(targets.flatten(1), others.flatten(1)).argmin(1)
    return (targets - others[found]).abs().flatten(1).mean(1) / 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--digits", type=int, default=50)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    folder = Path(f"runs/projection-{given.steps}-{given.seed}")
    if not (folder / "checkpoints").is_dir():
        changes = {"train.steps": given.steps, "train.seed": given.seed, "without": ["frechet-distance"]}
        ganrun.run("dcgan_digits", changes, folder)
    trained = ganrun.load(folder)
    test, train = (torch.cat([b["x"] for b in read_items(trained.dataset(split))]) for split in ("test", "train"))
    targets = test[: given.digits]
    part = load_part("random-conv", "features", catalog=Catalog(), origin="benchmark")
    features = part.make(context_of(trained.experiment, "x"))
    for name, compared in (("pixels and maps", features), ("pixels alone", None)):
        projector = Projector(trained, compared)
        found = torch.tensor([projector.project(x, name=f"digit {n}").pixels / 2 for n, x in enumerate(targets)])
        print(f"projected, {name}: {found.mean():.4f} +- {found.std() / len(found) ** 0.5:.4f}")
    samples = trained.sample(len(train))
    for name, others in (("nearest training scan", train), (f"nearest of {len(train)} samples", samples)):
        near = nearest(targets, others)
        print(f"{name}: {near.mean():.4f} +- {near.std() / len(near) ** 0.5:.4f}")


if __name__ == "__main__":
    main()
