"""R3GAN: the relativistic loss of pairs, two zero-centred penalties, plain residual networks, cosine schedules.

Paper: Huang, Gokaslan, Kuleshov and Tompkin, "The GAN is dead; long live the GAN! A Modern Baseline GAN" (2024). The
discriminator minimises

    softplus(-(D(x) - D(G(z)))) + gamma/2 |grad D(x)|^2 + gamma/2 |grad D(G(z))|^2

in every step, the generator softplus(-(D(G(z)) - D(x))) with real samples and latents of its own turn. Over the run
(the authors name a number of images), along half a cosine each: Adam's rate from 2e-4 to 5e-5, its second beta from 0.9
to 0.99 (the first is 0), gamma from 0.05 to 0.005. These are the CIFAR-10 settings. gamma belongs to a resolution: 2 to
0.2 for FFHQ at 64 pixels, 150 to 15 at 256, 0.5 to 0.05 for ImageNet at 32, 1 to 0.1 at 64; one that is too small for
its resolution lets the discriminator explode.

Samples come from averaged weights, whose half-life grows along the same cosine from 0 to 5 million images (FFHQ: 0.5
million, ImageNet: 50 million). A short run never sees as many, and would still hold its first weights: so the half-life
is also kept below 0.3 of the updates so far, a choice of ours that never binds in a run of 20 million images. The
authors augment with a probability p that grows to 0.55 (FFHQ: 0.3 at 64 pixels, 0.5 at 256 and ImageNet at 32; ImageNet
at 64: 0.4), changing colours half as often, and with cutout:

    ada: {target: null, limit: {cosine: [0, 0.55]},
          shares: {brightness: 0.5, contrast: 0.5, luma: 0.5, hue: 0.5, saturation: 0.5, cutout: 1}}

which the recipe ``r3gan_cifar10`` has and this variant, for all kinds of data, has not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from ganrun.plugin import Component, hookimpl
from ganrun_plugins.variants._fresh import Fresh
from ganrun_plugins.variants._game import First, Latent

AVERAGE = {"decay": 1.0, "half_life": {"cosine": [0.0, 5e6]}, "warmup": 0.3}  # images, share of the updates so far
GAMMA = {"cosine": [0.05, 0.005]}
ADAM = {"adam": {"lr": {"cosine": [2e-4, 5e-5]}, "betas": [0.0, {"cosine": [0.9, 0.99]}]}}


class R3GAN(Fresh):
    """The game of ``gan`` with fresh latents in every turn."""

    defaults: ClassVar[dict[str, Any]] = {
        "generator": "r3gan",
        "discriminator": "r3gan",
        "loss": "relativistic",
        "sampler": "normal",
        "tricks": [{"r1": {"gamma": GAMMA}}, {"r2": {"gamma": GAMMA}}, {"ema": AVERAGE}],
        "players": {"discriminator": {"optimizer": ADAM}, "generator": {"optimizer": ADAM}},
        "train": {"batch_size": 512},
    }

    def __init__(self, *, latent: Latent = 64, first: First = "discriminator") -> None:
        super().__init__(latent=latent, first=first)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("variant", "r3gan", R3GAN)
