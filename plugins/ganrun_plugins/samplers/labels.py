"""Labels with given shares, for variants that draw labels; latents come from another sampler.

Class k is drawn with probability shares[k] / sum of shares: by inversion, the number of cumulated shares that a uniform
number reaches. Without this sampler all classes are equally likely. Conditional GANs are trained with the shares of the
data (Odena et al., "Conditional Image Synthesis with Auxiliary Classifier GANs", 2017, draws c ~ p_c), and give as many
of a class as they are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Draws, Experiment, Part, PartOf, Refusal, Space, hookimpl

Share = Annotated[float, Field(ge=0)]


class Labels:
    """Draws labels by shares, and latents as the sampler ``latents`` does."""

    def __init__(
        self,
        *,
        latents: Annotated[Part, PartOf("sampler", default="normal"), Field(description="draws what is no label")],
        shares: Annotated[
            list[Share] | None, Field(description="a number for each class, of any sum; null: all equal")
        ] = None,
    ) -> None:
        if shares is not None and not sum(shares) > 0:
            raise Refusal("all shares are 0, so no class can be drawn", "a share above 0 for each class that is wanted")
        self.latents = latents.make()
        self.provides = frozenset(getattr(self.latents, "provides", ()))
        self.shares = shares

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        """Refuse shares that are not for the classes there are. The other sampler gets the experiment, too."""
        if hasattr(self.latents, "build"):
            self.latents.build(experiment)
        classes = sorted({space.classes for space in experiment.description.codes.values() if space.kind == "labels"})
        if self.shares is not None and len(self.shares) not in classes:
            found = f"labels of {' and '.join(map(str, classes))} classes" if classes else "no labels"
            why = f"there are {len(self.shares)} shares, and this variant draws {found}"
            raise Refusal(why, "a share for each class, or sampler: normal")

    def sample(self, draws: Draws, purpose: str, n: int, space: Space) -> Tensor:
        """n rows of the other sampler, (n, *space.shape)."""
        z: Tensor = self.latents.sample(draws, purpose, n, space)
        return z

    def labels(self, draws: Draws, purpose: str, n: int, space: Space) -> Tensor:
        """n rows of labels, (n, *space.shape) int64.

        Labels of another number of classes than there are shares are equally likely.
        """
        if self.shares is None or len(self.shares) != space.classes:
            return draws.integers(purpose, space.classes, n, *space.shape)
        total = torch.tensor(self.shares, dtype=torch.float64, device=draws.device).cumsum(0)  # (K,)
        uniform = draws.uniform(purpose, n, *space.shape).double()
        # with the last bound left out every number below 1 falls to a class, and never to one of share 0
        return torch.bucketize(uniform, (total / total[-1])[:-1], right=True)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("sampler", "labels", Labels)
