"""The Wasserstein loss: the discriminator's mean on real samples against its mean on fakes.

Paper: Arjovsky et al., "Wasserstein GAN" (2017), equations 2 and 3, algorithm 1; the paper calls the discriminator a
critic, because its logit l is no probability:

    discriminator: -l on real samples, +l on fakes
    generator:     -l on fakes

Over discriminators whose slope is at most 1 the best value of their loss is minus the Wasserstein-1 distance. The loss
does not bound the slope: that is the work of a trick, such as ``weight-clipping``, ``gradient-penalty`` or
``spectral-norm``.

Only differences of logits matter, so their mean may wander off. ``drift`` adds drift * l^2 on real samples
(Karras et al., "Progressive Growing of GANs" (2018), appendix A.1, with 0.001); the paper has none.

Differences from well-known code: the authors' script swaps the signs (its logits are low on real samples).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Reason, Round, Scheduled, Stream, hookimpl


class Wasserstein:
    """Differences of mean logits."""

    provides = frozenset({"per-sample-generator", "logit:unbounded"})
    wants: ClassVar[dict[str, Reason]] = {
        "slope-bounded": Reason(
            "the discriminator's loss is a distance only if its slopes are bounded; nothing bounds them here, "
            "so it falls without limit",
            "a trick such as gradient-penalty, spectral-norm or weight-clipping",
        )
    }
    real_in_generator = False

    def __init__(
        self,
        *,
        drift: Annotated[Scheduled, Field(ge=0, description="weight of the squared logit on real samples")] = Scheduled(
            0.0
        ),
    ) -> None:
        self.drift = drift

    def discriminator(self, round: Round) -> dict[Stream, Tensor]:
        """Stream -> -l on real samples, l on fakes, (B, ...)."""
        drift = round.now(self.drift)
        return {s: drift * s.logits.square() - s.logits if s.role == "real" else s.logits for s in round.streams}

    def generator(self, round: Round) -> dict[Stream, Tensor]:
        """Fake stream -> -l, (B, ...)."""
        return {s: -s.logits for s in round.of("fake")}


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("loss", "wasserstein", Wasserstein)
