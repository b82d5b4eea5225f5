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
from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Role, Round, Scheduled, Turn, hookimpl
from ganrun_plugins.tricks._penalty import PULLS_APART, Every, Penalty, slopes, squares


class R2(Penalty):
    """Penalises squared slopes at fakes."""

    label: ClassVar[str] = "r2"
    sees: ClassVar[frozenset[Role]] = frozenset({"fake"})
    strength: ClassVar[str] = "gamma"
    remedies: ClassVar[frozenset[str]] = frozenset(
        {"oscillation", "saturated-discriminator", "exploding", "mode-collapse"}
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
        fake = round.of("fake")[0]
        return squares(slopes(turn, round, fake.x, fake.given, role="fake", through=self.through)).mean() / 2


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "r2", R2)
