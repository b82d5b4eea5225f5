"""The softmax loss: a softmax over the whole batch says which of its samples are the real ones.

Paper: Lin, "Softmax GAN" (2017). The paper's discriminator gives energies mu; here l = -mu, so that larger is more
real. B+ are the real samples of a batch, B- the fakes, B all of them, and P(x) = e^l(x) / Z:

    log Z         = log of the sum of e^l over B
    discriminator: log Z - mean of l over B+,  the cross-entropy of P with the uniform distribution on the real samples
    generator:     log Z - mean of l over B,   the cross-entropy of P with the uniform distribution on all samples

A generator at its best has log |B|: all samples weigh alike. Only differences of logits matter, and every value
depends on the whole batch. A patch map has a softmax over the batch at each of its places.

Differences from well-known code: Z is taken by logsumexp, which neither overflows nor vanishes (public code adds 1e-8
to Z). In bfloat16 the sums are taken in float32.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ganrun.plugin import Component, Reason, Round, Stream, hookimpl


class Softmax:
    """Cross-entropy of a softmax over the batch, with the real samples (discriminator) or with all (generator)."""

    provides = frozenset({"batch-coupled", "logit:relative"})
    real_in_generator = True
    warns = {
        "accumulated": Reason(
            "Z sums over the samples of one micro-batch, so accumulated gradients are not those of the whole batch",
            "a larger batch_size without accumulate",
        ),
        "several-processes": Reason(
            "Z sums over the samples of one process, so the averaged gradient is not that of the whole batch",
            "one process",
        ),
    }

    def discriminator(self, round: Round) -> dict[Stream, Tensor]:
        """Real stream -> log Z - l, (B, ...)."""
        return shares(round.streams, round.of("real"))

    def generator(self, round: Round) -> dict[Stream, Tensor]:
        """Stream, real or fake -> log Z - l, times the share of its rows in all, (B, ...).

        The means sum to log Z - mean of l.
        """
        return shares(round.streams, round.streams)


def shares(streams: Sequence[Stream], aims: Sequence[Stream]) -> dict[Stream, Tensor]:
    """Of -log P, whose mean over the rows of all ``aims`` is wanted, what each of them adds to it."""
    logits = {s: s.logits.to(torch.promote_types(s.logits.dtype, torch.float32)) for s in streams}
    log_z = torch.cat(list(logits.values())).logsumexp(0)  # (sum of B, ...) -> (...)
    rows = sum(s.logits.shape[0] for s in aims)
    return {s: (s.logits.shape[0] / rows) * (log_z - logits[s]) for s in aims}  # (B, ...)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("loss", "softmax", Softmax)
