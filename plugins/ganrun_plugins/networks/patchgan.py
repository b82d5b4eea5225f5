"""PatchGAN: a discriminator that judges overlapping patches, each with a logit of its own.

Paper: Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks" (2016), section 3.2 and
appendix 6.1.2. With 3 layers each logit sees 70 x 70 pixels; a 256 x 256 image has 30 x 30 of them, 2,764,737
parameters for RGB. Modules stand in the order of the authors' PyTorch code (``model.0``, 2, 5, 8, 11).

As there, convolutions have a bias under instance normalisation, although it cancels, and none under batch
normalisation. With ``norm: none`` the authors' code has none either (``bias: false``); here each then has one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from ganrun.plugin import Component, DiscriminatorOutput, Interface, Refusal, hookimpl
from ganrun_plugins.networks._given import plane_count, with_images_first

Norm = Literal["instance", "batch", "none"]
NORMS = {"instance": nn.InstanceNorm2d, "batch": nn.BatchNorm2d, "none": nn.Identity}


class PatchGAN(nn.Module):
    """(B, C, H, W) -> logits (B, 1, h, w), one a patch.

    Its features follow each LeakyReLU; heads are means over patches.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"image"})
    provides: ClassVar[frozenset[str]] = frozenset({"features"})

    def __init__(
        self,
        interface: Interface,
        *,
        layers: Annotated[
            int, Field(ge=1, description="layers of stride 2: 1, 2, 3, 4 give patches of 16, 34, 70, 142 pixels")
        ] = 3,
        width: Annotated[
            int, Field(ge=1, description="channels of the first layer; they double up to 8 times this")
        ] = 64,
        norm: Annotated[Norm, Field(description="normalisation of all layers but the first and the last")] = "instance",
        bias: Annotated[
            bool | None,
            Field(description="whether the layers with a normalisation have biases; null: unless it is of the batch"),
        ] = None,
    ) -> None:
        super().__init__()
        channels, *side = interface.takes.shape
        if min(side) < 3 * 2**layers:
            most = (min(side) // 3).bit_length() - 1  # the most layers with 3 * 2^layers pixels
            raise Refusal(
                f"discriminator patchgan with {layers} layers needs images of at least {3 * 2**layers} pixels a side; "
                f"this is {side[0]} x {side[1]}",
                f"layers: {most}, or larger images" if most else "images of 6 pixels or more",
            )
        self.given = interface.given
        planes = interface.pack * (channels + plane_count(interface.given, side, "discriminator patchgan"))
        bias = norm != "batch" if bias is None else bias
        model: list[nn.Module] = [nn.Conv2d(planes, width, 4, 2, 1), nn.LeakyReLU(0.2, inplace=True)]
        before = width
        for i in range(1, layers + 1):
            w, stride = width * min(2**i, 8), 2 if i < layers else 1
            model += [nn.Conv2d(before, w, 4, stride, 1, bias=bias), NORMS[norm](w), nn.LeakyReLU(0.2, inplace=True)]
            before = w
        self.model = nn.Sequential(*model, nn.Conv2d(before, interface.logits, 4, 1, 1))
        self.heads = nn.ModuleDict({name: nn.Conv2d(before, size, 4, 1, 1) for name, size in interface.heads.items()})

    def forward(self, x: Tensor, *given: Tensor) -> DiscriminatorOutput:
        h = with_images_first(x, given, self.given)  # (B, pack * (C + planes), H, W)
        features = []
        for layer in self.model[:-1]:
            h = layer(h)
            if isinstance(layer, nn.LeakyReLU):
                features.append(h)
        heads = {name: head(h).mean((2, 3)) for name, head in self.heads.items()}  # (B, size)
        return DiscriminatorOutput(self.model[-1](h), features, heads)  # (B, logits, h, w)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("discriminator", "patchgan", PatchGAN)
