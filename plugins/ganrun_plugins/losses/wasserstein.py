"""The Wasserstein loss: a critic's mean on real samples against its mean on fakes.

Paper: Arjovsky et al., "Wasserstein GAN" (2017), equations 2 and 3, algorithm 1. With l the critic's output:

    critic:    -l on real samples, +l on fakes
    generator: -l on fakes

Over critics whose slope is at most 1 the best value of the critic's loss is minus the Wasserstein-1 distance. The loss does
not bound the slope: that is the work of a trick, such as ``weight-clipping``, ``gradient-penalty`` or ``spectral-norm``. Without one
the loss of a critic falls for ever.

Only differences of outputs matter, so that the critic's mean may wander off. ``drift`` adds drift * l^2 on real samples
(Karras et al., "Progressive Growing of GANs" (2018), appendix A.1, with 0.001); the paper has none.

Differences from well-known code: the authors' script swaps the signs (its critic is low on real samples).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field
from torch import Tensor

from ganrun.game import Round, Stream
from ganrun.hookspecs import Component, hookimpl
from ganrun.schedule import Scheduled


class Wasserstein:
    """Differences of a critic's means."""

    provides = frozenset({"per-sample-generator", "logit:unbounded"})
    real_in_generator = False

    def __init__(
        self, *, drift: Annotated[Scheduled, Field(ge=0, description="weight of the squared output on real samples")] = Scheduled(0.0)
    ) -> None:
        self.drift = Scheduled(drift)

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
