"""The minimax loss: both sides play for the same value, so the generator minimises log(1 - D(G(z))).

Paper: Goodfellow et al., "Generative Adversarial Nets" (2014), equation 1. With l the logit and D = sigmoid(l):

    discriminator: -t log D - (1 - t) log(1 - D) = t softplus(-l) + (1 - t) softplus(l),  t = 1 for real, 0 for fake
    generator:     log(1 - D(G(z)))              = -softplus(l)

The generator's gradient, -sigmoid(l), vanishes where the discriminator is sure of itself; ``non-saturating`` has
the same fixed point without that. The paper trains with the latter and proves its theorems about this one.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch.nn.functional as F
from torch import Tensor

from ganrun.plugin import Component, Round, Stream, hookimpl
from ganrun_plugins.losses._cross_entropy import cross_entropy


class Minimax:
    """Cross-entropy against targets for the discriminator; the generator minimises log(1 - D)."""

    provides = frozenset({"targets", "per-sample-generator", "logit:signed", "logit:probability"})
    real_in_generator = False

    def targets(self, role: str) -> float:
        """1 for real samples, 0 for fakes: the probability that a sample is real."""
        return 1.0 if role == "real" else 0.0

    def discriminator(self, round: Round) -> dict[Stream, Tensor]:
        """Stream -> cross-entropy per logit, (B, ...)."""
        return {s: cross_entropy(s) for s in round.streams}

    def generator(self, round: Round) -> dict[Stream, Tensor]:
        """Fake stream -> log(1 - D), (B, ...); never above 0."""
        return {s: F.logsigmoid(-s.logits) for s in round.of("fake")}


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("loss", "minimax", Minimax)
