"""PixelGAN: a discriminator that judges each pixel by itself, by its colour alone.

Paper: Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks" (2016), sections 4.4 and 6.1.2,
"1 x 1 discriminator": C64-C128 with filters of 1 x 1, then one logit a pixel. In the paper it makes colours more
vivid, and sharpens nothing.

As in the authors' PyTorch code (whose ``net`` is ``model`` here), the convolutions behind the first have no bias, but
under instance normalisation. Beside x a generator's input is seen, as by ``patchgan``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from ganrun.plugin import Component, DiscriminatorOutput, Interface, hookimpl
from ganrun_plugins.networks._given import plane_count, with_images_first

Norm = Literal["instance", "batch", "none"]
NORMS = {"instance": nn.InstanceNorm2d, "batch": nn.BatchNorm2d, "none": nn.Identity}


class PixelGAN(nn.Module):
    """(B, C, H, W) -> logits (B, 1, H, W), one a pixel.

    Its features follow each LeakyReLU; heads are means over pixels.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"image"})
    provides: ClassVar[frozenset[str]] = frozenset({"features"})
    reference_names: ClassVar[dict[str, str]] = {"net": "model"}

    def __init__(
        self,
        interface: Interface,
        *,
        width: Annotated[
            int, Field(ge=1, description="channels of the first layer; the second has twice as many")
        ] = 64,
        norm: Annotated[Norm, Field(description="normalisation of the second layer")] = "batch",
    ) -> None:
        super().__init__()
        channels, *side = interface.takes.shape
        self.given = interface.given
        planes = interface.pack * (channels + plane_count(interface.given, side, "discriminator pixelgan"))
        bias = norm == "instance"
        self.model = nn.Sequential(
            nn.Conv2d(planes, width, 1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(width, 2 * width, 1, bias=bias),
            NORMS[norm](2 * width),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(2 * width, interface.logits, 1, bias=bias),
        )
        self.heads = nn.ModuleDict({name: nn.Conv2d(2 * width, n, 1) for name, n in interface.heads.items()})

    def forward(self, x: Tensor, *given: Tensor) -> DiscriminatorOutput:
        h = with_images_first(x, given, self.given)  # (B, pack * (C + planes), H, W)
        features = []
        for layer in self.model[:-1]:
            h = layer(h)
            if isinstance(layer, nn.LeakyReLU):
                features.append(h)
        heads = {name: head(h).mean((2, 3)) for name, head in self.heads.items()}  # (B, size)
        return DiscriminatorOutput(self.model[-1](h), features, heads)  # (B, logits, H, W)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("discriminator", "pixelgan", PixelGAN)
