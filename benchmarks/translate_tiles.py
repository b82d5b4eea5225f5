"""Pictures translated whole and in tiles: how far apart they are, how long it takes, and how much memory.

    python benchmarks/translate_tiles.py [--steps 100] [--side 1024] [--tile 256] [--overlap 32]

Trains small networks for a moment (weights that are used, not good ones), then translates one photograph of
scikit-image, scaled to `side`, in a process of its own each time.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

RECIPES: dict[str, dict[str, Any]] = {
    "resnet-translator, instance norm": {
        "variant": "cyclegan",
        "dataset": {"restyled-digits": {"size": 32}},
        "generator": {"resnet-translator": {"blocks": 3, "width": 16}},
        "discriminator": {"patchgan": {"layers": 1, "width": 8}},
    },
    "resnet-translator, batch norm": {
        "variant": "cyclegan",
        "dataset": {"restyled-digits": {"size": 32}},
        "generator": {"resnet-translator": {"blocks": 3, "width": 16, "norm": "batch"}},
        "discriminator": {"patchgan": {"layers": 1, "width": 8}},
        "train": {"batch_size": 4},
    },
    "unet, batch norm": {
        "variant": {"pix2pix": {"dropout_at_test": False}},
        "dataset": {"paired-digits": {"size": 32}},
        "generator": {"unet": {"width": 16}},
        "discriminator": {"patchgan": {"layers": 1, "width": 8, "norm": "batch"}},
        "train": {"batch_size": 4},
    },
    "srresnet, factor 4": {
        "variant": {"srgan": {"pretraining": "100%"}},
        "dataset": {"super-resolution-digits": {"size": 32, "factor": 4}},
        "generator": {"srresnet": {"blocks": 4, "width": 16}},
        "discriminator": {"srgan": {"width": 8, "dense": 16}},
    },
}


def train(folder: Path, steps: int) -> None:
    """A run of each recipe."""
    import ganrun

    for number, recipe in enumerate(RECIPES.values()):
        train = {"device": "cpu", "steps": steps, "threads": 2, **recipe.get("train", {})}
        ganrun.run(
            {**recipe, "train": train, "without": ["progress", "samples", "health"]}, output=folder / str(number)
        )


def translate(run: Path, side: int, tile: int | None, overlap: int, kept: Path) -> dict[str, float]:
    """Translate the photograph, and keep what was made."""
    import numpy as np
    import torch
    from PIL import Image
    from skimage import data

    import ganrun
    from ganrun.inference.any_size import Tiles, own_size, statistics_of, translated

    picture = Image.fromarray(data.camera()).resize((side, side), Image.Resampling.BICUBIC)
    x = torch.from_numpy(np.asarray(picture)).float()[None] / 127.5 - 1
    trained = ganrun.load(run)
    statistics, _ = statistics_of(trained, None)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    made = translated(
        trained,
        x,
        trained.direction(),
        ask={},
        statistics=statistics,
        seed=0,
        multiple=own_size(trained) or 1,
        tiles=None if tile is None else Tiles(tile, overlap),
    )
    seconds = time.perf_counter() - start
    torch.save(made, kept)
    return {"seconds": seconds, "memory": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--tile", type=int, default=256)
    parser.add_argument("--overlap", type=int, default=32)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        run, how, kept = given.one
        tile = None if how == "whole" else given.tile
        print(json.dumps(translate(Path(run), given.side, tile, given.overlap, Path(kept))))
        return
    import torch

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        train(folder, given.steps)
        print("| network | mean difference | largest | spread of the whole | seconds whole, tiles | MB whole, tiles |")
        print("|---|---|---|---|---|---|")
        for number, network in enumerate(RECIPES):
            told = {}
            for how in ("whole", "tiles"):
                words = ["--one", str(folder / str(number)), how, str(folder / f"{how}.pt")]
                sizes = ["--side", str(given.side), "--tile", str(given.tile), "--overlap", str(given.overlap)]
                done = subprocess.run(
                    [sys.executable, __file__, *words, *sizes], capture_output=True, text=True, check=True
                )
                told[how] = json.loads(done.stdout.splitlines()[-1])
            whole, tiles = (torch.load(folder / f"{how}.pt", weights_only=True) for how in ("whole", "tiles"))
            apart = (whole - tiles).abs() / 2
            seconds, memory = (f"{told['whole'][key]:.1f}, {told['tiles'][key]:.1f}" for key in ("seconds", "memory"))
            print(
                f"| {network} | {apart.mean():.2%} | {apart.max():.1%} | {whole.std() / 2:.1%} | {seconds} | {memory} |"
            )


if __name__ == "__main__":
    main()
