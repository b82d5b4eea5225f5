"""The 2048 features and 1008 logits of the Inception network that FID, KID and the Inception score use.

Salimans et al., "Improved techniques for training GANs", 2016, took its logits; Heusel et al., "GANs trained by a two
time-scale update rule converge to a local Nash equilibrium", 2017, its last averages. Published numbers compare only if
network, weights and the way to 299 pixels are the very same, so all three are fixed here as torch-fidelity (and
pytorch-fid, whose file is the same) has them: images are rounded to 256 levels, resized as TensorFlow 1 does
(bilinear, not antialiased, pixel i of 299 taken at i * n / 299 of n), and taken as (level - 128) / 128. Logits come
without the bias, as torch-fidelity's Inception score and the first code have them.

The weights (96 MB) are looked for where torch.hub keeps them and in ganrun's cache, else downloaded, and verified by
their SHA-256. Other weights of the same network can be named by ``weights``: scores then carry that file's hash, and
are not called FID. ``sha256`` makes sure that it is the expected file. Nothing in a file
is executed.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, RecipePath, hookimpl
from ganrun.plugin.data import DataError, fingerprint
from ganrun.plugin.evaluation import FeatureContext
from ganrun_plugins._classifier_network import in_float32
from ganrun_plugins.features import _inception_network as networks
from ganrun_plugins.features import _weights as files

WHO = "features.inception"
THE = files.Published(
    names=("weights-inception-2015-12-05-6726825d.pth", "pt_inception-2015-12-05-6726825d.pth"),
    url="https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
    sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    size=95_628_359,
)
CALLED = {"frechet-distance": "FID", "kernel-distance": "KID", "inception-score": "IS"}


class Inception:
    """(B, 1 or 3, H, W) images in [-1, 1] -> (B, 2048) float32.

    ``logits``: (B, 1008), of classes that are not the data's.

    Nothing is read or downloaded before the first call. ``called`` names scores only if the weights are the published
    ones.
    """

    offline: ClassVar[bool] = False
    size = networks.InceptionNetwork.size
    preprocessing: ClassVar[str] = (
        f"rounded to 256 levels; grey repeated; {networks.SIDE} x {networks.SIDE} "
        "as TensorFlow 1 does (bilinear, no antialiasing); (level - 128) / 128"
    )

    def __init__(
        self,
        context: FeatureContext,
        *,
        weights: Annotated[
            str | None,
            Field(description="file with other weights of this network; null: the published ones"),
            RecipePath(),
        ] = None,
        sha256: files.Digits = None,
    ) -> None:
        files.check_pictures("this network", context)
        if weights is None and not THE.sha256.startswith((sha256 or "").lower()):
            raise DataError(
                f"{WHO}: sha256 is that of other weights than the published ones; name their file: weights: PATH"
            )
        self.device = context.device
        self.weights = (
            files.published(WHO, THE, context.cache)
            if weights is None
            else files.own(WHO, context.path(weights), sha256)
        )

    def __call__(self, x: Tensor) -> Tensor:
        return files.run_on(x, self.device, lambda levels: self.network.features(files.coloured(levels)))

    def logits(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, 1008): of the 1008 outputs of the graph of 2015, without their bias."""
        return files.run_on(x, self.device, lambda levels: self.network(files.coloured(levels)))

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        """(B, C, H, W) -> what each layer and block returns, from Conv2d_1a_3x3 to Mixed_7c."""
        return files.maps_on(x, self.device, lambda levels: dict(self.network.maps(files.coloured(levels))))

    def fingerprint(self) -> str:
        """A hash of the file's SHA-256 and of what is done to an image before."""
        return fingerprint("inception", self.weights.sha256, self.preprocessing)

    @property
    def called(self) -> dict[str, str]:
        """Evaluator -> what the field calls its score on these features; empty for other weights."""
        return dict(CALLED) if self.weights.sha256 == THE.sha256 else {}

    @cached_property
    def network(self) -> networks.InceptionNetwork:
        """The network with its weights, frozen, on the context's device."""
        with in_float32(), torch.device("meta"):
            empty = networks.InceptionNetwork()
        return files.filled(empty, self.weights, self.weights.read()).to(self.device)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("features", "inception", Inception)
