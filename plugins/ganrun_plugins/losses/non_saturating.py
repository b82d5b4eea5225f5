"""The non-saturating loss: the discriminator minimises cross-entropy, the generator -log D(G(z)).

Paper: Goodfellow et al., "Generative Adversarial Nets" (2014), section 3, last paragraph. With l the logit and
D = sigmoid(l):

    discriminator: -t log D - (1 - t) log(1 - D) = t softplus(-l) + (1 - t) softplus(l),  t = 1 for real, 0 for fake
    generator:     -log D(G(z))                  = softplus(-l)

Differences from well-known code: everything is computed on logits, so that neither side overflows or loses its
gradient (pytorch/examples takes the logarithm of a sigmoid). The discriminator's loss is the sum of its two
streams, without the factor 1/2 that some code puts before it.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch.nn.functional as F
from torch import Tensor

from ganrun.plugin import Component, Round, Stream, hookimpl
from ganrun_plugins.losses._cross_entropy import cross_entropy


class NonSaturating:
    """Cross-entropy against targets; the generator maximises log D instead of minimising log(1 - D)."""

    provides = frozenset({"targets", "per-sample-generator", "logit:signed", "logit:probability"})
    real_in_generator = False

    def targets(self, role: str) -> float:
        """1 for real samples, 0 for fakes: the probability that a sample is real."""
        return 1.0 if role == "real" else 0.0

    def discriminator(self, round: Round) -> dict[Stream, Tensor]:
        """Stream -> cross-entropy per logit, (B, ...)."""
        return {s: cross_entropy(s) for s in round.streams}

    def generator(self, round: Round) -> dict[Stream, Tensor]:
        """Fake stream -> -log D, (B, ...)."""
        return {s: -F.logsigmoid(s.logits) for s in round.of("fake")}


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("loss", "non-saturating", NonSaturating)
