"""Log-ratio loss: cross-entropy for the discriminator; the generator minimises log(fake density / real density).

Papers: Sønderby et al., "Amortised MAP Inference for Image Super-resolution" (2017); Srivastava et al., "VEEGAN:
Reducing Mode Collapse in GANs using Implicit Variational Learning" (2017), algorithm 1. With l the logit and
D = sigmoid(l):

    discriminator: t softplus(-l) + (1 - t) softplus(l),  t = 1 for real, 0 for fake
    generator:     log(1 - D) - log D = -l

The best discriminator's logit is log p(x) / q(x), p the density of the data and q that of the fakes, so the generator
minimises the mean of log q / p over its samples: an estimate of KL(q || p). Its value is the sum of those of
``minimax`` and ``non-saturating``. Its slope is -1 everywhere: it neither fades where the discriminator is sure nor
where it is fooled.

Difference from well-known code: VEEGAN writes its discriminator for the opposite sign (fakes have the label 1) and
minimises +D.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from ganrun.plugin import Component, Round, Stream, hookimpl
from ganrun_plugins.losses._cross_entropy import cross_entropy


class LogRatio:
    """Cross-entropy against targets for the discriminator; the generator minimises minus the logit."""

    provides = frozenset({"targets", "per-sample-generator", "logit:signed", "logit:probability"})
    real_in_generator = False

    def targets(self, role: str) -> float:
        """1 for real samples, 0 for fakes: the probability that a sample is real."""
        return 1.0 if role == "real" else 0.0

    def discriminator(self, round: Round) -> dict[Stream, Tensor]:
        """Stream -> cross-entropy per logit, (B, ...)."""
        return {s: cross_entropy(s) for s in round.streams}

    def generator(self, round: Round) -> dict[Stream, Tensor]:
        """Fake stream -> -l, (B, ...)."""
        return {s: -s.logits for s in round.of("fake")}


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("loss", "log-ratio", LogRatio)
