"""Gradient penalty: between real samples and fakes the discriminator's slope is pulled to norm 1.

Papers: Gulrajani et al., "Improved Training of Wasserstein GANs" (2017), equation 3; ``one_sided: true`` is LP of
Petzka et al., "On the regularization of Wasserstein GANs" (2017). With x' = x + e (G(z) - x), e from U(0, 1) for each
sample:

    GP: weight * E (|grad D(x')| - target)^2          LP: weight * E max(0, |grad D(x')| - target)^2

One e and one norm over all channels and pixels a sample. x' is not augmented, and what else the discriminator is given
is the real sample's. A pack has one norm; each of its samples has an e of its own.

Differences from well-known code: a norm of zero has a finite gradient without a small number under the root. A common
PyTorch version draws one e a batch, or takes the norm over channels alone; both are other penalties.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Reason, Role, Round, Scheduled, Turn, hookimpl
from ganrun_plugins.tricks._penalty import BATCH_STATISTICS, CLIPPED, LAZY, Every, Penalty, between, norms

NOTHING_TO_DO = Reason(
    "the steepest discriminator that clipping leaves may be flatter than the target: then the penalty is 0",
    "one of the two",
)


class GradientPenalty(Penalty):
    """Penalises norms of slopes on lines between real samples and fakes that are not the target, or exceed it."""

    label: ClassVar[str] = "gradient-penalty"
    sees: ClassVar[frozenset[Role]] = frozenset({"real", "fake"})
    strength: ClassVar[str] = "weight"
    remedies: ClassVar[frozenset[str]] = frozenset(
        {"saturated-discriminator", "vanishing-gradient", "exploding", "mode-collapse"}
    )
    provides = frozenset({"slope-bounded", "gradient-penalised"})

    def __init__(
        self,
        *,
        weight: Annotated[Scheduled, Field(ge=0, description="factor of the penalty")] = Scheduled(10.0),
        target: Annotated[Scheduled, Field(ge=0, description="the norm that slopes are pulled to")] = Scheduled(1.0),
        one_sided: Annotated[bool, Field(description="penalise only norms above the target (LP)")] = False,
        every: Every = 1,
    ) -> None:
        super().__init__(weight, every)
        self.target = target
        self.one_sided = one_sided
        if one_sided:
            self.warns = {"clipped": NOTHING_TO_DO}
        else:
            self.refuses = {**BATCH_STATISTICS, "clipped": CLIPPED}
        if every > 1:
            self.warns = {**self.warns, "game": LAZY}

    def penalty(self, turn: Turn, round: Round) -> Tensor:
        excess = norms(between(turn, round, self.label)) - turn.now(self.target)  # (rows,)
        return (excess.clamp(min=0) if self.one_sided else excess).square().mean()


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "gradient-penalty", GradientPenalty)
