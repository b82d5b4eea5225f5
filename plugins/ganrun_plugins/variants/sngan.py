"""SNGAN: a hinge loss and a discriminator whose weights are divided by their largest singular values.

Paper: Miyato, Kataoka, Koyama and Yoshida, "Spectral Normalization for Generative Adversarial Networks" (2018), with
the settings of its CIFAR-10 ResNet: ``sngan-resnet`` networks, one power iteration a forward, five updates of the
discriminator to one of the generator, Adam with rate 2e-4 and betas (0, 0.9), the rate falling to 0 from the first step
on (over 50,000), batch 64 and twice as many fakes in the generator's turns (``generator_batch``). As in the authors'
code the generator moves first in each step, so that its first move is against an untrained discriminator, and every
turn draws latents of its own.

The authors' noise on real images, uniform in [0, 1/128], against the steps between 8-bit values, is the trick
``dequantisation``; it is for images alone, so the recipe ``sngan_cifar10`` has it and this variant has not.

Difference: power iterations are torch's, with 15 of them before the first forward; the authors start from a random
vector.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from ganrun.plugin import Component, hookimpl
from ganrun_plugins.variants._fresh import Fresh, GeneratorBatch
from ganrun_plugins.variants._game import First, Latent

ADAM = {"adam": {"lr": {"linear": [2e-4, 0.0]}, "betas": [0.0, 0.9]}}


class SNGAN(Fresh):
    """The game of ``gan``, the generator first, with fresh latents in every turn and more of them for the generator."""

    defaults: ClassVar[dict[str, Any]] = {
        "generator": {"sngan-resnet": {"width": 256}},
        "discriminator": {"sngan-resnet": {"width": 128, "pool": "sum", "bias": False}},
        "loss": "hinge",
        "sampler": "normal",
        "tricks": [{"spectral-norm": {"iterations": 1}}],
        "players": {"discriminator": {"optimizer": ADAM, "updates": 5}, "generator": {"optimizer": ADAM}},
        "train": {"batch_size": 64},
    }

    def __init__(
        self, *, latent: Latent = 128, first: First = "generator", generator_batch: GeneratorBatch = 2
    ) -> None:
        super().__init__(latent=latent, first=first, generator_batch=generator_batch)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("variant", "sngan", SNGAN)
