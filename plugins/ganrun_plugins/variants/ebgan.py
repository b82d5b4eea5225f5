"""EBGAN-PT: an autoencoder's error as energy, a margin, and fakes whose codes are pulled away from each other.

Paper: Zhao, Mathieu and LeCun, "Energy-based Generative Adversarial Network" (2016). The loss ``ebgan`` (energy of real
samples, hinge of fakes' energies at a margin) against the discriminator ``autoencoder`` with squared errors, and the
repelling term of section 2.4 with weight 0.1; ``without: [pulling-away]`` is the paper's EBGAN.

That generator, initialisation, optimisers and batch are DCGAN's is our choice, and so is the margin. An energy is a
mean over pixels here, so that the loss's margin of 1 is not to be compared with margins of summed errors: those are
larger by the number of pixels. Differences from well-known code: the hinge is taken of each sample, and the cosines are
those of codes (not of pixels), squared.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from ganrun.plugin import Component, hookimpl
from ganrun_plugins.variants._dcgan import DCGAN_DEFAULTS
from ganrun_plugins.variants._game import OneGame


class EBGAN(OneGame):
    """DCGAN's generator against an autoencoder."""

    defaults: ClassVar[dict[str, Any]] = {
        **DCGAN_DEFAULTS,
        "discriminator": {"autoencoder": {"error": "squared"}},
        "loss": {"ebgan": {"margin": 1.0}},
        "tricks": [{"pulling-away": {"weight": 0.1}}],
    }


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("variant", "ebgan", EBGAN)
