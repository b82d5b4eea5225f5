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
from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Role, Round, Scheduled, Turn, hookimpl
from ganrun_plugins.tricks._penalty import PULLS_APART, Every, Penalty, slopes, squares


class R1(Penalty):
    """Penalises squared slopes at real samples."""

    label: ClassVar[str] = "r1"
    sees: ClassVar[frozenset[Role]] = frozenset({"real"})
    strength: ClassVar[str] = "gamma"
    remedies: ClassVar[frozenset[str]] = frozenset(
        {"oscillation", "saturated-discriminator", "exploding", "overfitting-discriminator"}
    )
    warns = PULLS_APART

    def __init__(
        self,
        *,
        gamma: Annotated[Scheduled, Field(ge=0, description="twice the factor of the squared slope")] = Scheduled(10.0),
        augmented: Annotated[
            bool, Field(description="take the gradient through the augmentation that the loss sees")
        ] = True,
        every: Every = 1,
    ) -> None:
        super().__init__(gamma, every)
        self.through = ("augment", "pack") if augmented else ("pack",)

    def penalty(self, turn: Turn, round: Round) -> Tensor:
        real = round.of("real")[0]
        return squares(slopes(turn, round, real.x, real.given, role="real", through=self.through)).mean() / 2


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "r1", R1)
