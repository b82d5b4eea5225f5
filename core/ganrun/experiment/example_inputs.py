"""Inputs of the shape that a network's interface names, to run the network once."""

from __future__ import annotations

import torch
from torch import Tensor

from ganrun.words.spaces import Interface, Space


def example_inputs(
    interface: Interface, rows: int = 2, device: str = "meta", dtype: torch.dtype | None = None
) -> tuple[Tensor, ...]:
    """Zeros that a network of this interface takes: its input, then whatever it is given, packed as it expects.

    In a pack of m samples images are joined along channels, vectors along their axis, and labels are (rows, m).
    """
    return tuple(_zeros(space, interface.pack, rows, device, dtype) for space in (interface.takes, *interface.given))


def _zeros(space: Space, pack: int, rows: int, device: str, dtype: torch.dtype | None) -> Tensor:
    if space.kind == "labels":
        shape = (rows, pack * space.size) if pack > 1 else (rows, *space.shape)
        return torch.zeros(shape, dtype=torch.long, device=device)
    first, *rest = space.shape
    return torch.zeros(rows, pack * first, *rest, dtype=dtype, device=device)
