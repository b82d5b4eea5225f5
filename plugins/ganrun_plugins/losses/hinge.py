"""The hinge loss: the discriminator learns only from samples that are not yet on their side of a margin.

Papers: Lim and Ye, "Geometric GAN" (2017), section 3; Tran et al., "Hierarchical Implicit Models and Likelihood-Free
Variational Inference" (2017). Made known by Miyato et al., "Spectral Normalization for Generative Adversarial Networks"
(2018), equations 16 and 17. With l the logit:

    discriminator: max(0, 1 - l) on real samples, max(0, 1 + l) on fakes
    generator:     -l on fakes

The optimal logit is 1 where real samples are more frequent and -1 where fakes are, so the best value is
2 - 2 TV(p_data, p_g) with TV the total variation. The generator has no margin: it would lose its gradient exactly where
it plays well.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch.nn.functional as F
from torch import Tensor

from ganrun.plugin import Component, Round, Stream, hookimpl


class Hinge:
    """Logits beyond the margin of 1 have no gradient on the discriminator's side."""

    provides = frozenset({"per-sample-generator", "logit:signed"})
    real_in_generator = False

    def discriminator(self, round: Round) -> dict[Stream, Tensor]:
        """Stream -> how far its logits fall short of the margin, (B, ...); never below 0."""
        return {s: F.relu(1 - s.logits if s.role == "real" else 1 + s.logits) for s in round.streams}

    def generator(self, round: Round) -> dict[Stream, Tensor]:
        """Fake stream -> -l, (B, ...)."""
        return {s: -s.logits for s in round.of("fake")}


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("loss", "hinge", Hinge)
