"""Weight normalisation: length and direction of every output unit's weights are learned apart.

Paper: Salimans and Kingma, "Weight Normalization: A Simple Reparameterization to Accelerate Training of Deep Neural
Networks" (2016), section 2:

    w = g v / |v|,   g a number and v a vector for every output unit

g starts as |v|, so the network starts as the function it was, to the bit; the paper's data-dependent start (section
3) is left out. In GANs, Salimans et al., "Improved Techniques for Training GANs" (2016), section 5, normalise the
discriminator's weights so, which is the default; Xiang and Li, "On the Effects of Batch and Weight Normalization in
Generative Adversarial Networks" (2017), those of both networks (``networks: all``).

``strength`` s mixes: w = v ((1 - s) + s g / |v|). Linear and convolution layers are normalised; embeddings are not,
whose rows are no output units. v stays under the weight's own name (``parametrizations.weight.original``), g is its
neighbour.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ganrun.plugin import Component, Experiment, Refusal, Scheduled, first_value, hookimpl
from ganrun_plugins.tricks._layers import Networks, Strength, chosen, full_precision, output_axis, weighted


class LengthAndDirection(nn.Module):
    """The parametrisation of one weight: v -> g v / |v|, with ``g`` (1, ..., out, ..., 1) of as many axes as v."""

    strength: float = 1.0

    def __init__(self, weight: Tensor, *, axis: int = 0) -> None:
        super().__init__()
        self.axes = tuple(i for i in range(weight.dim()) if i != axis)
        self.g = nn.Parameter(self.length(weight.detach()))

    def length(self, v: Tensor) -> Tensor:
        """The norm of each output unit's weights, as g is shaped."""
        norm: Tensor = torch.linalg.vector_norm(v, dim=self.axes, keepdim=True)
        return norm

    def forward(self, v: Tensor) -> Tensor:
        with full_precision(v):
            length = self.length(v)
            one = torch.ones_like(length)
            # a unit of zeros has no direction: it stays as it is until an update gives it one
            ratio = torch.where(length > 0, self.g / torch.where(length > 0, length, one), one)
            return v * torch.lerp(one, ratio, self.strength)

    def right_inverse(self, value: Tensor) -> Tensor:
        """What is assigned to the weight becomes v."""
        return value


class WeightNorm(Strength):
    """Learns length and direction of weights apart."""

    strength: ClassVar[str] = "strength"
    remedies: ClassVar[frozenset[str]] = frozenset({"oscillation"})
    provides: ClassVar[frozenset[str]] = frozenset({"weight-normalised"})

    def __init__(
        self,
        *,
        networks: Annotated[Networks, Field(description="whose weights are normalised")] = "discriminators",
        strength: Annotated[
            Scheduled, Field(ge=0, le=1, description="share of the normalised weight; 0: none")
        ] = Scheduled(1.0),
    ) -> None:
        self.networks: Networks = networks
        super().__init__(strength)

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        for network in chosen(experiment, self.networks).values():
            for layer in weighted(network).values():
                if isinstance(layer, nn.Embedding):
                    continue
                weight: Tensor = layer.weight  # type: ignore[assignment]
                parametrisation = LengthAndDirection(weight, axis=output_axis(layer))
                parametrize.register_parametrization(layer, "weight", parametrisation)
                self.layers.append(parametrisation)
        if not self.layers:
            raise Refusal(
                f"no layer of the {self.networks} has a weight matrix, so there is nothing to normalise",
                "other `networks`",
            )
        self.set_strength(first_value(self.scheduled))


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "weight-norm", WeightNorm)
