"""CycleGAN's generator: an image goes through residual blocks at a quarter of its side and comes out as an image.

Paper: Zhu et al., "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks" (2017), appendix
7.2, after Johnson et al. (2016): 7x7 convolution, two of stride 2, 6 or 9 residual blocks of 256 channels without an
activation after the sum, two transposed convolutions, 7x7 convolution, tanh. 6 blocks for 128 pixels, 9 from 256 on:
7,837,699 and 11,378,179 parameters for RGB.

Modules stand in the order of the authors' PyTorch code (``model.1``, ``model.10.conv_block.1``, ...). As there,
convolutions have a bias under instance normalisation, although it cancels, and none under batch normalisation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from ganrun.plugin import Component, Interface, hookimpl
from ganrun_plugins.networks._hidden import names_of
from ganrun_plugins.networks._translator import Translator

Norm = Literal["instance", "batch"]
Padding = Literal["reflect", "replicate", "zero"]
NORMS = {"instance": nn.InstanceNorm2d, "batch": nn.BatchNorm2d}  # torch's InstanceNorm2d has no parameters by default
PADDINGS = {"reflect": nn.ReflectionPad2d, "replicate": nn.ReplicationPad2d, "zero": nn.ZeroPad2d}


class ResidualBlock(nn.Module):
    """x + (convolution, norm, ReLU, convolution, norm)(x), at one size and number of channels."""

    def __init__(self, width: int, norm: Norm, padding: Padding, dropout: float) -> None:
        super().__init__()
        pad, bias = PADDINGS[padding], norm == "instance"
        self.conv_block = nn.Sequential(
            pad(1),
            nn.Conv2d(width, width, 3, bias=bias),
            NORMS[norm](width),
            nn.ReLU(inplace=True),
            *([nn.Dropout(dropout)] if dropout > 0 else []),
            pad(1),
            nn.Conv2d(width, width, 3, bias=bias),
            NORMS[norm](width),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.conv_block(x)
        return out


class ResnetTranslator(Translator):
    """(B, C, H, W) -> (B, C', H, W) in [-1, 1]. Whatever is given is joined to the channels of its input."""

    inside = "model"

    def __init__(
        self,
        interface: Interface,
        *,
        blocks: Annotated[int, Field(ge=0, description="residual blocks: 6 for 128 pixels, 9 from 256 on")] = 9,
        width: Annotated[int, Field(ge=1, description="channels of the layers next to the images")] = 64,
        norm: Annotated[Norm, Field(description="normalisation of all layers but the last")] = "instance",
        dropout: Annotated[float, Field(ge=0, lt=1, description="inside each residual block")] = 0.0,
        padding: Annotated[Padding, Field(description="at the borders of all but the strided layers")] = "reflect",
    ) -> None:
        super().__init__(interface, "generator resnet-translator")
        pad, bias = PADDINGS[padding], norm == "instance"
        layers: list[nn.Module] = [
            pad(3),
            nn.Conv2d(self.planes, width, 7, bias=bias),
            NORMS[norm](width),
            nn.ReLU(inplace=True),
        ]
        for w in (width, 2 * width):  # (B, W, H, W) -> (B, 4 W, H/4, W/4)
            layers += [nn.Conv2d(w, 2 * w, 3, 2, 1, bias=bias), NORMS[norm](2 * w), nn.ReLU(inplace=True)]
        layers += [ResidualBlock(4 * width, norm, padding, dropout) for _ in range(blocks)]
        for w in (4 * width, 2 * width):  # back to (B, W, H, W)
            layers += [
                nn.ConvTranspose2d(w, w // 2, 3, 2, 1, output_padding=1, bias=bias),
                NORMS[norm](w // 2),
                nn.ReLU(inplace=True),
            ]
        self.model = nn.Sequential(*layers, pad(3), nn.Conv2d(width, self.colours, 7), nn.Tanh())
        self.activations = names_of(self.model, nn.ReLU, ResidualBlock)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("generator", "resnet-translator", ResnetTranslator)
