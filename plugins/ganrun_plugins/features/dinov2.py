"""The class token of a DINOv2 vision transformer (ViT-S, B, L or g), with weights from a given file.

Oquab et al., "DINOv2: Learning robust visual features without supervision", 2023. Stein et al., "Exposing flaws of
generative model evaluation metrics and their unfair treatment of diffusion models", 2023, find that people agree with
distances in this space better than with those in Inception's, and take ViT-L. ``weights`` is a published file, such as
dinov2_vitl14_pretrain.pth, or another state dict with its names; the size of the network is read off its shapes. Files
with register tokens are not supported. Nothing in a file is executed.

Images are rounded to 256 levels, grey is repeated, and resized to ``side`` x ``side`` as Pillow does (bicubic,
antialiased, rounded again), as Stein et al. do with 224; torch-fidelity resizes bilinearly without antialiasing, so its
values differ. Then mean and deviation of ImageNet's colours are taken off. The features are the first token after the
last normalisation.

The published positions are for 37 x 37 patches. For another number they are interpolated, bicubic, by a scale of
(patches + 0.1) / 37, as the authors' code does: the 0.1, once against rounding errors, moves all positions a little,
and the published features have it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from ganrun.plugin import Component, RecipePath, hookimpl
from ganrun.plugin.data import DataError, fingerprint
from ganrun.plugin.evaluation import FeatureContext
from ganrun_plugins._classifier_network import in_float32
from ganrun_plugins.features import _weights as files

WHO = "features.dinov2"
HEAD = 64  # numbers a head of attention, in all published sizes
EXTRA = 0.1
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's colours


class DinoV2:
    """(B, 1 or 3, H, W) images in [-1, 1] -> (B, size) float32; size 384, 768, 1024 or 1536, as the file has it.

    The file is not read before the first call, or before ``size`` is asked for, but has to be there.
    """

    def __init__(
        self,
        context: FeatureContext,
        *,
        weights: Annotated[
            str,
            Field(description="file with the network's state dict, such as dinov2_vitl14_pretrain.pth"),
            RecipePath(),
        ],
        sha256: files.Digits = None,
        side: Annotated[
            int, Field(ge=14, le=1022, description="images are resized to this side, a multiple of the patches' 14")
        ] = 224,
    ) -> None:
        files.check_pictures("this network", context)
        self.device = context.device
        self.side = side
        self.weights = files.own(WHO, context.path(weights), sha256)
        self.preprocessing = (
            f"rounded to 256 levels; grey repeated; {side} x {side} (bicubic, antialiased, rounded); "
            f"(level / 255 - {MEAN}) / {DEVIATION}"
        )

    def __call__(self, x: Tensor) -> Tensor:
        return files.run_on(x, self.device, lambda levels: self.network(self._prepared(levels)))

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        """(B, C, H, W) -> ``blocks.0``, ...: the patches' tokens behind each block, (B, size, side / 14, side / 14)."""
        return files.maps_on(x, self.device, lambda levels: self.network.maps(self._prepared(levels)))

    def fingerprint(self) -> str:
        """A hash of the file's SHA-256 and of what is done to an image before."""
        return fingerprint("dinov2", self.weights.sha256, self.preprocessing, EXTRA)

    @property
    def size(self) -> int:
        """Features a picture."""
        return self.network.width

    @cached_property
    def network(self) -> VisionTransformer:
        """The network with its weights, frozen, on the context's device. DataError for a file of something else."""
        state = self.weights.read()
        with in_float32(), torch.device("meta"):
            empty = transformer(self.weights, state)
        if self.side % empty.patch:
            raise DataError(
                f"{WHO}: side: {self.side} is no multiple of the {empty.patch} pixels of a patch; "
                f"{self.side // empty.patch * empty.patch or empty.patch} is"
            )
        return files.filled(empty, self.weights, state).to(self.device)

    def _prepared(self, levels: Tensor) -> Tensor:
        """(B, C, H, W) in 0 to 255 -> (B, 3, side, side), as the network was trained."""
        x = files.coloured(files.resized(levels, self.side, self.side, "bicubic")) / 255  # (B, 3, side, side)
        mean, deviation = (
            torch.tensor(value, dtype=torch.float32, device=x.device)[:, None, None] for value in (MEAN, DEVIATION)
        )
        return (x - mean) / deviation


