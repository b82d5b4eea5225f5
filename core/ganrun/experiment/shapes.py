"""What networks would make, seen on torch's meta device, where nothing is calculated."""

from __future__ import annotations

import copy

import torch
from torch import nn

from ganrun.words.game import Layers
from ganrun.words.spaces import Interface, Refusal


def on_meta(network: nn.Module) -> nn.Module:
    """A copy of a network on torch's meta device, in evaluation mode: running it shows shapes and changes nothing."""
    return copy.deepcopy(network).to("meta").eval()


def hidden_shapes(network: nn.Module, interface: Interface) -> dict[str, tuple[int, ...]]:
    """Name of each hidden layer of a generator on the meta device -> its shape without the batch axis.

    Raises Refusal for a network that offers no hidden layers, or does not run on shapes alone.
    """
    if "layers" not in getattr(network, "provides", ()):
        raise Refusal(f"{type(network).__name__} offers no hidden layers", "a generator that provides `layers`")
    dtype = next((p.dtype for p in network.parameters() if p.is_floating_point()), None)
    try:
        with torch.no_grad():
            found: Layers = network(*interface.example(dtype=dtype), layers=True)
    except RuntimeError as error:
        why = f"{type(network).__name__} does not run on shapes alone: {' '.join(str(error).split())}"
        raise Refusal(why, "choose a network, or parameters of it, that fit the data") from error
    return {name: tuple(layer.shape[1:]) for name, layer in found.hidden.items()}
