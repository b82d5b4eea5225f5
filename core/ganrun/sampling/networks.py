"""Networks as samples are made with them: with other tensors than their own, and as plain modules to take along."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils import parametrize


class WithTensors(nn.Module):
    """A network that runs with other tensors than its own: its parameters and buffers by name."""

    def __init__(self, network: nn.Module, tensors: dict[str, Tensor]) -> None:
        super().__init__()
        self.network = network
        self.tensors = tensors

    def forward(self, *args: Tensor, **asked: Any) -> Any:
        # Cloned, so that a network sampled in training mode does not change them.
        buffers = {name: self.tensors[name].clone() for name, _ in self.network.named_buffers() if name in self.tensors}
        return functional_call(self.network, {**self.tensors, **buffers}, args, asked)


def state_of(module: nn.Module) -> dict[str, Tensor]:
    """The state dict of a network, with the tensors that it runs with."""
    if not isinstance(module, WithTensors):
        return module.state_dict()
    return {name: module.tensors.get(name, tensor) for name, tensor in module.network.state_dict().items()}


@torch.no_grad()
def plain(module: nn.Module) -> nn.Module:
    """A copy of a network on the CPU, in the modes it is in, that computes the same of the same input.

    Tensors that it ran with are its own. Weights that are computed from others, as spectral normalisation does, are
    parameters, except in layers in training mode, which may compute them each time. No parameter requires a
    gradient.
    """
    copied = deepcopy(module.network if isinstance(module, WithTensors) else module)
    if isinstance(module, WithTensors):
        for name, tensor in (*copied.named_parameters(), *copied.named_buffers()):
            if name in module.tensors:
                tensor.copy_(module.tensors[name])
    for layer in list(copied.modules()):
        if parametrize.is_parametrized(layer) and not layer.training:
            _work_out(layer)
    return copied.cpu().requires_grad_(False)


def _work_out(layer: nn.Module) -> None:
    """Make the computed tensors of a layer its parameters."""
    # Not torch's remove_parametrizations: it takes the property from the class, which the copied layer shares.
    computed = {name: getattr(layer, name).detach().clone() for name in layer.parametrizations}  # type: ignore[union-attr]
    del layer.parametrizations
    layer.__class__ = type(layer).__bases__[0]
    for name, tensor in computed.items():
        layer.register_parameter(name, nn.Parameter(tensor))
