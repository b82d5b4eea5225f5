"""BatchNorm over the batch of all processes: several normalise as one process with their whole batch does.

torch's SyncBatchNorm is for GPUs alone and has no second derivative, which gradient penalties need. The layers here are
the networks' own, of another class: parameters, buffers, hooks and names stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

_Layer = nn.modules.batchnorm._BatchNorm


class MeanOverProcesses(torch.autograd.Function):
    """The mean of a tensor over all processes. The gradient is the mean of their gradients, and has one itself."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """A tensor, the same shape in all processes -> their mean."""
        total = x.clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(total)
        return total / torch.distributed.get_world_size()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        """Each process minimises its own terms, and gradients are averaged: together they minimise the mean."""
        return mean_over_processes(grads[0])


def mean_over_processes(x: Tensor) -> Tensor:
    """The differentiable mean of a tensor over all processes, which have as many rows each."""
    mean: Tensor = MeanOverProcesses.apply(x)
    return mean


class Synchronised(_Layer):
    """(B, C, ...) -> (B, C, ...): while ``over_all`` is set, with mean and variance of the rows of all processes."""

    over_all = False  # in a step, which all processes take alike; elsewhere one may be alone, and would wait for ever

    def forward(self, x: Tensor) -> Tensor:
        """As torch's, but for the statistics."""
        kept = self.running_mean is not None
        return self._over_all(x) if self.over_all and (self.training or not kept) else super().forward(x)

    def _over_all(self, x: Tensor) -> Tensor:
        self._check_input_dim(x)  # type: ignore[no-untyped-call]
        h = x.float() if x.element_size() < 4 else x  # statistics in full precision under autocast
        rows = [axis for axis in range(h.dim()) if axis != 1]
        shape = (1, -1, *[1] * (h.dim() - 2))
        mean = mean_over_processes(h.mean(rows))  # (C,)
        h = h - mean.view(shape)
        variance = mean_over_processes(h.square().mean(rows))  # (C,)
        self._keep(mean.detach(), variance.detach(), h.numel() // h.shape[1] * torch.distributed.get_world_size())
        h = h * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            h = h * self.weight.view(shape) + self.bias.view(shape)
        return h.to(x.dtype)

    def _keep(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Move the running statistics towards those of a batch of ``count`` numbers a channel."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        share = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_((variance * count / (count - 1)).to(self.running_var.dtype), share)


class Synchronised1d(Synchronised, nn.BatchNorm1d):
    """BatchNorm1d over all processes."""


class Synchronised2d(Synchronised, nn.BatchNorm2d):
    """BatchNorm2d over all processes."""


class Synchronised3d(Synchronised, nn.BatchNorm3d):
    """BatchNorm3d over all processes."""


SYNCHRONISED: dict[type, type[Synchronised]] = {
    nn.BatchNorm1d: Synchronised1d,
    nn.BatchNorm2d: Synchronised2d,
    nn.BatchNorm3d: Synchronised3d,
}


def synchronise(module: nn.Module) -> str:
    """Make every BatchNorm of a network one over all processes.

    Returns the class of a layer that is a BatchNorm of another kind, for which this cannot be done; else nothing.
    """
    for layer in module.modules():
        if isinstance(layer, _Layer) and not isinstance(layer, Synchronised):
            if type(layer) not in SYNCHRONISED:
                return type(layer).__name__
            layer.__class__ = SYNCHRONISED[type(layer)]
    return ""


def synchronised(modules: Iterable[nn.Module]) -> list[Synchronised]:
    """The layers of some networks that can normalise over all processes."""
    return [layer for module in modules for layer in module.modules() if isinstance(layer, Synchronised)]


def compiled(module: nn.Module) -> Any:
    """A network compiled by torch, which leaves alone what the processes calculate together."""
    for layer in synchronised([module]):
        # not a decorator of the method: that would load torch's compiler in every run
        layer._over_all = torch.compiler.disable(layer._over_all)  # type: ignore[method-assign]
    return torch.compile(module)


@contextmanager
def over_all_processes(layers: Sequence[Synchronised]) -> Iterator[None]:
    """In this context these layers normalise over all processes, which have to call them alike."""
    for layer in layers:
        layer.over_all = True
    try:
        yield
    finally:
        for layer in layers:
            layer.over_all = False
