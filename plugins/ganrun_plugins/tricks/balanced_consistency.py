"""Balanced consistency: the discriminator says the same of a sample and of its transformed copy, real or fake (bCR).

Paper: Zhao et al., "Improved Consistency Regularization for GANs" (2020), section 3.1, algorithm 1. On the
discriminator's side, with D(x) the logits and T a random transformation:

    + weight * (real * E (D(x) - D(T x))^2 + fake * E (D(G(z)) - D(T G(z)))^2);  real = fake = 10

Consistency on real samples alone lets marks of T appear on fakes without being noticed; this form closes that way. The
fakes are those the discriminator is shown (older ones, if the recipe has a replay buffer).

T, the comparison under an augmentation, vector logits and ``heads`` are as in trick consistency: images are mirrored
and shifted, points and latents get normal noise; neither branch is cut, no buffer changes. ``weight`` scales both
terms.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field

from ganrun.plugin import Component, Experiment, Reason, Scheduled, Turn, hookimpl
from ganrun_plugins.tricks._consistency import ALONE, DETERMINISTIC, NEEDS_A_GAME, Transform, consistency, is_augmented


class BalancedConsistency:
    """Adds the squared differences of the logits of real samples, of fakes, and of transformed copies of both."""

    strength: ClassVar[str] = "weight"
    remedies: ClassVar[frozenset[str]] = frozenset({"overfitting-discriminator", "saturated-discriminator"})
    provides: ClassVar[frozenset[str]] = frozenset({"balanced-consistency"})
    needs: ClassVar[dict[str, Reason]] = {"game": NEEDS_A_GAME}
    refuses: ClassVar[dict[str, Reason]] = {
        "consistency": Reason(
            "this form contains the other's term: real samples would be counted twice, "
            "and the balance with the fakes is lost",
            "one of the two forms of consistency",
        )
    }
    warns: ClassVar[dict[str, Reason]] = {"discriminator:dropout": DETERMINISTIC, "joint-batches": ALONE}

    def __init__(
        self,
        *,
        weight: Annotated[Scheduled, Field(ge=0, description="factor of both terms")] = Scheduled(1.0),
        real: Annotated[
            Scheduled, Field(ge=0, description="weight of the squared difference on real samples")
        ] = Scheduled(10.0),
        fake: Annotated[Scheduled, Field(ge=0, description="weight of the squared difference on fakes")] = Scheduled(
            10.0
        ),
        flip: Annotated[bool, Field(description="whether images are mirrored, with probability 1/2")] = True,
        shift: Annotated[
            Scheduled, Field(ge=0, lt=1, description="largest shift of images, as a share of each side")
        ] = Scheduled(0.125),
        sigma: Annotated[
            Scheduled, Field(ge=0, description="standard deviation of the noise on points and latents")
        ] = Scheduled(0.05),
        heads: Annotated[bool, Field(description="whether the discriminator's extra heads are compared, too")] = False,
    ) -> None:
        self.weight, self.real, self.fake = weight, real, fake
        self.transform = Transform(flip, shift, sigma)
        self.heads = heads
        self.augmented = False

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        self.augmented = is_augmented(experiment)

    @hookimpl
    def losses(self, turn: Turn) -> None:
        for round in turn.rounds:
            if round.side == "discriminator":
                real = consistency(turn, round, "real", self.transform, augmented=self.augmented, heads=self.heads)
                fake = consistency(turn, round, "fake", self.transform, augmented=self.augmented, heads=self.heads)
                turn.add(f"{round.game.name}.consistency_real", real, turn.now(self.weight) * turn.now(self.real))
                turn.add(f"{round.game.name}.consistency_fake", fake, turn.now(self.weight) * turn.now(self.fake))


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "balanced-consistency", BalancedConsistency)
