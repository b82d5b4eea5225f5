"""Virtual batch normalisation: statistics of a fixed reference batch and of the sample itself alone.

Paper: Salimans et al., "Improved Techniques for Training GANs" (2016), section 3.5. A reference batch of n samples,
chosen once, is normalised by its own statistics; any other sample by those of the reference batch and the sample
together:

    mean = n/(n+1) mean_ref + 1/(n+1) mean_i,    likewise the mean square,
    y_i  = scale (x_i - mean) / sqrt(var + eps) + shift

with means over positions, too. As there, it is for generators unless ``networks`` says otherwise: each forward runs the
reference batch with the samples, so with a reference as large as the batch it costs twice as much.

The reference is the first batch that a network is given in training: latents, conditions, images, as it takes them. In
several processes it is that of the first one. It is saved in checkpoints, and serves sampling, too; before there is
one, a network's batch is its own reference. Running statistics are gone, so evaluation and training compute the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from ganrun.plugin import Component, DiscriminatorOutput, Experiment, Layers, Reason, Refusal, hookimpl
from ganrun_plugins.tricks._layers import Networks, chosen, replace

COUPLED = Reason(
    "the reference rows go through a discriminator with the samples, so a statistic over the rows of "
    "a forward mixes both",
    "networks: generators",
)

PART = Reason(
    "the reference is the first part of a batch, of one process and micro-batch: fewer rows than a step has",
    "a `size` that each part has",
)


class Reference:
    """The reference batch of one network.

    ``inputs`` are the network's arguments, ``rows`` how many of them are in the forward now.
    """

    def __init__(self, share: Callable[[Sequence[Tensor]], list[Tensor]], size: int | None) -> None:
        self.share = share  # the first process's tensors, in all of them
        self.size = size
        self.inputs: list[Tensor] = []
        self.rows = 0

    def __deepcopy__(self, memo: dict[int, Any]) -> Reference:
        twin = Reference(self.share, self.size)  # processes cannot be copied, and the inputs are never changed
        twin.inputs = list(self.inputs)
        memo[id(self)] = twin
        return twin

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def before(self, network: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Append the reference to every argument of a network."""
        self.rows = 0
        if args[0].device.type == "meta":
            return args
        if network.training and not self.inputs:
            self.keep(args)
        if not self.inputs:
            return args
        self.rows = len(self.inputs[0])
        self.inputs = [kept.to(arg.device) for kept, arg in zip(self.inputs, args, strict=True)]
        return tuple(torch.cat([arg, kept.to(arg.dtype)]) for kept, arg in zip(self.inputs, args))

    def keep(self, args: tuple[Any, ...]) -> None:
        """Take the first rows of a batch as reference, in all processes those of the first."""
        self.inputs = self.share([arg.detach()[: self.size].clone() for arg in args])

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def after(self, network: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        """Take the rows of the reference off the output of a network."""
        rows, self.rows = self.rows, 0
        return _without(output, len(args[0]), len(args[0]) - rows) if rows else output


def _without(output: Any, rows: int, kept: int) -> Any:
    """The first ``kept`` rows of every tensor that has ``rows``."""
    if isinstance(output, Tensor):
        return output[:kept] if output.dim() and len(output) == rows else output
    if isinstance(output, DiscriminatorOutput):
        features = [_without(layer, rows, kept) for layer in output.features]
        return DiscriminatorOutput(_without(output.logits, rows, kept), features, _without(output.heads, rows, kept))
    if isinstance(output, Layers):
        return Layers(_without(output.output, rows, kept), _without(output.hidden, rows, kept))
    if isinstance(output, dict):
        return {name: _without(value, rows, kept) for name, value in output.items()}
    if isinstance(output, list | tuple):
        return type(output)(_without(value, rows, kept) for value in output)
    return output


class VirtualBatchNorm(nn.Module):
    """(B, C, ...) -> (B, C, ...): the last rows are the reference. Takes over scale, shift and eps of a BatchNorm."""

    weight: nn.Parameter | None
    bias: nn.Parameter | None

    def __init__(self, old: nn.modules.batchnorm._BatchNorm, reference: Reference) -> None:
        super().__init__()
        self.reference = reference
        self.eps = old.eps
        self.register_parameter("weight", old.weight)
        self.register_parameter("bias", old.bias)

    def forward(self, x: Tensor) -> Tensor:
        h = x.float() if x.element_size() < 4 else x  # statistics in full precision under autocast
        n = self.reference.rows or len(h)
        own, reference = h[: len(h) - self.reference.rows], h[len(h) - n :]
        axes = (0, *range(2, h.dim()))
        centre = reference.mean(axes, keepdim=True)  # (1, C, 1, 1)
        variance = (reference - centre).square().mean(axes, keepdim=True)
        if self.reference.rows == 0:
            return self.scaled((h - centre) / (variance + self.eps).sqrt()).to(x.dtype)
        positions = axes[1:]
        mean_i = own.mean(positions, keepdim=True) if positions else own  # (B, C, 1, 1)
        variance_i = (own - mean_i).square().mean(positions, keepdim=True) if positions else torch.zeros_like(own)
        # of n + 1 samples together: the parts' variances, and how far the parts' means lie from the common one
        share = 1 / (n + 1)
        mean = (1 - share) * centre + share * mean_i
        mixed = (1 - share) * (variance + (centre - mean).square()) + share * (variance_i + (mean_i - mean).square())
        own = (own - mean) / (mixed + self.eps).sqrt()
        reference = (reference - centre) / (variance + self.eps).sqrt()
        return self.scaled(torch.cat([own, reference])).to(x.dtype)

    def scaled(self, h: Tensor) -> Tensor:
        """Scale and shift each channel."""
        if self.weight is None:
            return h
        channels = (-1, *[1] * (h.dim() - 2))
        scaled = h * self.weight.view(channels)
        return scaled if self.bias is None else scaled + self.bias.view(channels)


class VirtualBatchNormalisation:
    """Replaces BatchNorm by virtual batch normalisation."""

    strength: ClassVar[str] = ""
    restructures: ClassVar[str] = "the normalisation layers of the networks, and the rows of their forwards"
    remedies: ClassVar[frozenset[str]] = frozenset({"oscillation", "missing-diversity"})

    def __init__(
        self,
        *,
        networks: Annotated[Networks, Field(description="in which networks")] = "generators",
        size: Annotated[
            int | None, Field(ge=1, description="samples of the reference; null: the whole first batch")
        ] = None,
    ) -> None:
        self.networks: Networks = networks
        self.size = size
        self.references: dict[str, Reference] = {}
        coupled = ("discriminator:batch-coupled", "discriminator:group-statistics")
        self.warns = {} if networks == "generators" else dict.fromkeys(coupled, COUPLED)
        if size is None:
            self.warns |= dict.fromkeys(("several-processes", "accumulated"), PART)

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        already = False
        for name, network in chosen(experiment, self.networks).items():
            layers = list(network.modules())
            already |= any(isinstance(layer, VirtualBatchNorm) for layer in layers)
            old = [layer for layer in layers if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
            if old:
                self.references[name] = reference = Reference(experiment.processes.broadcast_tensors, self.size)
                replace(network, {layer: VirtualBatchNorm(layer, reference) for layer in old})
                network.register_forward_pre_hook(reference.before)
                network.register_forward_hook(reference.after)
        where = {"all": "networks"}.get(self.networks, self.networks)
        if not self.references and already:
            why = f"the {where} have virtual batch normalisation already, so this one changes nothing"
            experiment.warn("trick virtual-batch-norm", why, "name it once")
        elif not self.references:
            raise Refusal(
                f"the {where} have no BatchNorm, so there are no statistics of a batch that could be replaced",
                "networks with BatchNorm, or other `networks`",
            )

    def state_dict(self) -> dict[str, Any]:
        """Network -> its reference batch, once there is one."""
        return {name: list(reference.inputs) for name, reference in self.references.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put back what ``state_dict`` returned."""
        for name, inputs in state.items():
            self.references[name].inputs = [tensor.clone() for tensor in inputs]


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "virtual-batch-norm", VirtualBatchNormalisation)
