"""Norm swap: every BatchNorm of the networks becomes an instance, group or layer normalisation, or none.

Papers: Gulrajani et al., "Improved Training of Wasserstein GANs" (2017), section 4: BatchNorm makes a discriminator's
output of one sample depend on the others, so that a penalty on the gradient at each sample no longer is one,
and layer normalisation takes its place; Ulyanov, Vedaldi and Lempitsky, "Instance Normalization" (2016); Ba, Kiros and
Hinton, "Layer Normalization" (2016); Wu and He, "Group Normalization" (2018).

All of them subtract a mean and divide by a standard deviation; what differs is what these are taken over, in a batch
(B, C, H, W): batch over B, H, W; instance over H, W; group over H, W and the channels of a group; layer over H, W and
all channels (in the manner of convolutional networks: one group, a scale and a shift for each channel). In perceptrons,
(B, C), the same without H, W.

The new layer keeps eps and the learned scale and shift, if the old one has any. So does ``none``, which takes the
normalisation away and leaves scale and shift, because the layers before a BatchNorm often have no bias of their own.
``groups`` is an upper bound: the largest divisor of the channels whose groups hold at least two numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from ganrun.plugin import Component, Experiment, Refusal, hookimpl
from ganrun_plugins.tricks._layers import Networks, chosen, replace, trace

Norm = Literal["instance", "group", "layer", "none"]
BATCH: tuple[type[nn.Module], ...] = (nn.modules.batchnorm._BatchNorm,)
ANY: tuple[type[nn.Module], ...] = (*BATCH, nn.modules.instancenorm._InstanceNorm, nn.GroupNorm, nn.LayerNorm)
INSTANCE: dict[int, type[nn.Module]] = {1: nn.InstanceNorm1d, 2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}


class ScaleAndShift(nn.Module):
    """(B, C, ...) -> (B, C, ...): what is left of a normalisation without its mean and deviation.

    Names as in torch's layers.
    """

    weight: nn.Parameter
    bias: nn.Parameter | None

    def __init__(self, weight: nn.Parameter, bias: nn.Parameter | None) -> None:
        super().__init__()
        self.register_parameter("weight", weight)
        self.register_parameter("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        channels = (-1, *[1] * (x.dim() - 2))  # (C, 1, 1)
        x = x * self.weight.view(channels)
        return x if self.bias is None else x + self.bias.view(channels)


class NormSwap:
    """Replaces normalisation layers."""

    strength: ClassVar[str] = ""
    restructures: ClassVar[str] = "the normalisation layers of the networks"
    remedies: ClassVar[frozenset[str]] = frozenset({"oscillation", "bad-start"})

    def __init__(
        self,
        *,
        to: Annotated[Norm, Field(description="what takes the place")] = "layer",
        of: Annotated[
            Literal["batch", "any"], Field(description="what is replaced: BatchNorm, or every normalisation layer")
        ] = "batch",
        networks: Annotated[Networks, Field(description="in which networks")] = "all",
        groups: Annotated[int, Field(ge=1, description="with `to: group`, at most so many groups of channels")] = 32,
    ) -> None:
        self.to: Norm = to
        self.of = of
        self.networks: Networks = networks
        self.groups = groups

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        swapped = 0
        for name, network in chosen(experiment, self.networks).items():
            old = {
                key: layer
                for key, layer in network.named_modules()
                if isinstance(layer, BATCH if self.of == "batch" else ANY)
            }
            if not old:
                continue
            shapes = {
                call.name: call.takes
                for call in trace(network, experiment.description.networks[name].interface, name).calls
            }
            # one that never runs does nothing either way
            used = {key: layer for key, layer in old.items() if key in shapes}
            replace(network, {layer: self._new(layer, shapes[key], f"{name}.{key}") for key, layer in used.items()})
            swapped += len(used)
        if not swapped:
            what = "BatchNorm" if self.of == "batch" else "normalisation"
            where = {"all": "networks"}.get(self.networks, self.networks)
            raise Refusal(
                f"the {where} have no {what} layer that could be swapped: the run would be the one without this trick",
                "networks with one, other `networks`, or `of: any`; or leave this trick out",
            )

    def _new(self, old: nn.Module, shape: tuple[int, ...], name: str) -> nn.Module:
        """The layer that takes the place of one whose input has this shape."""
        channels, positions = shape[1], math.prod(shape[2:])
        if isinstance(old, nn.LayerNorm) and (len(old.normalized_shape) > 1 or len(shape) > 2):
            raise Refusal(
                f"{name} normalises the last axes {old.normalized_shape} of {shape}, which are not channels",
                "of: batch",
            )
        weight, bias = getattr(old, "weight", None), getattr(old, "bias", None)
        if self.to == "none":
            return nn.Identity() if weight is None else ScaleAndShift(weight, bias)
        if self.to == "instance":
            if positions == 1:
                raise Refusal(
                    f"{name} normalises {shape[1:]}: a channel of a sample is one number, "
                    "which minus its own mean is 0, always",
                    "to: layer or group, which take the mean over channels",
                )
            new: nn.Module = INSTANCE[len(shape) - 2](channels, eps=old.eps)
            new.affine = weight is not None  # type: ignore[assignment]
        else:
            count = 1 if self.to == "layer" else group_count(channels, positions, self.groups)
            if channels * positions == 1:
                raise Refusal(
                    f"{name} normalises one number a sample, which minus its own mean is 0 whatever the sample",
                    "to: none",
                )
            new = nn.GroupNorm(count, channels, eps=old.eps, affine=False)  # type: ignore[arg-type]
            new.affine = weight is not None
        new.register_parameter("weight", weight)
        new.register_parameter("bias", bias)
        return new


def group_count(channels: int, positions: int, wanted: int) -> int:
    """The largest divisor of ``channels`` up to ``wanted`` whose groups hold at least two numbers of a sample."""
    fits = [
        count
        for count in range(1, min(wanted, channels) + 1)
        if channels % count == 0 and channels // count * positions > 1
    ]
    return max(fits, default=1)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "norm-swap", NormSwap)
