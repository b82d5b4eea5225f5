"""Consistency: the discriminator is to score a real sample and a transformed copy of it alike (CR).

Paper: Zhang et al., "Consistency Regularization for Generative Adversarial Networks" (2019), section 2.2, algorithm 1.
On the discriminator's side, with D(x) the logits and T a random transformation that keeps what a sample means:

    + weight * E (D(x) - D(T x))^2,  x real;  weight 10

Both calls have a gradient. The second one leaves buffers alone (BatchNorm statistics, vectors of spectral
normalisation). Of vector logits it is the squared norm, of patches the mean.

T of images is a horizontal flip and a shift of up to an eighth of each side. For points and latents, which the paper
does not treat, T adds normal noise of standard deviation ``sigma``. If the recipe augments (diff-augment, ada), D(x) is
already the score of T x, and it is compared with D of the sample as it is, as public code does.

Differences from well-known code: pixels that a shift moves in are 0, where some code reflects the image.
``heads: true`` adds the squared distances of the extra heads, as StudioGAN does for class logits.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field

from ganrun.plugin import Component, Reason, Scheduled, hookimpl
from ganrun_plugins.tricks._consistency import ConsistencyTerms, Flip, Heads, Shift, Sigma, Transform


class Consistency(ConsistencyTerms):
    """Adds the squared difference of the logits of real samples and of their transformed copies."""

    provides: ClassVar[frozenset[str]] = frozenset({"consistency"})
    refuses: ClassVar[dict[str, Reason]] = {
        "balanced-consistency": Reason(
            "the balanced form contains this term: real samples would be counted twice, "
            "and its balance with the fakes is lost",
            "one of the two forms of consistency",
        )
    }

    def __init__(
        self,
        *,
        weight: Annotated[Scheduled, Field(ge=0, description="weight of the squared difference")] = Scheduled(10.0),
        flip: Flip = True,
        shift: Shift = Scheduled(0.125),
        sigma: Sigma = Scheduled(0.05),
        heads: Heads = False,
    ) -> None:
        super().__init__({"consistency": ("real", [weight])}, Transform(flip, shift, sigma), heads)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "consistency", Consistency)
