"""DCGAN: the original game with convolutional networks and the settings that made it train.

Paper: Radford, Metz and Chintala, "Unsupervised Representation Learning with Deep Convolutional GANs" (2015), section
4: Adam with rate 2e-4 and first beta 0.5, weights from N(0, 0.02). Batch 64 and normal latents as in pytorch/examples
(paper: 128, uniform). As there, real and fake samples go through the discriminator as separate batches, and the
generator learns from the same fakes that the discriminator has just seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from ganrun.plugin import Component, hookimpl
from ganrun_plugins.variants.gan import GAN

ADAM = {"adam": {"lr": 2e-4, "betas": [0.5, 0.999]}}
INIT = {"scheme": "normal", "gain": 0.02}


class DCGAN(GAN):
    """The game of ``gan`` between convolutional networks, on images."""

    defaults: ClassVar[dict[str, Any]] = {
        "generator": "dcgan",
        "discriminator": "dcgan",
        "loss": "non-saturating",
        "sampler": "normal",
        "players": {"discriminator": {"optimizer": ADAM, "init": INIT}, "generator": {"optimizer": ADAM, "init": INIT}},
        # the same mathematics, and faster: see benchmarks/RESULTS.md
        "train": {"batch_size": 64, "channels_last": True},
    }


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("variant", "dcgan", DCGAN)
