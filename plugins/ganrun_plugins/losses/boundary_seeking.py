"""The boundary-seeking loss: the generator aims at the discriminator's decision boundary, not beyond it.

Paper: Hjelm et al., "Boundary-Seeking Generative Adversarial Networks" (2017), section on continuous variables. With l
the logit and D = sigmoid(l):

    discriminator: -t log D - (1 - t) log(1 - D) = t softplus(-l) + (1 - t) softplus(l),  t = 1 for real, 0 for fake
    generator:     (log D - log(1 - D))^2 / 2 = l^2 / 2 on fakes

At the optimal discriminator l = log(p_data / p_g), so the generator's loss is 0 exactly where the densities agree. A
fake that is taken for real with certainty is pushed back towards the boundary as hard as one that is detected.

Differences from well-known code: the square is taken of the logit itself; code that takes logarithms of a sigmoid is
infinite once the sigmoid rounds to 0 or 1. The paper's other form, importance weights for discrete samples, is not
this.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from ganrun.plugin import Component, Round, Stream, hookimpl
from ganrun_plugins.losses._cross_entropy import cross_entropy


class BoundarySeeking:
    """Cross-entropy against targets for the discriminator; the generator minimises half the squared logit."""

    provides = frozenset({"targets", "per-sample-generator", "logit:signed", "logit:probability"})
    real_in_generator = False

    def targets(self, role: str) -> float:
        """1 for real samples, 0 for fakes: the probability that a sample is real."""
        return 1.0 if role == "real" else 0.0

    def discriminator(self, round: Round) -> dict[Stream, Tensor]:
        """Stream -> cross-entropy per logit, (B, ...)."""
        return {s: cross_entropy(s) for s in round.streams}

    def generator(self, round: Round) -> dict[Stream, Tensor]:
        """Fake stream -> half the squared logit, (B, ...)."""
        return {s: s.logits.square() / 2 for s in round.of("fake")}


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("loss", "boundary-seeking", BoundarySeeking)
