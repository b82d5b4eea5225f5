"""README's picture: real held-out digits beside samples of a run.

.venv/bin/python benchmarks/readme_picture.py runs/dcgan_digits docs/digits.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import ganrun
from ganrun.data.image_grid import grid, joined, save
from ganrun.data.order import permutation
from ganrun.data.reader import normalised
from ganrun.words.spaces import DataFiles
from ganrun_plugins.datasets.digits import Digits

COUNT = 64


def main(run: str, picture: str) -> None:
    held_out = normalised(Digits(DataFiles(Path(), Path()), "test").tensors, "cpu")["x"]  # (898, 1, 32, 32)
    real = held_out[permutation(len(held_out), "picture")[:COUNT]]
    save(joined([grid(real), grid(ganrun.load(run).sample(COUNT, seed=0))]), Path(picture))


if __name__ == "__main__":
    main(*sys.argv[1:])
