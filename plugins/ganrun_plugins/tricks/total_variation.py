"""Total variation: the generator pays for differences between neighbouring pixels, against noise.

Paper: Rudin, Osher and Fatemi, "Nonlinear total variation based noise removal algorithms" (1992). With the differences
of a pixel to its neighbours below and on the right, dy and dx, 0 beyond the border,

    TV(x) = mean over samples, channels and pixels of sqrt(dx^2 + dy^2)       (isotropic, as in the paper)
            or of |dx| + |dy|                                                  (anisotropic)

of every image that the variant makes in the place of a real one. Where both differences are 0, the gradient is taken as
0.

Public SRGAN code minimises dx^2 + dy^2 (``squared``), each averaged over its own pairs of neighbours and doubled, with
a weight of 2e-8, which is too little to be seen in any result. Squares smooth edges away; the paper's root spares them.
The default weight is a choice of ours: small beside a game's loss of about 1, for images in [-1, 1].
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from ganrun.plugin import Component, Experiment, Refusal, Scheduled, Turn, hookimpl

Form = Literal["isotropic", "anisotropic", "squared"]


class TotalVariation:
    """Adds weight * TV(image) to the turns of the player that makes the image."""

    strength: ClassVar[str] = "weight"
    remedies: ClassVar[frozenset[str]] = frozenset()

    def __init__(
        self,
        *,
        weight: Annotated[Scheduled, Field(ge=0, description="weight of the term")] = Scheduled(0.01),
        form: Annotated[
            Form,
            Field(
                description="of dx and dy: isotropic sqrt(dx^2 + dy^2), anisotropic |dx| + |dy|, squared dx^2 + dy^2"
            ),
        ] = "isotropic",
    ) -> None:
        self.weight = weight
        self.form: Form = form
        self.images: list[str] = []

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        spaces = experiment.dataset.spaces
        self.images = [name for name in experiment.description.outputs if spaces[name].kind == "image"]
        if not self.images:
            raise Refusal(
                "it compares neighbouring pixels, and this variant makes no images of this data",
                "a data set such as digits",
            )

    @hookimpl
    def losses(self, turn: Turn) -> None:
        for name in self.images:
            if name in turn.made and turn.made[name].requires_grad:  # not where a discriminator learns
                turn.add(f"{name}.total-variation", total_variation(turn.made[name], self.form), turn.now(self.weight))


def total_variation(x: Tensor, form: Form) -> Tensor:
    """Images (B, C, H, W) -> their mean variation, a scalar of at least float32."""
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    down = F.pad(x.diff(dim=2), (0, 0, 0, 1))  # (B, C, H, W)
    right = F.pad(x.diff(dim=3), (0, 1))  # (B, C, H, W)
    if form == "anisotropic":
        return (down.abs() + right.abs()).mean()
    if form == "squared":
        return (down.square() + right.square()).mean()
    # torch's norm has gradient 0 at 0, where a square root has none
    variation: Tensor = torch.linalg.vector_norm(torch.stack([down, right]), dim=0)  # (B, C, H, W)
    return variation.mean()


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "total-variation", TotalVariation)
