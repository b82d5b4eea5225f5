"""Tiny recipes of the basic variants, and the weights that a run of one ends with."""

import torch

QUIET = ["progress", "samples", "metrics-log", "health", "checkpoints"]


def recipe_of(variant: str, *, tricks=(), steps: int = 4, without=(), **train) -> dict:
    """A tiny recipe of each variant, without observers."""
    parts = {
        "gan": {
            "dataset": {"ring": {"count": 256}},
            "generator": {"mlp": {"widths": [8, 8]}},
            "discriminator": {"mlp": {"widths": [8]}},
        },
        "dcgan": {
            "dataset": {"digits": {"size": 8}},
            "generator": {"dcgan": {"width": 4}},
            "discriminator": {"dcgan": {"width": 4}},
        },
        "cyclegan": {
            "dataset": {"restyled-digits": {"size": 8}},
            "generator": {"resnet-translator": {"blocks": 1, "width": 2}},
            "discriminator": {"patchgan": {"width": 2, "layers": 1}},
        },
    }
    parts["lsgan"] = parts["dcgan"]
    settings = {"steps": steps, "batch_size": 4, "device": "cpu", **train}
    return {
        "variant": variant,
        **parts[variant],
        "tricks": list(tricks),
        "without": [*QUIET, *without],
        "train": settings,
    }


def weights(run) -> dict[str, torch.Tensor]:
    return {
        f"{name}.{key}": value.clone()
        for name, module in run.experiment.modules.items()
        for key, value in module.state_dict().items()
    }


def trained(make_run, recipe: dict):
    run = make_run(recipe)
    for step in range(recipe["train"]["steps"]):
        run.engine.step(step)
    return run
