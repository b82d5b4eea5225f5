"""What networks would make, seen on torch's meta device, where nothing is calculated.

torch's meta device loads torch's compiler, which takes as long as loading torch: small networks run on the CPU instead.
"""

from __future__ import annotations

import contextlib
import copy
from itertools import chain
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from ganrun.words.game import Layers
from ganrun.words.spaces import Interface, Refusal

DRAWING = {"normal_", "uniform_", "trunc_normal_", "bernoulli_", "exponential_", "xavier_normal_", "kaiming_normal_"}
LIGHT = 2e10  # multiplications in a forward of one sample: a CPU is faster than torch's compiler is loaded


class NothingDrawn(TorchFunctionMode):
    """In this context no numbers are drawn for the meta device, where nothing is kept.

    torch would load its compiler for most distributions there, but draws nothing either.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in DRAWING:
            tensor = args[0] if args else kwargs["tensor"]
            if tensor.is_meta:
                return tensor
        if func in (torch.randn, torch.rand) and torch.device(kwargs.get("device") or "cpu").type == "meta":
            return torch.empty(*args, **{name: value for name, value in kwargs.items() if name != "generator"})
        return func(*args, **kwargs)


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


def output(network: nn.Module, interface: Interface, rows: int) -> Any:
    """What a network on the meta device makes of ``rows`` samples: its shapes, the numbers mean nothing."""
    with torch.no_grad():
        if _multiplications(network, interface) < LIGHT:
            tensors = chain(network.named_parameters(), network.named_buffers())
            zeros = {name: torch.zeros(tensor.shape, dtype=tensor.dtype) for name, tensor in tensors}
            with contextlib.suppress(RuntimeError):  # the meta device has the last word on what is wrong
                return torch.func.functional_call(network, zeros, interface.example(rows, device="cpu"))
        return network(*interface.example(rows))


def _multiplications(network: nn.Module, interface: Interface) -> int:
    """At most so many in a forward of one sample: every weight at every pixel of what it takes or makes."""
    images = [space for space in (interface.takes, interface.makes) if space is not None and space.kind == "image"]
    pixels = max((space.shape[1] * space.shape[2] for space in images), default=1)
    return pixels * sum(p.numel() for p in network.parameters())
