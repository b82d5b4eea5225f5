"""Spectral normalisation: every weight matrix of the discriminators is divided by its largest singular value.

Paper: Miyato et al., "Spectral Normalization for Generative Adversarial Networks" (2018), sections 2.1 and 3, algorithm
1:

    v <- W^T u / |W^T u|,   u <- W v / |W v|,   sigma = u^T W v,   W_SN = W / sigma^strength

with one power iteration a forward in training. u and v are constants of the gradient, sigma is not (equation 10).
A kernel (out, in, h, w) is the matrix (out, in * h * w), as in the paper. ``networks: all`` normalises the generators,
too (Zhang et al., "Self-Attention Generative Adversarial Networks", 2018, section 3.2). Every layer with a ``weight``
of two axes or more is normalised, embeddings among them; biases, scales and shifts are not.

As in torch, 15 iterations come first, so that sigma is right from the start, and each iteration moves u before v. Only
adversarial calls of the discriminator move them for good: penalties, consistency and unrolling compute with buffers of
their own. A weight of zeros stays as it is. With ``strength`` between 0 and 1 the largest singular value is
sigma^(1 - strength).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ganrun.plugin import Component, Experiment, Reason, Refusal, Scheduled, first_value, hookimpl
from ganrun_plugins.tricks._layers import Networks, Strength, chosen, drawn_for, full_precision, output_axis, weighted

EPSILON = 1e-12
FIRST_ITERATIONS = 15


class Spectral(nn.Module):
    """The parametrisation of one weight (out, in, ...): W -> W / sigma^strength. ``_u`` (out,), ``_v`` (in * ...,)."""

    _u: Tensor
    _v: Tensor
    strength: float = 1.0

    def __init__(self, weight: Tensor, u: Tensor, *, axis: int = 0, iterations: int = 1) -> None:
        super().__init__()
        self.axis = axis
        self.iterations = iterations
        matrix = self.matrix(weight.detach())
        self.register_buffer("_u", u)
        self.register_buffer("_v", torch.zeros(matrix.shape[1], dtype=matrix.dtype, device=matrix.device))
        if not weight.is_meta:  # where there is nothing to iterate on
            self._u = u / u.norm().clamp(min=EPSILON)
            self._v = _unit(matrix.T @ self._u, self._v)
            self.iterate(matrix, FIRST_ITERATIONS)

    def matrix(self, weight: Tensor) -> Tensor:
        """(out, in, ...) -> (out, in * ...)."""
        return weight.movedim(self.axis, 0).flatten(1)

    @torch.no_grad()
    def iterate(self, matrix: Tensor, times: int) -> None:
        """Power iterations.

        They make new buffers, since the old ones may be needed for the backward pass of an earlier forward.
        """
        for _ in range(times):
            self._u = _unit(matrix @ self._v, self._u)
            self._v = _unit(matrix.T @ self._u, self._v)

    def forward(self, weight: Tensor) -> Tensor:
        with full_precision(weight):
            matrix = self.matrix(weight)
            if self.training:
                self.iterate(matrix.detach(), self.iterations)
            sigma = self._u.dot(matrix @ self._v)
            sigma = torch.where(sigma > EPSILON, sigma, torch.ones_like(sigma))
            return weight / sigma**self.strength

    def right_inverse(self, value: Tensor) -> Tensor:
        """What is assigned to the weight becomes the weight before its division."""
        return value


def _unit(vector: Tensor, instead: Tensor) -> Tensor:
    """A vector of length 1; ``instead`` where it has no direction.

    From a zero vector the iteration would not come back.
    """
    norm = vector.norm()
    return torch.where(norm > EPSILON, vector / norm.clamp(min=EPSILON), instead)


class SpectralNorm(Strength):
    """Divides weights by their largest singular value."""

    strength: ClassVar[str] = "strength"
    remedies: ClassVar[frozenset[str]] = frozenset(
        {"exploding", "oscillation", "saturated-discriminator", "vanishing-gradient"}
    )
    provides: ClassVar[frozenset[str]] = frozenset({"slope-bounded", "spectrally-normalised"})
    refuses: ClassVar[dict[str, Reason]] = {
        "clipped": Reason(
            "clipping bounds the numbers of a weight, and this weight is divided by its largest singular value in "
            "every forward: its scale has no effect, so what is left of the clipping is a distortion of its direction",
            "one of the two: both bound the discriminator's slope",
        )
    }
    warns: ClassVar[dict[str, Reason]] = {
        "weight-normalised": Reason(
            "weights are normalised twice: the learned length of weight normalisation is divided out again by the "
            "largest singular value",
            "one of the two, or different `networks` for them",
        )
    }

    def __init__(
        self,
        *,
        networks: Annotated[Networks, Field(description="whose weights are normalised")] = "discriminators",
        strength: Annotated[
            Scheduled, Field(ge=0, description="exponent of the norm that divides weights")
        ] = Scheduled(1.0),
        iterations: Annotated[int, Field(ge=1, description="power iterations a forward in training")] = 1,
    ) -> None:
        self.networks: Networks = networks
        super().__init__(strength)
        self.iterations = iterations
        if networks == "generators":
            self.refuses = {}  # type: ignore[misc]  # what is clipped are weights of discriminators
            self.provides = self.provides - {"slope-bounded"}  # type: ignore[misc]  # of discriminators

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        for name, network in chosen(experiment, self.networks).items():
            for key, layer in weighted(network).items():
                self.layers.append(self._normalise(experiment, f"{name}.{key}", layer))
        if not self.layers:
            raise Refusal(
                f"no layer of the {self.networks} has a weight matrix, so there is nothing to normalise",
                "other `networks`",
            )
        self.set_strength(first_value(self.scheduled))

    def _normalise(self, experiment: Experiment, name: str, layer: nn.Module) -> Spectral:
        weight: Tensor = layer.weight.detach()  # type: ignore[operator]
        axis = output_axis(layer)
        with drawn_for(experiment, "spectral-norm", name, weight.device):
            u = torch.randn(weight.shape[axis], dtype=torch.float64)
        spectral = Spectral(weight, u.to(weight.device, weight.dtype), axis=axis, iterations=self.iterations)
        # on the meta device it is not tried: its product would load torch's compiler
        parametrize.register_parametrization(layer, "weight", spectral, unsafe=weight.is_meta)
        return spectral


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "spectral-norm", SpectralNorm)
