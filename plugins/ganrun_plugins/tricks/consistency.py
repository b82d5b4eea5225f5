"""Consistency: the discriminator is asked to say the same of a real sample and of a transformed copy of it (CR).

Paper: Zhang et al., "Consistency Regularization for Generative Adversarial Networks" (2019), section 2.2, algorithm 1.
On the discriminator's side, with D(x) the logits and T a random transformation that keeps what a sample means:

    + weight * E (D(x) - D(T x))^2,  x real;  weight 10

Both calls have a gradient. The second one leaves buffers alone (BatchNorm statistics, vectors of spectral
normalisation). Of vector logits it is the squared norm, of patches the mean.

T of images is a horizontal flip and a shift of up to an eighth of each side. For points and latents, of which the paper
does not speak, T adds normal noise of standard deviation ``sigma``. If the recipe augments (diff-augment, ada), D(x) is
already an opinion of T x, and it is compared with D of the sample as it is, as public code does.

Differences from well-known code: pixels that a shift moves in are 0, where some code reflects the image. ``heads:
true`` adds the squared distances of the extra heads, as StudioGAN does for class logits.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field

from ganrun.plugin import Component, Experiment, Reason, Scheduled, Turn, hookimpl
from ganrun_plugins.tricks._consistency import ALONE, DETERMINISTIC, NEEDS_A_GAME, Transform, consistency, is_augmented


class Consistency:
    """Adds the squared difference of the logits of real samples and of their transformed copies."""

    strength: ClassVar[str] = "weight"
    remedies: ClassVar[frozenset[str]] = frozenset({"overfitting-discriminator", "saturated-discriminator"})
    provides: ClassVar[frozenset[str]] = frozenset({"consistency"})
    needs: ClassVar[dict[str, Reason]] = {"game": NEEDS_A_GAME}
    refuses: ClassVar[dict[str, Reason]] = {
        "balanced-consistency": Reason(
            "the balanced form contains this term: real samples would be counted twice, "
            "and its balance with the fakes is lost",
            "one of the two forms of consistency",
        )
    }
    warns: ClassVar[dict[str, Reason]] = {"discriminator:dropout": DETERMINISTIC, "joint-batches": ALONE}

    def __init__(
        self,
        *,
        weight: Annotated[Scheduled, Field(ge=0, description="weight of the squared difference")] = Scheduled(10.0),
        flip: Annotated[bool, Field(description="whether images are mirrored, with probability 1/2")] = True,
        shift: Annotated[
            Scheduled, Field(ge=0, lt=1, description="largest shift of images, as a share of each side")
        ] = Scheduled(0.125),
        sigma: Annotated[
            Scheduled, Field(ge=0, description="standard deviation of the noise on points and latents")
        ] = Scheduled(0.05),
        heads: Annotated[bool, Field(description="whether the discriminator's extra heads are compared, too")] = False,
    ) -> None:
        self.weight = weight
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
                value = consistency(turn, round, "real", self.transform, augmented=self.augmented, heads=self.heads)
                turn.add(f"{round.game.name}.consistency", value, turn.now(self.weight))


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "consistency", Consistency)
