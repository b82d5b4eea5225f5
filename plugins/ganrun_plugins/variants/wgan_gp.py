"""WGAN-GP: the discriminator estimates a Wasserstein distance, its slopes held at 1 by a gradient penalty.

Paper: Gulrajani et al., "Improved Training of Wasserstein GANs" (2017), with the settings of its CIFAR-10 ResNet: five
updates of the discriminator to one of the generator, each on new samples, penalty weight 10 with a point of its own for
each sample, Adam with rate 2e-4 and betas (0, 0.9), the rate falling to 0 over the run (100,000 steps there), batch 64
and twice as many fakes in the generator's turns (``generator_batch``). Networks: ``sngan-resnet`` of width 128,
mean-pooling, no normalisation in the discriminator.

Other settings of the paper: rate 1e-4, constant (algorithm 1); betas (0.5, 0.9) in its MNIST code; weight 0.1 for
points in the plane.

The authors' noise on real images, uniform in [0, 1/128], against the steps between 8-bit values, is the trick
``dequantisation``; it is for images alone, so the recipe ``wgan_gp_cifar10`` has it and this variant has not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from ganrun.plugin import Component, hookimpl
from ganrun_plugins.variants._fresh import Fresh, GeneratorBatch
from ganrun_plugins.variants._game import First, Latent

ADAM = {"adam": {"lr": {"linear": [2e-4, 0.0]}, "betas": [0.0, 0.9]}}


class WGANGP(Fresh):
    """The game of ``gan`` with fresh latents in every turn, and more of them for the generator."""

    defaults: ClassVar[dict[str, Any]] = {
        "generator": {"sngan-resnet": {"width": 128}},
        "discriminator": {"sngan-resnet": {"width": 128, "pool": "mean", "bias": True}},
        "loss": "wasserstein",
        "sampler": "normal",
        "tricks": [{"gradient-penalty": {"weight": 10.0, "target": 1.0}}],
        "players": {"discriminator": {"optimizer": ADAM, "updates": 5}, "generator": {"optimizer": ADAM}},
        "train": {"batch_size": 64},
    }

    def __init__(
        self, *, latent: Latent = 128, first: First = "discriminator", generator_batch: GeneratorBatch = 2
    ) -> None:
        super().__init__(latent=latent, first=first, generator_batch=generator_batch)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("variant", "wgan-gp", WGANGP)
