"""DINOv2's transformer next to torch's own layers, on small random weights with the published names."""

import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from ganrun.data.reader import InMemory
from ganrun.errors import DataError
from ganrun.evaluation.features import FeatureContext
from ganrun.words.spaces import Refusal, Space
from ganrun_plugins.features.dinov2 import DinoV2, VisionTransformer


def context(cache, shape=(3, 42, 42), kind="image"):
    data = InMemory({"x": torch.zeros(4, *shape)}, {"x": Space(kind, shape)}, [])
    return FeatureContext("x", data.spaces["x"], data, cache, torch.device("cpu"))


def random_state(*, width=128, depth=2, positions=10, hidden=96, gated=False):
    """Weights by their published names; positions: one of the class token and those of 3 x 3 patches."""
    shapes = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, positions, width),
        "mask_token": (1, width),
        "norm.weight": (width,),
        "norm.bias": (width,),
        "patch_embed.proj.weight": (width, 3, 14, 14),
        "patch_embed.proj.bias": (width,),
    }
    first, second = ("w12", "w3") if gated else ("fc1", "fc2")
    for block in range(depth):
        layers = {
            "attn.qkv": (3 * width, width),
            "attn.proj": (width, width),
            f"mlp.{first}": (hidden * (2 if gated else 1), width),
            f"mlp.{second}": (width, hidden),
        }
        for name, shape in layers.items():
            shapes |= {f"blocks.{block}.{name}.weight": shape, f"blocks.{block}.{name}.bias": shape[:1]}
        shapes |= {
            f"blocks.{block}.{norm}.{kind}": (width,) for norm in ("norm1", "norm2") for kind in ("weight", "bias")
        }
        shapes |= {f"blocks.{block}.{scale}.gamma": (width,) for scale in ("ls1", "ls2")}
    draws = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(shape, generator=draws) / math.sqrt(math.prod(shape[1:]) or 1)
        for name, shape in shapes.items()
    }


def saved(path, state):
    torch.save(state, path)
    return str(path)


def pictures(*shape):
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(1)).to(torch.uint8)


def normalised(levels):
    """Whole levels (B, 3, H, W) less ImageNet's mean colour, over its deviation."""
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (levels.float() / 255 - mean[:, None, None]) / deviation[:, None, None]


