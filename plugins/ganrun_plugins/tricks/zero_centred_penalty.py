"""Zero-centred penalty: between real samples and fakes the discriminator's slope is pulled to zero.

Paper: Thanh-Tung et al., "Improving Generalization and Stability of Generative Adversarial Networks" (2019), where it
is called 0-GP. With x' = x + e (G(z) - x), e from U(0, 1) for each sample:

    weight * E |grad D(x')|^2

A discriminator that has learnt its samples by heart is flat at them and steep between them: so the slope is taken
there, while R1 and R2 take it at the samples themselves. x' is not augmented; what else the discriminator is given is
the real sample's. The default weight is that of ``gradient-penalty``; there is no factor 1/2.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Role, Round, Scheduled, Turn, hookimpl
from ganrun_plugins.tricks._penalty import PULLS_APART, Every, Penalty, between, squares


class ZeroCentredPenalty(Penalty):
    """Penalises squared slopes on lines between real samples and fakes."""

    label: ClassVar[str] = "zero-centred-penalty"
    sees: ClassVar[frozenset[Role]] = frozenset({"real", "fake"})
    strength: ClassVar[str] = "weight"
    remedies: ClassVar[frozenset[str]] = frozenset(
        {"overfitting-discriminator", "mode-collapse", "exploding", "oscillation"}
    )
    warns = PULLS_APART

    def __init__(
        self,
        *,
        weight: Annotated[Scheduled, Field(ge=0, description="factor of the penalty")] = Scheduled(10.0),
        every: Every = 1,
    ) -> None:
        super().__init__(weight, every)

    def penalty(self, turn: Turn, round: Round) -> Tensor:
        return squares(between(turn, round, self.label)).mean()


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "zero-centred-penalty", ZeroCentredPenalty)
