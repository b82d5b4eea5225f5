"""R1: the discriminator's slope at real samples is pulled to zero.

Paper: Mescheder et al., "Which Training Methods for GANs do actually Converge?" (2018), section 4.1:

    gamma / 2 * E |grad D(x)|^2 over real samples x

The gradient is that at the image before augmentation, taken through it, so that the slope is that of what is trained
(StyleGAN2-ADA, R3GAN); ``augmented: false`` shows the discriminator the sample itself. Noise on its inputs is left out.

Differences from well-known code: the authors' GAN_stability lacks the 1/2, so that its weight of 10 is gamma: 20 here.
StyleGAN2 pays it lazily, ``every: 16``. The squared slope is a sum over all pixels, so the gamma that works depends on
the resolution.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from ganrun.plugin import Component, Role, hookimpl
from ganrun_plugins.tricks._penalty import AtSamples


class R1(AtSamples):
    """Penalises squared slopes at real samples."""

    label: ClassVar[str] = "r1"
    sees: ClassVar[frozenset[Role]] = frozenset({"real"})
    remedies: ClassVar[frozenset[str]] = frozenset(
        {"oscillation", "saturated-discriminator", "exploding", "overfitting-discriminator"}
    )


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "r1", R1)
