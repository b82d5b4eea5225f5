"""DCGAN's settings, shared by the variants that change one thing about it."""

from __future__ import annotations

from typing import Any

ADAM = {"adam": {"lr": 2e-4, "betas": [0.5, 0.999]}}
INIT = {"scheme": "normal", "gain": 0.02}
DCGAN_DEFAULTS: dict[str, Any] = {
    "generator": "dcgan",
    "discriminator": "dcgan",
    "loss": "non-saturating",
    "sampler": "normal",
    "players": {"discriminator": {"optimizer": ADAM, "init": INIT}, "generator": {"optimizer": ADAM, "init": INIT}},
    # the same mathematics, and faster: see benchmarks/RESULTS.md
    "train": {"batch_size": 64, "channels_last": True},
}
