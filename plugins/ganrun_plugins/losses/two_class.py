"""The two-class loss: a softmax over two outputs, one for fakes and one for real samples, with cross-entropy.

Paper: Goodfellow et al., "Generative Adversarial Nets" (2014); courses and some code write its classifier with two
outputs, such as Liu and Tuzel, "Coupled Generative Adversarial Networks" (2016), whose discriminators end in a 2-way
softmax. Output 0 stands for fake, output 1 for real. With p = softmax(l_0, l_1) and t the target of a sample's being
real:

    discriminator: -t log p_1 - (1 - t) log p_0,  t = 1 for real, 0 for fake
    generator:     -log p_1 on fakes

Since p_1 = sigmoid(l_1 - l_0), this is ``non-saturating`` on the score l_1 - l_0. The sum l_0 + l_1 has no gradient.
The last layer's two rows of weights get opposite gradients, so a step of plain descent on them moves the score twice as
far.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch.nn.functional as F
from torch import Tensor

from ganrun.plugin import Component, Round, Stream, hookimpl

FAKE, REAL = 0, 1  # places on axis 1 of the logits


class TwoClass:
    """Cross-entropy of a softmax over (fake, real); the generator maximises the log-probability of real."""

    provides = frozenset({"targets", "per-sample-generator", "logit:signed", "logit:probability"})
    real_in_generator = False
    logits = 2

    def targets(self, role: str) -> float:
        """1 for real samples, 0 for fakes: the probability that a sample is real."""
        return 1.0 if role == "real" else 0.0

    def score(self, round: Round, logits: Tensor) -> Tensor:
        """(B, 2, ...) -> l_real - l_fake, (B, ...): the logit of the probability that a sample is real."""
        return logits[:, REAL] - logits[:, FAKE]

    def discriminator(self, round: Round) -> dict[Stream, Tensor]:
        """Stream -> cross-entropy with the soft labels (1 - t, t), (B, ...)."""
        values = {}
        for stream in round.streams:
            assert stream.target is not None, "the engine fills in the targets"
            log_p = F.log_softmax(stream.logits, 1)  # (B, 2, ...)
            values[stream] = -stream.target * log_p[:, REAL] - (1 - stream.target) * log_p[:, FAKE]  # (B, ...)
        return values

    def generator(self, round: Round) -> dict[Stream, Tensor]:
        """Fake stream -> -log p_real, (B, ...)."""
        return {s: -F.log_softmax(s.logits, 1)[:, REAL] for s in round.of("fake")}


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("loss", "two-class", TwoClass)
