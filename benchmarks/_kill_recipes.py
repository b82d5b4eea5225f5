"""The small recipes of kill.py: what is hard to resume, a few steps of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

WATCHED = [
    {"metrics-log": {"every": 1}},
    {"samples": {"every": 3, "count": 4, "rows": 2}},
    {"health": {"every": 2, "samples": 16}},
]


def train(steps: int, batch_size: int, **more: Any) -> dict[str, Any]:
    """The section ``train``."""
    return {"steps": steps, "batch_size": batch_size, "seed": 3, "device": "cpu", "threads": 1, **more}


def dcgan(*tricks: Any, steps: int = 8, **more: Any) -> dict[str, Any]:
    """A DCGAN on digits of 16 x 16."""
    return {
        "variant": {"dcgan": {"latent": 16}},
        "dataset": {"digits": {"size": 16}},
        "generator": {"dcgan": {"width": 4}},
        "discriminator": {"dcgan": {"width": 4, "norm": "none"}},
        "players": {"generator": {"init": {"scheme": "orthogonal", "gain": 1.0}}},
        "tricks": list(tricks),
        "train": train(steps, 8),
        **more,
    }


SCORE = [{"frechet-distance": {"features": "pixels", "every": 3, "samples": 64}}]
SMALL: dict[str, dict[str, Any]] = {
    "ada, replay buffer, R1": dcgan(
        {"ada": {"target": 0.6, "kimg": 0.1, "interval": 1, "start": 0.3}},
        {"replay-buffer": {"size": 12}},
        {"r1": {"gamma": 1.0, "every": 2}},
        evaluators=SCORE,
    ),
    "ema beside health": dcgan({"ema": {"decay": 0.9}}),
    "strip and tensorboard": {
        "variant": {"gan": {"latent": 4}},
        "dataset": {"digits": {"size": 8}},
        "observers": [
            *WATCHED,
            {"strip": {"at": ["2 steps", "5 steps", "7 steps"], "rows": 2}},
            {"tensorboard": {"every": 1}},
        ],
        "train": train(8, 8),
    },
    "began": {
        "variant": {"began": {"latent": 8}},
        "dataset": {"digits": {"size": 16}},
        "generator": {"began": {"width": 4}},
        "discriminator": {"began": {"width": 4, "code": 4}},
        "evaluators": SCORE,
        "train": train(8, 8),
    },
    "progan": {
        "variant": {"progan": {"latent": 8, "stage": 2, "fade": 2}},
        "dataset": {"digits": {"size": 16}},
        "generator": {"progan": {"base": 64, "widest": 8}},
        "discriminator": {"progan": {"base": 64, "widest": 8}},
        "train": train(10, 8),
    },
    "wgan, 5 updates": {
        "variant": {"wgan": {"latent": 4, "warm_up": 1}},
        "dataset": "ring",
        "generator": {"mlp": {"widths": [16]}},
        "discriminator": {"mlp": {"widths": [16]}},
        "players": {"discriminator": {"updates": 5}},
        "evaluators": [{"mode-coverage": {"every": 3, "samples": 64}}],
        "train": train(8, 16),
    },
    "infogan, accumulate 2": {
        "variant": {"infogan": {"latent": 8}},
        "dataset": {"digits": {"size": 16}},
        "generator": {"infogan": {"width": 4}},
        "discriminator": {"infogan": {"width": 4}},
        "tricks": [{"generator-dropout": {"p": 0.2}}, {"label-flipping": {"p": 0.1}}],
        "train": train(6, 8, accumulate=2),
    },
    "cyclegan": {
        "variant": "cyclegan",
        "dataset": {"restyled-digits": {"size": 8}},
        "generator": {"resnet-translator": {"blocks": 1, "width": 4}},
        "discriminator": {"patchgan": {"layers": 1, "width": 4}},
        "tricks": [{"replay-buffer": {"size": 5}}],
        "evaluators": ["hidden-pairs"],
        "train": train(6, 4),
    },
    "2 processes": dcgan({"ema": {"decay": 0.9}}, {"r1": {"gamma": 1.0, "every": 2}}, evaluators=SCORE),
}


def recipes(pictures: Path) -> dict[str, dict[str, Any]]:
    """Name -> recipe. pictures: a folder that is given 24 pictures for the recipe with workers."""
    folder = {"root": str(_pictures(pictures)), "size": 16, "channels": 1, "test_fraction": 0.25, "in_memory": False}
    reads = dcgan(dataset={"image-folder": folder}, train=train(8, 4, workers=2))
    return {name: common(recipe) for name, recipe in {**SMALL, "2 workers": reads}.items()}


def common(recipe: dict[str, Any]) -> dict[str, Any]:
    """A recipe with the observers that write in many steps, and a checkpoint after every second."""
    return {"observers": WATCHED, "without": ["progress"], "checkpoint": {"every": 2, "keep": 1000}, **recipe}


def _pictures(folder: Path) -> Path:
    """Write 24 grey pictures of 16 x 16, each of another brightness."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(24):
        Image.new("L", (16, 16), 10 * number).save(folder / f"{number:02d}.png")
    return folder
