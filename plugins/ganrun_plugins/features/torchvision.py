"""The last hidden layer of any classifier of torchvision, with weights that are on this machine.

The features are what the network's last linear layer is given, and ``logits`` what it makes of them. Many measures are
reported in such a space: Xu et al., "An empirical study on evaluation metrics of generative adversarial networks",
2018, compare ResNet-34, VGG-16 and Inception v3, and find convolutional features the best to tell real from generated
images. With ``layer`` they are all numbers that this layer returns: ``features.35`` of vgg19 is conv5_4 after its
ReLU, in which SRGAN compares images (Ledig et al. 2016).

``weights`` names published weights, such as IMAGENET1K_V1, or a file with a state dict of one's own; null is the newest
published. Published ones are never downloaded here, but taken from where torch.hub keeps them (or ganrun's cache),
verified by the beginning of their SHA-256, which their name holds. Nothing in a file is executed.

Images are rounded to 256 levels, grey is repeated, the shorter side is brought to ``resize`` pixels as Pillow does
(antialiased, rounded again), the middle ``crop`` x ``crop`` are cropped, and mean and deviation of ImageNet's colours
taken off. Sizes and interpolation are those of the published weights, for a file of one's own 256, 224 and bilinear, if
``resize`` and ``crop`` say nothing else.
"""

from __future__ import annotations

import copy
import difflib
import re
import warnings
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torchvision import models
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names
from torchvision.transforms.functional import center_crop

from ganrun.plugin import Component, RecipePath, UserError, hookimpl
from ganrun.plugin.data import DataError, fingerprint
from ganrun.plugin.evaluation import FeatureContext
from ganrun_plugins._classifier_network import in_float32
from ganrun_plugins.features import _weights as files

WHO = "features.torchvision"
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's colours
DENSE = re.compile(r"(denselayer\d+\.(?:norm|conv))\.(\d)")  # the published files of DenseNet keep names of before 2018


