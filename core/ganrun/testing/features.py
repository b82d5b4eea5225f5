"""What a feature extractor has to keep; with ``offline = False``, what needs downloaded weights is left out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ganrun.evaluation.features import FeatureContext
from ganrun.preflight.stages import STAGES
from ganrun.testing.conditions import offline, when
from ganrun.testing.plugin import Plugin
from ganrun.words.spaces import DataFiles, Refusal

_ROWS = 4


def contexts(plugin: Plugin) -> Iterator[FeatureContext]:
    """The data of the small experiments, and of the example's recipe."""
    files = DataFiles(plugin.folder, plugin.folder / "cache")
    for stage in STAGES.values():
        data = plugin.load({**stage, **plugin.example.recipe}).dataset.make(files, "train")
        for name, space in data.spaces.items():
            if space.kind != "labels":
                yield FeatureContext(name, space, data, plugin.folder / "cache", torch.device("cpu"))


def served(plugin: Plugin) -> tuple[FeatureContext, Any]:
    """The first context that it does not refuse, and an extractor for it. AssertionError if it refuses all."""
    reasons = []
    for context in contexts(plugin):
        try:
            return context, plugin.part.make(context)
        except Refusal as refusal:
            reasons.append(str(refusal))
    raise AssertionError(
        f"every small data set is refused; give one that works, as an Example(recipe=...): {reasons[-1]}"
    )


def input_of(context: FeatureContext) -> Tensor:
    """(_ROWS, *shape) in the range of images."""
    return torch.randn(_ROWS, *context.space.shape, generator=torch.Generator().manual_seed(0)).tanh()


@when(offline)
def check_shape(plugin: Plugin) -> None:
    """(B, *shape) -> (B, size) float32, whatever type the samples have."""
    context, extract = served(plugin)
    for dtype in (torch.float32, torch.float64):
        found = extract(input_of(context).to(dtype))
        assert tuple(found.shape) == (_ROWS, extract.size), f"{tuple(found.shape)} instead of {(_ROWS, extract.size)}"
        assert found.dtype == torch.float32, f"features of {dtype} samples are {found.dtype}, not float32"
        assert bool(found.isfinite().all()), "features are not finite"


@when(offline)
def check_gradient(plugin: Plugin) -> None:
    """A finite gradient reaches every sample and nothing else, and asking for it changes no value."""
    context, extract = served(plugin)
    x = input_of(context).requires_grad_()
    found = extract(x)
    assert found.requires_grad, "no gradient reaches the samples: remove no_grad and detach, the caller adds them"
    with torch.no_grad():
        torch.testing.assert_close(found, extract(x), rtol=1e-5, atol=1e-5)
    (grad,) = torch.autograd.grad(found.square().sum(), x, retain_graph=True)
    assert bool(grad.isfinite().all()), "the gradient at the samples is not finite"
    assert bool(grad.flatten(1).any(1).all()), "the gradient at some sample is 0"
    others = [leaf for leaf in leaves(found) if leaf is not x]
    assert not others, f"{len(others)} other tensors require a gradient: freeze the weights"


def leaves(x: Tensor) -> list[Tensor]:
    """The tensors without a history in the graph of x that require a gradient."""
    found, waiting, seen = [], [x.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        waiting += [before for before, _ in node.next_functions]
        if hasattr(node, "variable"):
            found.append(node.variable)
    return found


@when(offline)
def check_each_sample_alone(plugin: Plugin) -> None:
    """The features of a sample do not depend on its batch."""
    context, extract = served(plugin)
    x = input_of(context)
    torch.testing.assert_close(extract(x)[1:2], extract(x[1:2]), rtol=1e-4, atol=1e-4)


@when(lambda plugin: hasattr(plugin.factory, "maps") and offline(plugin))
def check_maps(plugin: Plugin) -> None:
    """Name -> (B, C, H, W) float32, the same names in every call; each sample alone decides its maps.

    A finite gradient reaches the samples from each layer, and nothing else.
    """
    context, extract = served(plugin)
    x = input_of(context).requires_grad_()
    maps, alone = extract.maps(x), extract.maps(x[1:2])
    assert maps and list(maps) == list(alone), (
        f"the names of the maps change: {', '.join(maps)}, then {', '.join(alone)}"
    )
    for name, layer in maps.items():
        assert layer.dim() == 4 and len(layer) == _ROWS, f"{name}: {tuple(layer.shape)} is not ({_ROWS}, C, H, W)"
        assert layer.dtype == torch.float32, f"the maps of {name} are {layer.dtype}, not float32"
        torch.testing.assert_close(layer[1:2], alone[name], rtol=1e-4, atol=1e-4)
        (grad,) = torch.autograd.grad(layer.square().sum(), x, retain_graph=True)
        assert bool(grad.isfinite().all()), f"{name}: the gradient at the samples is not finite"
        assert bool(grad.flatten(1).any(1).all()), f"{name}: the gradient at some sample is 0"
        assert all(leaf is x for leaf in leaves(layer)), f"{name}: other tensors require a gradient: freeze the weights"


@when(offline)
def check_fingerprint(plugin: Plugin) -> None:
    """Two instances on the same data have one fingerprint and give the same features."""
    context, extract = served(plugin)
    again = plugin.part.make(context)
    mark = extract.fingerprint()
    assert isinstance(mark, str) and mark and mark == again.fingerprint()
    assert torch.equal(extract(input_of(context)), again(input_of(context)))