class VisionTransformer(nn.Module):
    """(B, 3, H, W) -> (B, width): patches, blocks of attention and perceptron, each normalised before and scaled after.

    positions: class token and patches that there are positions for. hidden: of the perceptrons, which are gated in
    ViT-g.
    """

    def __init__(self, width: int, depth: int, patch: int, positions: int, hidden: int, gated: bool) -> None:
        super().__init__()
        self.width = width
        self.patch = patch
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, patch, patch)})
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, positions, width))
        self.mask_token = nn.Parameter(torch.zeros(1, width))  # of the training alone
        self.blocks = nn.ModuleList([Block(width, hidden, gated) for _ in range(depth)])
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        h = self.tokens(x)
        for block in self.blocks:
            h = block(h)
        found: Tensor = self.norm(h[:, 0])
        return found

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        """(B, 3, H, W) -> name of a block -> (B, width, H / patch, W / patch)."""
        h, found = self.tokens(x), {}
        for place, block in enumerate(self.blocks):
            h = block(h)
            rows = h[:, 1:].transpose(1, 2)  # (B, width, N)
            found[f"blocks.{place}"] = rows.unflatten(2, (x.shape[2] // self.patch, x.shape[3] // self.patch))
        return found

    def tokens(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 1 + N, width): the class token and those of the patches, with their positions."""
        maps = self.patch_embed["proj"](x)  # (B, width, rows, columns)
        patches = maps.flatten(2).transpose(1, 2)  # (B, N, width)
        return torch.cat([self.cls_token.expand(len(x), -1, -1), patches], 1) + self.positions(
            maps.shape[2], maps.shape[3]
        )

    def positions(self, rows: int, columns: int) -> Tensor:
        """(1, 1 + rows * columns, width): those learnt, interpolated if the image has another number of patches."""
        side = math.isqrt(self.pos_embed.shape[1] - 1)
        if (rows, columns) == (side, side):
            return self.pos_embed
        grid = self.pos_embed[:, 1:].reshape(1, side, side, self.width).permute(0, 3, 1, 2)  # (1, width, side, side)
        scale = ((rows + EXTRA) / side, (columns + EXTRA) / side)
        grid = F.interpolate(grid, scale_factor=scale, mode="bicubic", align_corners=False)  # (1, width, rows, columns)
        return torch.cat([self.pos_embed[:, :1], grid.flatten(2).transpose(1, 2)], 1)


class Block(nn.Module):
    """(B, N, width) -> the same: x + gamma1 * attention(norm(x)), then x + gamma2 * perceptron(norm(x))."""

    def __init__(self, width: int, hidden: int, gated: bool) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = nn.ModuleDict({"qkv": nn.Linear(width, 3 * width), "proj": nn.Linear(width, width)})
        self.ls1 = nn.ParameterDict({"gamma": torch.ones(width)})
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        names = ("w12", "w3") if gated else ("fc1", "fc2")
        self.gated = gated
        self.mlp = nn.ModuleDict(
            {names[0]: nn.Linear(width, (2 if gated else 1) * hidden), names[1]: nn.Linear(hidden, width)}
        )
        self.ls2 = nn.ParameterDict({"gamma": torch.ones(width)})

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.ls1["gamma"] * self.attention(self.norm1(x))
        x = x + self.ls2["gamma"] * self.perceptron(self.norm2(x))
        return x

    def attention(self, x: Tensor) -> Tensor:
        """(B, N, width) -> (B, N, width), heads of 64 numbers."""
        batch, tokens, width = x.shape
        # (B, heads, N, 64) each
        q, k, v = self.attn["qkv"](x).reshape(batch, tokens, 3, width // HEAD, HEAD).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, v)
        found: Tensor = self.attn["proj"](seen.transpose(1, 2).reshape(batch, tokens, width))
        return found

    def perceptron(self, x: Tensor) -> Tensor:
        """(B, N, width) -> (B, N, width), with GELU, or with SwiGLU.

        That is SiLU of one half times the other (Shazeer, "GLU variants", 2020).
        """
        if self.gated:
            gate, value = self.mlp["w12"](x).chunk(2, -1)
            found: Tensor = self.mlp["w3"](F.silu(gate) * value)
            return found
        found = self.mlp["fc2"](F.gelu(self.mlp["fc1"](x)))
        return found


def transformer(weights: files.Weights, state: Mapping[str, Tensor]) -> VisionTransformer:
    """The network that a state dict is of. DataError if it is of none that is supported."""
    if "register_tokens" in state:
        raise DataError(
            f"{WHO}: {weights.path} is of a network with register tokens; take the file without: "
            "dinov2_vit?14_pretrain.pth"
        )
    try:
        gated = "blocks.0.mlp.w12.weight" in state
        hidden = state["blocks.0.mlp.w3.weight"].shape[1] if gated else state["blocks.0.mlp.fc1.weight"].shape[0]
        width, patch = state["patch_embed.proj.weight"].shape[0], state["patch_embed.proj.weight"].shape[-1]
        positions = state["pos_embed"].shape[1]
    except (KeyError, IndexError) as error:
        raise DataError(
            f"{WHO}: {weights.path} is not of a DINOv2 network, as published by its authors: it lacks {error}"
        ) from None
    if width % HEAD or math.isqrt(positions - 1) ** 2 != positions - 1:
        raise DataError(f"{WHO}: {weights.path} is not of a DINOv2 network: {width} features, {positions} positions")
    depth = len({name.split(".")[1] for name in state if name.startswith("blocks.")})
    return VisionTransformer(width, depth, patch, positions, hidden, gated)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("features", "dinov2", DinoV2)
