"""R2: the discriminator's slope at fakes is pulled to zero.

Paper: Mescheder et al., "Which Training Methods for GANs do actually Converge?" (2018), section 4.1:

    gamma / 2 * E |grad D(x)|^2 over fakes x

It is a term of the discriminator alone: no gradient reaches the generator. The fakes are those that the discriminator
learns from, older ones of a replay buffer included. The gradient is that at the image before augmentation, taken
through it (R3GAN); ``augmented: false`` shows the discriminator the fake itself. Noise on its inputs is left out.

Differences from well-known code: the authors' GAN_stability lacks the 1/2, so that its weight of 10 is gamma: 20 here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from ganrun.plugin import Component, Role, hookimpl
from ganrun_plugins.tricks._penalty import AtSamples


class R2(AtSamples):
    """Penalises squared slopes at fakes."""

    label: ClassVar[str] = "r2"
    sees: ClassVar[frozenset[Role]] = frozenset({"fake"})
    remedies: ClassVar[frozenset[str]] = frozenset(
        {"oscillation", "saturated-discriminator", "exploding", "mode-collapse"}
    )


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "r2", R2)
