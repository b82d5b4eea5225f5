"""What convolutional networks share: the width of a layer, and the normalisation behind one."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import nn

Norm = Literal["batch", "instance", "none"]
Width = Annotated[int, Field(ge=1, description="channels of the layer next to the image")]


def norm_layer(norm: Norm, width: int) -> list[nn.Module]:
    """The normalisation behind one convolution, as a list of no or one module."""
    match norm:
        case "batch":
            return [nn.BatchNorm2d(width)]
        case "instance":
            return [nn.InstanceNorm2d(width, affine=True)]
    return []
