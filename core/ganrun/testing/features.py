"""What a feature extractor has to keep."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ganrun.evaluation import FeatureContext
from ganrun.protocols import DataFiles, Refusal
from ganrun.testing.plugin import Plugin
from ganrun.testing.stages import STAGES

ROWS = 4


def contexts(plugin: Plugin) -> Iterator[FeatureContext]:
    """The data of the small experiments, and of the example's recipe."""
    files = DataFiles(plugin.folder, plugin.folder / "cache")
    for stage in STAGES.values():
        data = plugin.load({**stage, **plugin.example.recipe}).dataset.make(files, "train")
        for name, space in data.spaces.items():
            if space.kind != "labels":
                yield FeatureContext(name, space, data, plugin.folder / "cache", torch.device("cpu"))


def served(plugin: Plugin) -> Iterator[tuple[FeatureContext, Any]]:
    """The contexts that it does not refuse, with an extractor each. AssertionError if it refuses all."""
    reasons = []
    for context in contexts(plugin):
        try:
            yield context, plugin.part.make(context)
            return
        except Refusal as refusal:
            reasons.append(str(refusal))
    raise AssertionError(f"every small data set is refused; hand one in as an Example(recipe=...): {reasons[-1]}")


def input_of(context: FeatureContext) -> Tensor:
    """(ROWS, *shape) in the range of images."""
    return torch.randn(ROWS, *context.space.shape, generator=torch.Generator().manual_seed(0)).tanh()


def check_shape(plugin: Plugin) -> None:
    """(B, *shape) -> (B, size) float32 without a gradient."""
    for context, extract in served(plugin):
        found = extract(input_of(context).requires_grad_())
        assert tuple(found.shape) == (ROWS, extract.size), f"{tuple(found.shape)} instead of {(ROWS, extract.size)}"
        assert found.dtype == torch.float32 and not found.requires_grad, "features are float32, without a gradient"
        assert bool(found.isfinite().all())


def check_each_sample_alone(plugin: Plugin) -> None:
    """The features of a sample do not depend on its batch."""
    for context, extract in served(plugin):
        x = input_of(context)
        torch.testing.assert_close(extract(x)[1:2], extract(x[1:2]), rtol=1e-4, atol=1e-4)


def check_fingerprint(plugin: Plugin) -> None:
    """Two instances on the same data have one fingerprint and give the same features."""
    for context, extract in served(plugin):
        again = plugin.part.make(context)
        mark = extract.fingerprint()
        assert isinstance(mark, str) and mark and mark == again.fingerprint()
        assert torch.equal(extract(input_of(context)), again(input_of(context)))
