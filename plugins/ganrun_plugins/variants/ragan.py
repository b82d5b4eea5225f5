"""RaGAN: the discriminator tells whether a sample is more real than the average of the other kind.

Paper: Jolicoeur-Martineau, "The relativistic discriminator: a key element missing from standard GAN" (2018). The loss
``relativistic-average`` in its standard form (``loss: {relativistic-average: {form: least-squares}}`` is RaLSGAN,
``hinge`` RaHingeGAN). The generator's loss holds real samples, too: a new batch of them, not the discriminator's, as in
the author's code. Adam with rate 2e-4 and betas (0.5, 0.999) and the batch of 32 are the author's for CIFAR-10; DCGAN's
networks and initialisation are our choice.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from ganrun.plugin import Component, hookimpl
from ganrun_plugins.variants._dcgan import DCGAN_DEFAULTS
from ganrun_plugins.variants._game import OneGame


class RaGAN(OneGame):
    """DCGAN with the relativistic average loss."""

    defaults: ClassVar[dict[str, Any]] = {
        **DCGAN_DEFAULTS,
        "loss": {"relativistic-average": {"form": "standard"}},
        "train": {**DCGAN_DEFAULTS["train"], "batch_size": 32},
    }


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("variant", "ragan", RaGAN)
