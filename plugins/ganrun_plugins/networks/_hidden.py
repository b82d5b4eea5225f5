"""How generators of this folder offer hidden layers: activations under the names of the modules that made them."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


def names_of(sequence: nn.Sequential, *kinds: type[nn.Module]) -> tuple[str, ...]:
    """The names of a sequence's layers of these kinds.

    Asked for in a constructor, so that names stay when a trick puts other layers in their place.
    """
    return tuple(name for name, layer in sequence.named_children() if isinstance(layer, kinds))


def through(sequence: nn.Sequential, x: Tensor, names: Sequence[str], prefix: str, hidden: dict[str, Tensor]) -> Tensor:
    """What a sequence makes of x; what its layers of these names make is added to ``hidden``, as ``PREFIX.NAME``."""
    for name, layer in sequence.named_children():
        x = layer(x)
        if name in names:
            hidden[f"{prefix}.{name}"] = x
    return x
