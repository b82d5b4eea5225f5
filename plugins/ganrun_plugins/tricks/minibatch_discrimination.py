"""Minibatch discrimination: the discriminator is given how close each sample is to the others of its batch.

Paper: Salimans et al., "Improved Techniques for Training GANs" (2016), section 3.2. From features f (A,) of a sample,
with a tensor T (A, kernels, dims) that is learned:

    M_i = f_i T   (kernels, dims),     o_i,b = sum over j != i of exp( -|M_i,b - M_j,b|_1 ),     o_i   (kernels,)

and o is joined to f at the input of a layer: here the last one on the way to the logits, whatever the architecture; of
feature maps f is the mean over positions, as in the authors' networks, and o becomes constant maps. 100 kernels of 5
dimensions. ``strength`` scales what that layer makes of o.

As in the authors' code j = i, which adds 1 to every o, is left out, and the columns of T start with length 1; the
code's start from data and its learned offset of o are not used: the next layer's bias is an offset.

The statistic is of one forward: of real samples or of fakes, of one process, of one micro-batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from ganrun.plugin import Component, Experiment, Reason, Scheduled, hookimpl
from ganrun_plugins.tricks._layers import Strength, full_precision, join


class Closeness(nn.Module):
    """Features (B, A), (B, ..., A) of a linear layer or (B, A, ...) of a convolution -> (B, kernels)."""

    provides: ClassVar[frozenset[str]] = frozenset({"batch-coupled"})

    def __init__(self, size: int, kernels: int, dims: int, *, last: bool) -> None:
        super().__init__()
        self.last = last
        self.kernels = kernels
        self.T = nn.Parameter(F.normalize(torch.randn(size, kernels * dims), dim=0))  # columns of length 1

    def forward(self, f: Tensor) -> Tensor:
        if f.dim() > 2:
            f = f.flatten(1, -2).mean(1) if self.last else f.flatten(2).mean(2)  # (B, A)
        with full_precision(f):
            m = (f.to(self.T.dtype) @ self.T).unflatten(1, (self.kernels, -1))  # (B, A) -> (B, kernels, dims)
        distance = (m[:, None] - m[None]).abs().sum(3)  # (B, B, kernels)
        others = 1 - torch.eye(len(m), dtype=m.dtype, device=m.device)  # (B, B)
        return (torch.exp(-distance) * others[:, :, None]).sum(1)  # (B, kernels)


class MinibatchDiscrimination(Strength):
    """Joins the closeness of a sample to the others of its batch to the last layer of every discriminator."""

    strength: ClassVar[str] = "strength"
    remedies: ClassVar[frozenset[str]] = frozenset({"mode-collapse", "missing-diversity"})
    needs: ClassVar[dict[str, Reason]] = {
        "game": Reason("there is no discriminator that could be given how close samples are", "a variant with a game")
    }
    refuses: ClassVar[dict[str, Reason]] = {
        "single-sample": Reason(
            "a discriminator sees one sample at a time, so the sum over the others is empty: it is 0 for every sample",
            "train.batch_size of at least two packs",
        )
    }
    warns: ClassVar[dict[str, Reason]] = {
        "joint-batches": Reason(
            "real samples and fakes share a forward, so closeness to either is summed and tells them apart less well",
            "train.batches: separate",
        ),
        "accumulated": Reason(
            "a sample is compared with those of its micro-batch, not of the whole batch of a step",
            "a larger train.batch_size with a smaller train.accumulate",
        ),
        "gradient-penalised": Reason(
            "the logit of a sample depends on the others of its batch, and a penalty takes the gradient of the sum of "
            "all logits: at one sample that is not the gradient of its own logit",
            "another remedy for a lack of variety, such as more samples a logit (packing)",
        ),
    }

    def __init__(
        self,
        *,
        kernels: Annotated[int, Field(ge=1, description="B of the paper: how many sums a sample gets")] = 100,
        dims: Annotated[
            int, Field(ge=1, description="C of the paper: dimensions in which each of them measures distance")
        ] = 5,
        strength: Annotated[
            Scheduled, Field(ge=0, description="factor of what the discriminator makes of the statistic")
        ] = Scheduled(1.0),
    ) -> None:
        self.kernels = kernels
        self.dims = dims
        super().__init__(strength)

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        def closeness(channels: int, last: bool) -> nn.Module:
            return Closeness(channels, self.kernels, self.dims, last=last)

        for name in experiment.networks("discriminator"):
            self.layers.append(join(experiment, name, "minibatch_discrimination", closeness, self.kernels))


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "minibatch-discrimination", MinibatchDiscrimination)
