"""Makes the weights that ``features: classifier`` uses for digits: ``python benchmarks/train_digits_classifier.py``.

It trains on the train half of the data set ``digits`` alone, on two cores in about two minutes, with a fixed seed, and
prints the accuracy on the held-out half: as they are, inverted, and restyled. Each image is turned, sheared, scaled,
moved, thickened, inverted and blurred at random, so that one network serves digits in other styles, too.

The weights that are shipped were made when seeds still drew other numbers (commit 0166519): new ones differ a little.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from ganrun_plugins import _classifier_network as networks
from ganrun_plugins.datasets._scans import NAMES, SUBJECT, load_scans, resized
from ganrun_plugins.features.classifier import SHIPPED

SIDE = 32
SEED = 0


def restyled(x: Tensor, generator: torch.Generator) -> Tensor:
    """Digits (B, 1, S, S) in [-1, 1], each drawn in a style of its own."""
    n = len(x)

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(n, generator=generator) * (high - low) + low

    angle, shear = uniform(-0.2, 0.2), uniform(-0.35, 0.35)
    across, down = uniform(0.85, 1.2), uniform(0.85, 1.2)
    cos, sin = torch.cos(angle), torch.sin(angle)
    move = 2 * 3 / SIDE  # three pixels, in the units of affine_grid
    top = torch.stack([across * cos, across * (shear * cos - sin), uniform(-move, move)], 1)
    bottom = torch.stack([down * sin, down * (shear * sin + cos), uniform(-move, move)], 1)
    grid = F.affine_grid(torch.stack([top, bottom], 1), list(x.shape), align_corners=False)  # (B, S, S, 2)
    x = F.grid_sample(x, grid, padding_mode="border", align_corners=False)
    style = uniform(0, 1)[:, None, None, None]
    thick = F.max_pool2d(x, 3, 1, 1)
    x = torch.where(style < 0.2, thick, x)
    x = torch.where((style >= 0.2) & (style < 0.35), F.max_pool2d(thick, 3, 1, 1), x)
    x = torch.where((style >= 0.35) & (style < 0.5), F.avg_pool2d(F.pad(x, (1,) * 4, mode="replicate"), 3, 1), x)
    x = x * torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)[:, None, None, None]
    noise = uniform(0, 0.15)[:, None, None, None] * torch.randn(x.shape, generator=generator)
    return (x + noise).clamp(-1, 1)


def accuracy(network: torch.nn.Module, x: Tensor, label: Tensor) -> float:
    """The share of images (N, 1, S, S) in [-1, 1] that are recognised."""
    with torch.no_grad():
        return (network(networks.resized(x, SIDE)).argmax(1) == label).double().mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=SHIPPED / "digits.safetensors")
    parser.add_argument("--steps", type=int, default=1000)
    arguments = parser.parse_args()
    scans, label = load_scans("train")
    network = networks.new_network(1, len(NAMES), SEED)
    networks.fit(
        network,
        resized(scans, SIDE),
        label,
        steps=arguments.steps,
        seed=SEED,
        augment=restyled,
        report=lambda step: print(f"step {step} of {arguments.steps}", flush=True) if step % 250 == 0 else None,
    )
    metadata = {
        "subject": SUBJECT,
        "side": str(SIDE),
        "channels": "1",
        "classes": ",".join(NAMES),
        "architecture": networks.ARCHITECTURE,
    }
    networks.save(network, arguments.output, metadata)
    print(f"{arguments.output}: {arguments.output.stat().st_size} bytes")
    scans, label = load_scans("test")
    x = networks.to_float(resized(scans, SIDE))
    tilt = torch.tensor([[1.0, math.tan(math.radians(15)), 0], [0, 1, 0]]).expand(len(x), 2, 3)
    sheared = F.grid_sample(
        x, F.affine_grid(tilt, list(x.shape), align_corners=False), padding_mode="border", align_corners=False
    )
    for name, pictures in {
        "as they are": x,
        "inverted": -x,
        "sheared, thick, inverted": -F.max_pool2d(sheared, 3, 1, 1),
    }.items():
        print(f"held-out half, {name}: {accuracy(network, pictures, label):.4f}")
    for size in (8, 16, 64):
        print(
            f"held-out half at {size} x {size}: {accuracy(network, networks.to_float(resized(scans, size)), label):.4f}"
        )


if __name__ == "__main__":
    main()
