"""A root that can be differentiated twice through zeros: for optimisers whose steps are differentiated."""

from __future__ import annotations

import torch
from torch import Tensor


def safe_root(square: Tensor) -> Tensor:
    """The square root of numbers >= 0, with a gradient of 0 at 0, where the root's own is infinite."""
    positive = square > 0
    return torch.where(positive, torch.where(positive, square, 1.0).sqrt(), 0.0)