class Torchvision:
    """(B, 1 or 3, H, W) images in [-1, 1] -> (B, size) float32.

    The input of the last linear layer. ``logits``: (B, classes).

    The file is not read before the first call, but has to be there.
    """

    def __init__(
        self,
        context: FeatureContext,
        *,
        model: Annotated[
            str, Field(description="a classifier of torchvision.models, such as resnet50, vgg16 or vit_b_16")
        ] = "resnet50",
        weights: Annotated[
            str | None,
            Field(description="a file, or a name such as IMAGENET1K_V1; null: the newest published ones"),
            RecipePath(or_name=True),
        ] = None,
        sha256: files.Digits = None,
        resize: Annotated[
            int | None, Field(ge=8, le=2048, description="pixels of the shorter side; null: as the weights want it")
        ] = None,
        crop: Annotated[
            int | None, Field(ge=8, le=2048, description="side of the square crop; null: as the weights want it")
        ] = None,
        layer: Annotated[
            str | None,
            Field(
                description=(
                    "whose output the features are, such as features.35; null: the input of the last linear layer"
                )
            ),
        ] = None,
    ) -> None:
        files.check_pictures("this network", context)
        self.device = context.device
        self.model = known(model)
        self.size = last_linear(model, outline(model))[1].in_features
        self.layer = layer
        named = models.get_model_weights(model).__members__
        wanted: Any = named.get(weights if weights is not None else "DEFAULT", None)
        if wanted is None:
            assert weights is not None
            self.weights = own(model, context.path(weights), sha256, list(named))
            self.resize, self.crop, self.mean, self.deviation, self.mode = (
                resize or 256,
                crop or 224,
                MEAN,
                DEVIATION,
                "bilinear",
            )
        else:
            self.weights = published(model, wanted, context, sha256)
            preset = wanted.transforms()
            self.resize, self.crop = resize or preset.resize_size[0], crop or preset.crop_size[0]
            self.mean, self.deviation, self.mode = tuple(preset.mean), tuple(preset.std), preset.interpolation.value
        if layer is not None:
            self.size = size_of(model, layer, self.crop)

    def __call__(self, x: Tensor) -> Tensor:
        return files.run_on(x, self.device, lambda levels: self.body(self._prepared(levels)).flatten(1))

    def logits(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, classes) of the network, which are not the data's."""
        return files.run_on(
            x, self.device, lambda levels: self.network[1](self.network[0](self._prepared(levels)).flatten(1))
        )

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        """(B, C, H, W) -> name of a layer -> its maps, the last ones of each size on the way to the features.

        Empty for a network without maps, such as a transformer.
        """
        return files.maps_on(x, self.device, lambda levels: self._maps(self._prepared(levels)))

    @property
    def preprocessing(self) -> str:
        """What is done to an image before the network sees it."""
        return (
            f"rounded to 256 levels; grey repeated; shorter side {self.resize} ({self.mode}, antialiased, rounded); "
            f"middle {self.crop} x {self.crop}; (level / 255 - {self.mean}) / {self.deviation}"
        )

    def fingerprint(self) -> str:
        """A hash of the file's SHA-256, the network's name and what is done to an image before."""
        return fingerprint(
            "torchvision", self.model, self.weights.sha256, self.preprocessing, *([self.layer] if self.layer else [])
        )

    @cached_property
    def body(self) -> Callable[[Tensor], Tensor]:
        """Images (B, 3, crop, crop) -> the features, (B, ...)."""
        return self.network[0] if self.layer is None else up_to(self.model, self.network[0], self.layer)

    @cached_property
    def _maps(self) -> Callable[[Tensor], dict[str, Tensor]]:
        """Images (B, 3, crop, crop) -> name -> maps (B, C, H, W)."""
        names = mapped(self.network[0], self.crop, self.layer)
        if not names:
            return lambda x: {}
        found: Callable[[Tensor], dict[str, Tensor]] = create_feature_extractor(
            self.network[0], {name: name for name in names}
        )
        return found

    @cached_property
    def network(self) -> tuple[nn.Module, nn.Linear]:
        """Everything up to the last linear layer, and that layer; frozen, on the context's device."""
        state = self.weights.read()
        if any(DENSE.search(name) for name in state):
            state = {DENSE.sub(r"\1\2", name): value for name, value in state.items()}
        name, _ = last_linear(self.model, outline(self.model))
        rows = state.get(f"{name}.weight")
        settings = {} if rows is None else {"num_classes": rows.shape[0]}
        network = built(self.model, **settings)
        # a vision transformer has positions for one size alone
        if getattr(network, "image_size", self.crop) != self.crop:
            network = built(self.model, **settings, image_size=self.crop)
        if hasattr(network, "transform_input"):  # ported from TensorFlow: it takes colours on another scale
            network.transform_input = True  # type: ignore[assignment]
        network = files.filled(network, self.weights, state).to(self.device)
        name, last = last_linear(self.model, network)
        parent, _, attribute = name.rpartition(".")
        setattr(network.get_submodule(parent), attribute, nn.Identity())
        return network, last

    def _prepared(self, levels: Tensor) -> Tensor:
        """(B, C, H, W) in 0 to 255 -> (B, 3, crop, crop), as the network was trained."""
        height, width = levels.shape[-2:]
        shorter = min(height, width)
        levels = files.resized(levels, self.resize * height // shorter, self.resize * width // shorter, self.mode)
        x = files.coloured(center_crop(levels, [self.crop, self.crop])) / 255  # (B, 3, crop, crop)
        mean, deviation = (
            torch.tensor(value, dtype=torch.float32, device=x.device)[:, None, None]
            for value in (self.mean, self.deviation)
        )
        return (x - mean) / deviation


def known(model: str) -> str:
    """The name, if it is that of a classifier. UserError if not."""
    names = models.list_models(module=models)
    if model not in names:
        near = difflib.get_close_matches(model, names, n=3)
        raise UserError(
            f"{WHO}: torchvision has no classifier {model!r}; "
            + (f"did you mean {' or '.join(near)}?" if near else "torchvision.models.list_models")
        )
    return model


def built(model: str, **settings: Any) -> nn.Module:
    """The network with weights of no use, in float32. torch's global generator is left as it was."""
    with torch.random.fork_rng(devices=[]), in_float32(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # how two of them are initialised is going to change
        network: nn.Module = models.get_model(model, weights=None, **settings)
        return network


def outline(model: str) -> nn.Module:
    """The network without memory for its weights, which takes no time."""
    try:
        with torch.device("meta"):
            return built(model)
    except NotImplementedError:  # some networks calculate their widths with tensors, and need real ones
        return built(model)


def last_linear(model: str, network: nn.Module) -> tuple[str, nn.Linear]:
    """The last linear layer and its name: classifiers end in it. UserError for one that has none."""
    found = [(name, module) for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not found:
        raise UserError(
            f"{WHO}: {model} ends in no linear layer, so it has no last hidden layer; "
            "take another model, such as resnet50"
        )
    return found[-1]


def up_to(model: str, network: nn.Module, layer: str) -> Callable[[Tensor], Tensor]:
    """Everything of a network up to one of its layers. UserError if it has no layer of this name."""
    try:
        extractor = create_feature_extractor(network, {layer: "features"})
    except ValueError as error:
        raise UserError(
            f"{WHO}: {model} has no layer {layer!r}; names are those of its modules, such as features.35 of vgg19"
        ) from error
    return lambda x: extractor(x)["features"]


def mapped(network: nn.Module, crop: int, last: str | None) -> list[str]:
    """The nodes of a network, up to the layer ``last``, that return the last maps of their height and width.

    Maps are what becomes wider with the image and keeps its channels. A transformer takes no wider image.
    """
    twin = copy.deepcopy(network).to("meta")
    names = get_graph_node_names(twin)[1][1:]  # the first is the image
    inside = [place for place, name in enumerate(names) if last and f"{name}.".startswith(f"{last}.")]
    names = names[: inside[-1] + 1] if inside else names
    run = create_feature_extractor(twin, {name: name for name in names})
    sides = (1, 3, crop, crop), (1, 3, crop, 2 * crop)
    try:
        with torch.no_grad():
            one, wider = (run(torch.zeros(side, dtype=torch.float32, device="meta")) for side in sides)
    except (AssertionError, RuntimeError):
        return []
    shapes = {name: (_shape(one[name]), _shape(wider[name])) for name in names}
    maps = {
        name: shape[2:]
        for name, (shape, stretched) in shapes.items()
        if len(shape) == 4 and shape[:3] == stretched[:3] and shape[3] < stretched[3]
    }
    return list({side: name for name, side in maps.items()}.values())


def _shape(output: Any) -> tuple[int, ...]:
    return tuple(output.shape) if isinstance(output, Tensor) else ()


def size_of(model: str, layer: str, crop: int) -> int:
    """How many numbers a layer returns for one image of this side."""
    network = outline(model).eval()
    with torch.no_grad():
        picture = torch.zeros(1, 3, crop, crop, dtype=torch.float32, device=next(network.parameters()).device)
        return up_to(model, network, layer)(picture).numel()


def own(model: str, weights: Path, sha256: str | None, names: list[str]) -> files.Weights:
    """The weights of a file that the recipe names.

    DataError if it is not there, with the names that it could have meant.
    """
    try:
        return files.own(WHO, weights, sha256)
    except DataError as error:
        raise DataError(f"{error}; published weights of {model} are called {', '.join(names)}") from None


def published(model: str, wanted: Any, context: FeatureContext, sha256: str | None) -> files.Weights:
    """Published weights, if they are on this machine. DataError saying how to get them if not."""
    name = wanted.url.rpartition("/")[2]
    digits = re.search(r"-([0-9a-f]{8,64})\.", name)
    file = files.Published((name,), wanted.url, digits[1] if digits else "")
    found = file.found(context.cache)
    if found is None:
        places = "\n  ".join(str(place) for place in file.places(context.cache))
        raise DataError(
            f"{WHO}: the weights {wanted.name} of {model} are not on this machine. Get them once, by\n"
            f"  python -c \"import torch; torch.hub.load_state_dict_from_url('{wanted.url}', check_hash=True)\"\n"
            f"or place {name} here:\n  {places}"
        )
    return files.Weights(WHO, lambda: found, sha256 or file.sha256)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("features", "torchvision", Torchvision)
