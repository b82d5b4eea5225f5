"""The small experiments in which plugins are tried: points, images, and translation between two sets of images.

They are recipes like any other, of plugins that come with ganrun; a step takes milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LIST_OF_KIND = {"trick": "tricks", "evaluator": "evaluators", "observer": "observers"}
SILENT = ["progress", "samples", "metrics-log", "health", "checkpoints"]
TRAIN = {"steps": 10, "batch_size": 8, "device": "cpu"}
PERCEPTRON = {"mlp": {"widths": [16, 16], "norm": "none"}}
CONVOLUTIONS = {"dcgan": {"width": 8, "norm": "none"}}

STAGES: dict[str, dict[str, Any]] = {
    "points": {
        "variant": {"gan": {"latent": 4}},
        "dataset": {"ring": {"count": 512}},
        "generator": PERCEPTRON,
        "discriminator": PERCEPTRON,
        "without": SILENT,
        "train": TRAIN,
    },
    "images": {
        "variant": {"dcgan": {"latent": 4}},
        "dataset": {"digits": {"size": 8}},
        "generator": CONVOLUTIONS,
        "discriminator": CONVOLUTIONS,
        "without": SILENT,
        "train": TRAIN,
    },
    "large images": {
        "variant": {"dcgan": {"latent": 4}},
        "dataset": {"digits": {"size": 32}},
        "generator": CONVOLUTIONS,
        "discriminator": CONVOLUTIONS,
        "without": SILENT,
        "train": TRAIN,
    },
    "translation": {
        "variant": "cyclegan",
        "dataset": {"restyled-digits": {"size": 8}},
        "generator": {"resnet-translator": {"blocks": 1, "width": 4}},
        "discriminator": {"patchgan": {"layers": 1, "width": 4}},
        "without": [*SILENT, "replay-buffer"],
        "train": TRAIN,
    },
    "large translation": {
        "variant": "cyclegan",
        "dataset": {"restyled-digits": {"size": 32}},
        "generator": {"resnet-translator": {"blocks": 1, "width": 4}},
        "discriminator": {"patchgan": {"layers": 1, "width": 4}},
        "without": [*SILENT, "replay-buffer"],
        "train": TRAIN,
    },
}
PLAYERS = ("generator", "discriminator")  # of every stage


def placed(recipe: Mapping[str, Any], kind: str, part: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe with a part in the place of its kind: added to a list, or instead of the part that was there."""
    if kind == "features":
        return placed(recipe, "evaluator", {"frechet-distance": {"features": dict(part)}})
    if kind == "optimizer":
        return {**recipe, "players": {player: {"optimizer": dict(part)} for player in PLAYERS}}
    if kind in LIST_OF_KIND:
        key = LIST_OF_KIND[kind]
        kept = {**recipe, key: [*recipe.get(key, []), dict(part)]}
        # what a stage takes off its list would be taken off again if it is what is tried
        return {**kept, "without": [name for name in recipe.get("without", []) if name not in part]}
    if kind == "variant":  # it inherits other parts than the stage's, and what is not inherited cannot be taken off
        return {**recipe, kind: dict(part), "without": SILENT} if "without" in recipe else {**recipe, kind: dict(part)}
    return {**recipe, kind: dict(part)}
