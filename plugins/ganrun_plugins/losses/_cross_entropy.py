"""What losses on probabilities share: the cross-entropy of a stream's logits against its targets."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ganrun.plugin import Stream


def cross_entropy(stream: Stream) -> Tensor:
    """Of a stream's targets, relative to its logits' sigmoid: softplus(l) - t l, (B, ...)."""
    assert stream.target is not None, "the engine fills in the targets"
    return F.binary_cross_entropy_with_logits(stream.logits, stream.target, reduction="none")
