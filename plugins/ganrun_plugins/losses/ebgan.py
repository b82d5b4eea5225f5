"""The energy-based loss: real samples get a low energy, fakes one above a margin.

Paper: Zhao, Mathieu and LeCun, "Energy-based Generative Adversarial Network" (2016), equations 1 and 2. With E the
energy that the discriminator, an autoencoder, gives a sample and m the margin:

    discriminator: E on real samples, max(0, m - E) on fakes
    generator:     E on fakes

At the equilibrium the fakes' distribution is that of the data, and the discriminator's value is m. The paper's
repelling term is the trick ``pulling-away``.

``margin`` is in the units of the energy. The ``autoencoder`` of this package takes the mean error over the numbers of a
sample; with the sum, as in some code, margins are larger by as many times. Differences from well-known code: the hinge
is taken for every sample, as in the paper, and not of the batch's mean energy, under which a few good fakes hide the
others.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Reason, Round, Scheduled, Stream, hookimpl


class EBGAN:
    """A hinge on the energies of fakes."""

    provides = frozenset({"per-sample-generator", "logit:energy"})
    needs: ClassVar[dict[str, Reason]] = {
        "discriminator:energy": Reason(
            "it pushes the logits of real samples down without limit unless they are energies, which are at least 0",
            "discriminator: autoencoder",
        )
    }
    real_in_generator = False

    def __init__(
        self,
        *,
        margin: Annotated[Scheduled, Field(gt=0, description="energy from which on a fake is bad enough")] = Scheduled(
            1.0
        ),
    ) -> None:
        self.margin = margin

    def score(self, round: Round, logits: Tensor) -> Tensor:
        """Minus the energy, (B, ...)."""
        return -logits

    def discriminator(self, round: Round) -> dict[Stream, Tensor]:
        """Stream -> energy of real samples, what fakes' energies lack of the margin, (B, ...)."""
        margin = round.now(self.margin)
        return {s: s.logits if s.role == "real" else F.relu(margin - s.logits) for s in round.streams}

    def generator(self, round: Round) -> dict[Stream, Tensor]:
        """Fake stream -> energy, (B, ...)."""
        return {s: s.logits for s in round.of("fake")}


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("loss", "ebgan", EBGAN)