def encoder(state, block, width=128):
    """torch's layer with the weights of a block.

    It scales nothing, so gamma is worked into what it scales: g * (W h + b) = (g W) h + g b.
    """
    hidden = state[f"blocks.{block}.mlp.fc1.weight"].shape[0]
    layer = nn.TransformerEncoderLayer(width, width // 64, hidden, 0.0, "gelu", 1e-6, batch_first=True, norm_first=True)
    own = {
        name.removeprefix(f"blocks.{block}."): value
        for name, value in state.items()
        if name.startswith(f"blocks.{block}.")
    }
    names = {
        "attn.qkv": "self_attn.in_proj_",
        "attn.proj": "self_attn.out_proj.",
        "mlp.fc1": "linear1.",
        "mlp.fc2": "linear2.",
    }
    mapped = {f"{there}{kind}": own[f"{here}.{kind}"] for here, there in names.items() for kind in ("weight", "bias")}
    mapped |= {f"{norm}.{kind}": own[f"{norm}.{kind}"] for norm in ("norm1", "norm2") for kind in ("weight", "bias")}
    for there, gamma in (("self_attn.out_proj", own["ls1.gamma"]), ("linear2", own["ls2.gamma"])):
        mapped |= {
            f"{there}.weight": gamma[:, None] * mapped[f"{there}.weight"],
            f"{there}.bias": gamma * mapped[f"{there}.bias"],
        }
    layer.load_state_dict(mapped)
    return layer


def class_token(state, x, positions):
    """(B, 3, H, W) -> (B, width) by torch's layers. positions: (1 + patches, width), as they are added."""
    patches = F.unfold(x, 14, stride=14).transpose(1, 2)  # (B, patches, 3 * 14 * 14), row by row
    h = patches @ state["patch_embed.proj.weight"].flatten(1).T + state["patch_embed.proj.bias"]
    h = torch.cat([state["cls_token"].expand(len(x), 1, -1), h], 1) + positions
    for block in range(2):
        h = encoder(state, block)(h)
    return F.layer_norm(h[:, 0], (h.shape[-1],), state["norm.weight"], state["norm.bias"], 1e-6)


def test_features_are_the_class_token_of_torchs_own_layers(tmp_path):
    """3 x 3 patches, for which there are positions, of pictures that need no resizing."""
    state = random_state()
    extract = DinoV2(context(tmp_path), weights=saved(tmp_path / "w.pth", state), side=42)
    levels = pictures(3, 3, 42, 42)
    with torch.no_grad():
        wanted = class_token(state, normalised(levels), state["pos_embed"])
    found = extract(levels.float() / 127.5 - 1)
    assert extract.size == 128
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def keys(distance):
    """Keys' kernel with a = -0.75, which torch's bicubic interpolation uses (Keys 1981)."""
    a, d = -0.75, abs(distance)
    if d <= 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * (d**3 - 5 * d**2 + 8 * d - 4) if d < 2 else 0.0


def test_positions_for_another_number_of_patches_are_interpolated_as_the_authors_do(tmp_path):
    """From 3 x 3 to 2 x 2, position i is at (i + 1/2) * 3 / 2.1 - 1/2, not * 3 / 2; beyond the border the last is
    repeated.
    """
    state = random_state()
    grid = state["pos_embed"][0, 1:].reshape(3, 3, -1)
    matrix = torch.zeros(2, 3)
    for i in range(2):
        place = (i + 0.5) * 3 / 2.1 - 0.5
        for j in range(math.floor(place) - 1, math.floor(place) + 3):
            matrix[i, min(max(j, 0), 2)] += keys(place - j)
    small = torch.einsum("ri,cj,ijw->rcw", matrix, matrix, grid).reshape(4, -1)
    extract = DinoV2(context(tmp_path, (3, 28, 28)), weights=saved(tmp_path / "w.pth", state), side=28)
    torch.testing.assert_close(extract.network.positions(2, 2)[0, 1:], small, rtol=1e-4, atol=1e-5)
    assert torch.equal(extract.network.positions(2, 2)[:, :1], state["pos_embed"][:, :1])
    levels = pictures(2, 3, 28, 28)
    with torch.no_grad():
        wanted = class_token(state, normalised(levels), torch.cat([state["pos_embed"][0, :1], small]))
    torch.testing.assert_close(extract(levels.float() / 127.5 - 1), wanted, rtol=1e-4, atol=1e-4)


def test_the_published_size_becomes_sixteen_patches_a_side():
    """224 / 14 of 37: the scale that the 0.1 is for would otherwise round down to 15 now and then."""
    network = VisionTransformer(64, 0, 14, 1 + 37 * 37, 8, False)
    assert network.positions(16, 16).shape == (1, 257, 64)
    assert network.positions(37, 37) is network.pos_embed


def test_the_gated_perceptron_of_the_largest_network(tmp_path):
    """w3(silu(first half of w12) * second half), by hand on one token."""
    state = random_state(gated=True)
    extract = DinoV2(context(tmp_path), weights=saved(tmp_path / "w.pth", state), side=42)
    x = torch.randn(128, generator=torch.Generator().manual_seed(3))
    both = state["blocks.0.mlp.w12.weight"] @ x + state["blocks.0.mlp.w12.bias"]
    inner = both[:96] * torch.sigmoid(both[:96]) * both[96:]
    wanted = state["blocks.0.mlp.w3.weight"] @ inner + state["blocks.0.mlp.w3.bias"]
    torch.testing.assert_close(extract.network.blocks[0].perceptron(x), wanted, rtol=1e-4, atol=1e-5)
    assert extract(torch.zeros(2, 3, 42, 42)).shape == (2, 128)


@pytest.mark.parametrize("shape", [(30, 50), (80, 61)])
def test_pictures_are_resized_as_pillow_does_bicubically(tmp_path, shape):
    """Up and down; Pillow calculates in integers, so a few levels are one off."""
    extract = DinoV2(context(tmp_path, (3, *shape)), weights=saved(tmp_path / "w.pth", random_state()), side=42)
    levels = pictures(1, 3, *shape)
    picture = Image.fromarray(np.asarray(levels[0].permute(1, 2, 0))).resize((42, 42), Image.Resampling.BICUBIC)
    wanted = normalised(torch.from_numpy(np.array(picture)).permute(2, 0, 1))
    found = extract._prepared(levels.float())[0]
    assert (found - wanted).abs().max() < 1.01 / (255 * 0.224)
    assert ((found - wanted).abs() > 1e-5).double().mean() < 0.02


def test_the_file_decides_the_fingerprint_and_so_does_the_side(tmp_path):
    paths = [saved(tmp_path / "a.pth", random_state()), saved(tmp_path / "b.pth", random_state(hidden=64))]
    marks = {DinoV2(context(tmp_path), weights=path, side=side).fingerprint() for path in paths for side in (28, 42)}
    assert len(marks) == 4


def test_grey_is_repeated_and_points_are_refused(tmp_path):
    path = saved(tmp_path / "w.pth", random_state())
    grey, coloured = (DinoV2(context(tmp_path, (channels, 42, 42)), weights=path, side=42) for channels in (1, 3))
    x = pictures(2, 1, 42, 42).float() / 127.5 - 1
    torch.testing.assert_close(grey(x), coloured(x.expand(2, 3, 42, 42)))
    with pytest.raises(Refusal, match="takes images"):
        DinoV2(context(tmp_path, (2,), "points"), weights=path)


@pytest.mark.parametrize(
    ("change", "side", "said"),
    [
        ({"register_tokens": torch.zeros(1, 4, 128)}, 42, "register tokens; take the file without"),
        ({"pos_embed": torch.zeros(1, 9, 128)}, 42, "128 features, 9 positions"),
        ({"norm.bias": torch.zeros(7)}, 42, r"another shape have norm\.bias \(7,\)"),
        ({}, 50, "side: 50 is no multiple of the 14 pixels of a patch; 42 is"),
    ],
)
def test_what_cannot_be_served_is_said(tmp_path, change, side, said):
    path = saved(tmp_path / "w.pth", {**random_state(), **change})
    with pytest.raises(DataError, match=said):
        DinoV2(context(tmp_path), weights=path, side=side)(torch.zeros(1, 3, 42, 42))


def test_a_file_of_something_else_is_named(tmp_path):
    path = saved(tmp_path / "w.pth", nn.Linear(2, 2).state_dict())
    with pytest.raises(
        DataError, match=r"w\.pth is not of a DINOv2 network, as published by its authors: it lacks 'blocks\.0"
    ):
        DinoV2(context(tmp_path), weights=path)(torch.zeros(1, 3, 42, 42))
    with pytest.raises(DataError, match="there is no file"):
        DinoV2(context(tmp_path), weights=str(tmp_path / "nothing.pth"))


def test_maps_are_the_tokens_of_the_patches_where_these_lie():
    """On a 2 x 3 grid of patches the class token, which is first, is in no map, and patch (1, 2) is the last token."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = VisionTransformer(64, 2, 14, 10, 96, False).eval()
    seen = []
    network.blocks[0].register_forward_hook(lambda block, args, output: seen.append(output))
    maps = network.maps(torch.randn(2, 3, 28, 42))
    assert {name: tuple(layer.shape) for name, layer in maps.items()} == {
        "blocks.0": (2, 64, 2, 3),
        "blocks.1": (2, 64, 2, 3),
    }
    assert torch.equal(maps["blocks.0"][:, :, 0, 0], seen[0][:, 1])
    assert torch.equal(maps["blocks.0"][:, :, 1, 2], seen[0][:, -1])
