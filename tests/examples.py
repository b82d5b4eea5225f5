"""What built-in plugins need in order to be tried, where their defaults do not do: parameters, and the recipe around them."""

from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image

from ganrun.testing import Example
from ganrun_plugins.features.dinov2 import VisionTransformer

SMALL_TRANSLATION = {
    "generator": {"resnet-translator": {"blocks": 1, "width": 4}},
    "discriminator": {"patchgan": {"layers": 1, "width": 4}},
    "dataset": {"restyled-digits": {"size": 8}},
}


def pictures(folder: Path, *names: str, count: int = 12) -> None:
    """Folders of small pictures of noise, all different."""
    noise = np.random.default_rng(0)
    for name in names:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            Image.fromarray(noise.integers(0, 256, (12, 12, 3), dtype=np.uint8)).save(folder / name / f"{number}.png")


def image_folder(folder: Path) -> Example:
    pictures(folder, "one", "two")
    networks = {"mlp": {"widths": [16], "norm": "none"}}
    return Example({"root": str(folder), "size": 8}, {"generator": networks, "discriminator": networks})


def unpaired_folders(folder: Path) -> Example:
    pictures(folder, "trainA", "trainB", "testA", "testB")
    return Example({"root": str(folder), "size": 8, "load_size": 10}, {k: v for k, v in SMALL_TRANSLATION.items() if k != "dataset"})


def torchvision_weights(folder: Path) -> Example:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(torchvision.models.shufflenet_v2_x0_5().state_dict(), folder / "weights.pth")
    return Example({"model": "shufflenet_v2_x0_5", "weights": str(folder / "weights.pth"), "resize": 72, "crop": 64})


def dinov2_weights(folder: Path) -> Example:
    """Two blocks of 128 numbers, with positions for 4 patches."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(VisionTransformer(128, 2, 14, 5, 256, False).state_dict(), folder / "weights.pth")
    return Example({"weights": str(folder / "weights.pth"), "side": 42})


BATCH_NORMS = {player: {"mlp": {"widths": [16, 16], "norm": "batch"}} for player in ("generator", "discriminator")}
SMALL_AUTOENCODER = {"width": 4, "widths": [16], "code": 8}
ENERGY = {"discriminator": {"autoencoder": SMALL_AUTOENCODER}}

EXAMPLES = {
    "dataset.horse2zebra": unpaired_folders,
    "dataset.image-folder": image_folder,
    "dataset.unpaired-folders": unpaired_folders,
    "discriminator.autoencoder": Example(SMALL_AUTOENCODER),
    "discriminator.patchgan": Example({"layers": 1, "width": 8}),
    "features.dinov2": dinov2_weights,
    "features.torchvision": torchvision_weights,
    "generator.resnet-translator": Example({"blocks": 1, "width": 8}),
    "loss.began": Example({}, ENERGY),
    "loss.ebgan": Example({}, ENERGY),
    "loss.magan": Example({"pretrain": 1}, ENERGY),
    "observer.health": Example({"every": 2, "samples": 8}),
    "observer.tracker": Example({"name": "tensorboard"}),
    "trick.ada": Example({"kimg": 0.1, "start": 0.5}),
    "trick.gradient-clipping": Example({"max_norm": 0.05}),
    "trick.lecam": Example({"start": 2}),
    "trick.loss-balance": Example({}, {"tricks": ["historical-averaging"]}),  # a second term
    "trick.norm-swap": Example({"of": "any"}, BATCH_NORMS),
    "trick.top-k": Example({"gamma": 0.7}, {"dataset": {"ring": {"count": 32}}}),  # an epoch of 4 steps
    "trick.virtual-batch-norm": Example({}, BATCH_NORMS),
    "variant.cyclegan": Example({}, SMALL_TRANSLATION),
}
