"""The features of a small convolutional network with random weights, drawn from a fixed seed.

Needs no file and no labels. Xu et al., "An empirical study on evaluation metrics of generative adversarial networks",
2018, find features of random weights usable, if weaker than those of trained ones; Naeem et al., "Reliable fidelity and
diversity metrics for generative models", 2020, prefer them where images are unlike photographs (they take an
untrained VGG16).

Here: ``layers`` convolutions of 3 x 3 without bias, each followed by a leaky ReLU (slope 0.2); those at the beginning
halve the image until its shorter side is at most 4 pixels. Weights are normal with He's variance
2 / ((1 + 0.2^2) * inputs of a neuron), which keeps the size of numbers from layer to layer. The features are mean and
maximum of each of the last ``width`` maps.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from functools import cached_property
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from ganrun.plugin import Component, Refusal, hookimpl, stable_hash
from ganrun.plugin.data import fingerprint
from ganrun.plugin.evaluation import FeatureContext
from ganrun_plugins.features._weights import maps_on, run_on

SLOPE = 0.2
LEAST = 4  # pixels of the shorter side at which maps are not halved any more


class RandomConv:
    """(B, C, H, W) images in [-1, 1] of any size and number of channels -> (B, 2 * width) float32."""

    preprocessing = "rounded to 256 levels; (level / 127.5) - 1; not resized"

    def __init__(
        self,
        context: FeatureContext,
        *,
        width: Annotated[
            int, Field(ge=1, le=4096, description="maps of the last layer; there are twice as many features")
        ] = 128,
        layers: Annotated[
            int, Field(ge=1, le=12, description="convolutions, each twice as wide as the one before")
        ] = 4,
        seed: Annotated[int, Field(ge=0, description="seed of the weights")] = 0,
    ) -> None:
        if context.space.kind != "image":
            raise Refusal(f"convolutions take images, and {context.name} is {context.space}", "features: pixels")
        self.device = context.device
        self.size = 2 * width
        self.seed = seed
        self.channels = [context.space.shape[0], *(max(1, width >> (layers - 1 - layer)) for layer in range(layers))]

    def __call__(self, x: Tensor) -> Tensor:
        return run_on(x, self.device, self._features)

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        """(B, C, H, W) -> ``layer1``, ``layer2``, ...: the maps of each convolution, behind its LeakyReLU."""
        return maps_on(x, self.device, lambda levels: dict(self._layers(levels)))

    def fingerprint(self) -> str:
        """A hash of the weights and of what is done to an image before."""
        return fingerprint("random-conv", self.preprocessing, SLOPE, LEAST, [weight.cpu() for weight in self.weights])

    @cached_property
    def weights(self) -> list[Tensor]:
        """Kernels (outputs, inputs, 3, 3), drawn by NumPy in float64 and rounded, so that machines agree on them."""
        found = []
        for layer, (inputs, outputs) in enumerate(zip(self.channels, self.channels[1:])):
            source = np.random.default_rng(stable_hash("random-conv", self.seed, layer))
            deviation = math.sqrt(2 / ((1 + SLOPE**2) * 9 * inputs))
            kernel = deviation * source.standard_normal((outputs, inputs, 3, 3))
            found.append(torch.from_numpy(kernel.astype(np.float32)).to(self.device))
        return found

    def _layers(self, levels: Tensor) -> Iterator[tuple[str, Tensor]]:
        """(B, C, H, W) in 0 to 255 -> name and maps of one layer after the other."""
        x = levels / 127.5 - 1
        for number, weight in enumerate(self.weights, 1):
            stride = 2 if min(x.shape[-2:]) > LEAST else 1
            x = F.leaky_relu(F.conv2d(x, weight, stride=stride, padding=1), SLOPE)
            yield f"layer{number}", x

    def _features(self, levels: Tensor) -> Tensor:
        """(B, C, H, W) in 0 to 255 -> (B, 2 * width)."""
        ((_, x),) = deque(self._layers(levels), maxlen=1)  # those of the last layer
        return torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("features", "random-conv", RandomConv)
