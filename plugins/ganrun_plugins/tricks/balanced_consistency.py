"""Balanced consistency: the discriminator scores a sample and its transformed copy alike, real or fake (bCR).

Paper: Zhao et al., "Improved Consistency Regularization for GANs" (2020), section 3.1, algorithm 1. On the
discriminator's side, with D(x) the logits and T a random transformation:

    + weight * (real * E (D(x) - D(T x))^2 + fake * E (D(G(z)) - D(T G(z)))^2);  real = fake = 10

Consistency on real samples alone lets marks of T appear on fakes without being noticed; this form closes that way. The
fakes are those the discriminator is shown (older ones, if the recipe has a replay buffer).

T, the comparison under an augmentation, vector logits and ``heads`` are as in trick consistency: images are mirrored
and shifted, points and latents get normal noise; neither branch is detached, no buffer changes. ``weight`` scales both
terms.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field

from ganrun.plugin import Component, Reason, Role, Scheduled, hookimpl
from ganrun_plugins.tricks._consistency import ConsistencyTerms, Flip, Heads, Shift, Sigma, Transform


class BalancedConsistency(ConsistencyTerms):
    """Adds the squared differences of the logits of real samples, of fakes, and of transformed copies of both."""

    provides: ClassVar[frozenset[str]] = frozenset({"balanced-consistency"})
    refuses: ClassVar[dict[str, Reason]] = {
        "consistency": Reason(
            "this form contains the other's term: real samples would be counted twice, "
            "and the balance with the fakes is lost",
            "one of the two forms of consistency",
        )
    }

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
        flip: Flip = True,
        shift: Shift = Scheduled(0.125),
        sigma: Sigma = Scheduled(0.05),
        heads: Heads = False,
    ) -> None:
        terms: dict[str, tuple[Role, list[Scheduled]]] = {
            "consistency_real": ("real", [weight, real]),
            "consistency_fake": ("fake", [weight, fake]),
        }
        super().__init__(terms, Transform(flip, shift, sigma), heads)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "balanced-consistency", BalancedConsistency)
