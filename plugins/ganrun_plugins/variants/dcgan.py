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
from ganrun_plugins.variants._dcgan import DCGAN_DEFAULTS
from ganrun_plugins.variants._game import OneGame


class DCGAN(OneGame):
    """The game of ``gan`` between convolutional networks, on images."""

    defaults: ClassVar[dict[str, Any]] = DCGAN_DEFAULTS


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("variant", "dcgan", DCGAN)
