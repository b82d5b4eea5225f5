"""U-Net, the generator of pix2pix: an image is halved down to one pixel and back up, with skip connections.

Paper: Isola, Zhu, Zhou and Efros, "Image-to-Image Translation with Conditional Adversarial Networks" (2016), section
3.2 and appendix 6.1.1. Down: 4x4 convolutions of stride 2 with LeakyReLU 0.2 before and a normalisation behind all but
the first, which has neither, and the last, whose one pixel a normalisation would erase. Up: ReLU, 4x4 transposed
convolution, normalisation; the last one has a bias and tanh instead. Channels are width * (1, 2, 4, 8, 8, ...). What
came down at a size goes beside what comes up there: (down, up) along the channels. ``skips: false`` is the paper's
encoder-decoder, without these.

At 256, 128 and 64 pixels ``depth`` (by default log2 of the side) is 8, 7 and 6; with width 64 and BatchNorm U-Net-256
has 54,413,955 and U-Net-128 41,828,995 parameters for RGB. Modules are nested and numbered as in the authors' PyTorch
code (``model.model.1.model.3...``), convolutions have a bias under instance normalisation and none under BatchNorm, as
there.

**Dropout** (0.5) is all the noise that pix2pix has. The paper, with its Lua code, puts it behind the first three layers
up, outputs of 2 x 2, 4 x 4 and 8 x 8: ``dropout_at: paper``, the default. The PyTorch code spares the first and puts it
behind all others between layers of 8 * width channels (4 x 4, 8 x 8 and 16 x 16 at depth 8, none up to depth 5):
``dropout_at: pytorch``.

Sides that are no multiples of 2^depth are padded with a mirror image of their borders, and the answer is cut to their
size: images of any size from 2^depth up can be translated.

Differences from well-known code: there LeakyReLU changes the features in place that serve as the other half later; here
they stay. The ReLU that follows both gives the same numbers. The Lua code joins (up, down).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from ganrun.plugin import Component, Interface, Layers, Refusal, hookimpl
from ganrun_plugins.networks._given import append_planes, plane_count

Norm = Literal["batch", "instance", "none"]
NORMS = {"batch": nn.BatchNorm2d, "instance": nn.InstanceNorm2d}  # torch's InstanceNorm2d has no parameters by default
BEHIND_FIRST = 3  # layers with dropout in the paper


class UNetBlock(nn.Module):
    """One size of a U-Net, with all smaller ones inside it: (B, outer, H, W) -> (B, joined, H, W).

    joined: 2 * outer with its input in front, for ``skips``, else outer. The outermost block takes and makes images.
    """

    def __init__(
        self,
        outer: int,
        inner: int,
        within: UNetBlock | None,
        *,
        norm: Norm,
        dropout: float,
        skips: bool,
        images: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.joins = skips and images is None
        taken, made = images or (outer, outer)
        bias = norm != "batch"
        down: list[nn.Module] = [nn.Conv2d(taken, inner, 4, 2, 1, bias=bias)]
        from_below = inner * (2 if skips and within is not None else 1)
        up: list[nn.Module] = [
            nn.ReLU(),
            nn.ConvTranspose2d(from_below, made, 4, 2, 1, bias=bias or images is not None),
        ]
        if images is not None:
            up.append(nn.Tanh())
        else:
            down.insert(0, nn.LeakyReLU(0.2))
            if norm != "none":
                down += [NORMS[norm](inner)] if within is not None else []
                up.append(NORMS[norm](made))
            up += [nn.Dropout(dropout)] if dropout > 0 else []
        self.deepest = len(down)  # how many layers of ``model`` come before its smaller sizes
        self.model = nn.Sequential(*down, *([within] if within is not None else []), *up)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.model(x)
        return torch.cat([x, y], 1) if self.joins else y  # (B, C, H, W) -> (B, 2 C, H, W)

    def layers(self, x: Tensor, hidden: dict[str, Tensor], halved: int = 0) -> Tensor:
        """As forward; ``hidden`` gets ``downK`` and ``upK``, what comes at sides that were halved K times."""
        y = x
        for place, layer in enumerate(self.model):
            if place == self.deepest:
                hidden[f"down{halved + 1}"] = y
            y = layer.layers(y, hidden, halved + 1) if isinstance(layer, UNetBlock) else layer(y)
        if halved:  # what comes out of all is the image
            hidden[f"up{halved}"] = y
        return torch.cat([x, y], 1) if self.joins else y


class UNet(nn.Module):
    """(B, C, H, W) -> (B, C', H, W) in [-1, 1]. Whatever is given is joined to the channels of its input."""

    takes: ClassVar[frozenset[str]] = frozenset({"image"})
    makes: ClassVar[frozenset[str]] = frozenset({"image"})
    provides: ClassVar[frozenset[str]] = frozenset({"layers", "any-size"})

    def __init__(
        self,
        interface: Interface,
        *,
        width: Annotated[
            int, Field(ge=1, description="channels of the first layer; they double up to 8 times this")
        ] = 64,
        depth: Annotated[int | None, Field(ge=2, description="halvings; null: as many as the shorter side has")] = None,
        norm: Annotated[
            Norm,
            Field(description="normalisation of all layers but the first, the last and the one of the smallest size"),
        ] = "batch",
        dropout: Annotated[
            float, Field(ge=0, lt=1, description="probability that a number is dropped; the paper's only noise")
        ] = 0.5,
        dropout_at: Annotated[
            Literal["paper", "pytorch"],
            Field(description="paper: the first three layers up; pytorch: the authors' later code, see above"),
        ] = "paper",
        skips: Annotated[bool, Field(description="join each size to its like; false: an encoder-decoder")] = True,
    ) -> None:
        super().__init__()
        assert interface.makes is not None, "the interface of a generator says what it makes"
        channels, height, length = interface.takes.shape
        if interface.makes.shape[1:] != interface.takes.shape[1:]:
            raise Refusal(
                "generator unet keeps the size of an image; "
                f"it takes {interface.takes} and is to make {interface.makes}",
                "resize both domains to one size",
            )
        depth = depth or min(height, length).bit_length() - 1
        if depth < 2 or min(height, length) < 2**depth:
            most = min(height, length).bit_length() - 1
            raise Refusal(
                f"generator unet of depth {depth} halves an image {depth} times, and of {height} x {length} pixels "
                "nothing is left",
                f"depth: {most}" if most > 1 else "images of 4 pixels or more",
            )
        self.whole = self.least = 2**depth
        self.given = interface.given
        planes = channels + plane_count(interface.given, (height, length), "generator unet")
        widths = [width * min(2**level, 8) for level in range(depth)]
        dropped = range(depth - 1, depth - 1 - BEHIND_FIRST, -1) if dropout_at == "paper" else range(depth - 2, 3, -1)
        block: UNetBlock | None = None
        # from the smallest size outwards; level is how often a block's input was halved
        for level in range(depth - 1, 0, -1):
            p = dropout if level in dropped else 0.0
            block = UNetBlock(widths[level - 1], widths[level], block, norm=norm, dropout=p, skips=skips)
        images = (planes, interface.makes.shape[0])
        self.model = UNetBlock(0, widths[0], block, norm=norm, dropout=0.0, skips=skips, images=images)

    def forward(self, x: Tensor, *given: Tensor, layers: bool = False) -> Tensor | Layers:
        height, length = x.shape[2:]
        h, (top, left) = padded(append_planes(x, given, self.given), self.whole)  # (B, C + planes, H', W')
        middle = (..., slice(top, top + height), slice(left, left + length))
        if layers:
            hidden: dict[str, Tensor] = {}
            return Layers(self.model.layers(h, hidden)[middle], hidden)
        image: Tensor = self.model(h)[middle]  # (B, C', H, W)
        return image


def padded(x: Tensor, whole: int) -> tuple[Tensor, tuple[int, int]]:
    """(B, C, H, W) with sides that are multiples of ``whole``: a mirror image of each border, as much on both ends.

    Returns how many rows and columns came before, too; an image that fits comes back as it is.
    """
    down, right = (-side % whole for side in x.shape[2:])
    if not down and not right:
        return x, (0, 0)
    top, left = down // 2, right // 2
    return F.pad(x, (left, right - left, top, down - top), mode="reflect"), (top, left)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("generator", "unet", UNet)
