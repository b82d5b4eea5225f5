"""The last hidden layer of a small convolutional classifier of the data's own classes: 64 numbers an image.

A classifier trained on the data themselves sees what their classes differ in, where a network for photographs does not
(the practice of measuring digits by a digit classifier: Salimans et al., "Improved techniques for training GANs", 2016,
and Xu et al., "An empirical study on evaluation metrics of generative adversarial networks", 2018).

Images are resized to ``side`` (bilinear, antialiased when they shrink) and rounded to 256 levels first. A data set
may say what its entries show (``subjects``: entry -> text); if weights for that subject come with ganrun, they are
used, so that values compare between machines. Any other labelled data get a classifier of their own, trained once on
the train split and kept in the cache folder under a fingerprint of data, preprocessing, network and training. It sees
each image 40 times, in 200 steps at least and 1,000 at most, unless ``steps`` says otherwise; a training that was
killed continues where it was.

The weights are frozen. Gradients reach the images as if they had not been rounded: rounding alone has none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Refusal, hookimpl, stable_hash
from ganrun.plugin.data import DataError, file_lock, fingerprint, progress_bar, read_items, subset, track
from ganrun.plugin.evaluation import FeatureContext
from ganrun_plugins import _classifier_network as networks
from ganrun_plugins.features._weights import exact

SHIPPED = Path(__file__).parent / "weights"
MOST = 50_000  # training images at most, chosen at random
FEWEST, STEPS = 200, 1000
EPOCHS = 40  # in which a few hundred images are learned; more steps than STEPS change little on many


class Classifier:
    """(B, C, H, W) images in [-1, 1] -> (B, 64) float32. ``logits`` and ``classify`` answer in the data's own classes.

    Labels come from an entry ``label`` of the data, or from its method ``labelled(name)``, which returns all images
    of an entry (N, C, H, W) and their labels (N,). Nothing is trained or read before the first call.
    """

    size = networks.ClassifierNetwork.size

    def __init__(
        self,
        context: FeatureContext,
        *,
        side: Annotated[int, Field(ge=8, le=256, description="images are resized to this side, in pixels")] = 32,
        steps: Annotated[
            int | None,
            Field(
                ge=1,
                description=(
                    "train a new one for so many steps; null: a shipped one if there is one, else 40 epochs of the "
                    "images, 200 to 1000 steps"
                ),
            ),
        ] = None,
    ) -> None:
        if context.space.kind != "image":
            raise Refusal(f"a classifier takes images, and {context.name} is {context.space}", "features: pixels")
        self.context = context
        self.side = side
        self.channels = context.space.shape[0]
        self.classes = [str(name) for name in context.data.classes]
        self.shipped = shipped(context, side, self.classes) if steps is None else None
        self.steps = steps or default_steps(min(len(context.data), MOST))
        if self.shipped is None:
            self._check_labels()

    def __call__(self, x: Tensor) -> Tensor:
        return self._run(x, self.network.features)

    def logits(self, x: Tensor) -> Tensor:
        """Class logits (B, K), one column for each of the data's classes, in their order.

        Raises DataError without labels.
        """
        logits = self._run(x, self.network)  # (B, K), or more if the shipped network knows more classes
        if self.shipped is None:
            return logits
        if not self.classes:
            raise DataError("features.classifier: this data set names no classes, so there is nothing to classify")
        known = networks.metadata_of(self.shipped)["classes"].split(",")
        return logits[:, [known.index(name) for name in self.classes]]

    def classify(self, x: Tensor) -> Tensor:
        """The most likely class of each sample, (B,) int64, as the data number them."""
        with torch.no_grad():
            return self.logits(x).argmax(1)

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        """(B, C, H, W) -> what each of the three blocks of convolutions returns, at 1/2, 1/4 and 1/8 of ``side``."""
        device = self.context.device
        with exact(device):
            found = self.network.maps(networks.resized(x.to(device), self.side))
        return {name: layer.to(x.device) for name, layer in found.items()}

    def beforehand(self) -> str:
        """What is done once, before the first call, and about how long it takes here; nothing for a shipped one.

        Whether this machine has it already is not looked up: that may take reading all data.
        """
        if self.shipped is not None:
            return ""
        steps = f"{self.steps:,} steps of {networks.BATCH} images (`steps`)"
        took = networks.seconds_a_step(self.channels, len(self.classes), self.side, self.context.device) * self.steps
        long = f"{took:.0f} s" if took < 120 else f"{took / 60:.0f} minutes"
        return f"a classifier of the data's classes is trained once, unless it is kept here: {steps}, about {long}"

    def fingerprint(self) -> str:
        """A hash of the weights and of what is done to an image before."""
        return fingerprint(
            "classifier", self.side, networks.ARCHITECTURE, list(networks.weights_of(self.network).items())
        )

    @property
    def preprocessing(self) -> str:
        """What is done to an image before the network sees it."""
        return (
            f"resized to {self.side} x {self.side} (bilinear, antialiased); rounded to 256 levels; (level / 127.5) - 1"
        )

    @cached_property
    def network(self) -> networks.ClassifierNetwork:
        """The trained network, in evaluation mode on the context's device."""
        if self.shipped is not None:
            count = len(networks.metadata_of(self.shipped)["classes"].split(","))
            found = networks.load(self.shipped, self.channels, count)
            if found is None:
                raise DataError(f"{self.shipped}: the weights are damaged; reinstall ganrun")
        else:
            found = self._own()
        return found.requires_grad_(False).to(self.context.device)

    def _run(self, x: Tensor, function: Any) -> Tensor:
        device = self.context.device
        with exact(device):
            out: Tensor = function(networks.resized(x.to(device), self.side))
        return out.to(x.device)

    # --- a classifier of this data's own -------------------------------------------------------------------------

    def _check_labels(self) -> None:
        data, name = self.context.data, self.context.name
        if not hasattr(data, "labelled") and "label" not in data.spaces:
            raise Refusal(
                f"a classifier is trained on labels, and this data set has none for {name}",
                "features: pixels, or a data set with labels",
            )
        if len(self.classes) < 2:
            raise Refusal(
                f"a classifier tells classes apart, and this data set has {len(self.classes)}",
                "features: pixels, or more classes",
            )

    def _own(self) -> networks.ClassifierNetwork:
        """The network kept for this data, trained now if there is none, by one process while others wait."""
        context = self.context
        collected = None if hasattr(context.data, "fingerprint") else self._collect()
        data = context.data.fingerprint() if collected is None else fingerprint(*collected)  # type: ignore[attr-defined]
        key = fingerprint(
            data,
            "train",
            context.name,
            self.side,
            self.classes,
            networks.ARCHITECTURE,
            networks.TRAINING,
            self.steps,
            MOST,
        )
        path = context.cache / "classifiers" / f"{key}.safetensors"
        with file_lock(path, f"another process trains {path.name}"):
            network = networks.load(path, self.channels, len(self.classes)) if path.exists() else None
            if network is None:
                network = self._train(collected or self._collect(), stable_hash("classifier", key), path)
                metadata = {
                    "classes": ",".join(self.classes),
                    "data": data,
                    "architecture": networks.ARCHITECTURE,
                    "training": networks.TRAINING,
                }
                networks.save(network, path, metadata)
        return network

    def _train(self, data: tuple[Tensor, Tensor], seed: int, path: Path) -> networks.ClassifierNetwork:
        x, label = data
        what = f"features.classifier: training on {len(x)} images of {len(self.classes)} classes"
        print(f"{what} for {self.steps} steps (`steps`), once; it will be kept as {path}", flush=True)
        network = networks.new_network(self.channels, len(self.classes), seed).to(self.context.device)
        partial = path.with_suffix(".training")
        # the first call may come from within a step
        with (
            torch.autocast(self.context.device.type, enabled=False),
            progress_bar("training the features' classifier, steps", self.steps) as report,
        ):
            networks.fit(network, x, label, steps=self.steps, seed=seed, report=report, kept=partial)
        return network

    def _collect(self) -> tuple[Tensor, Tensor]:
        """Labelled images of the train split: (N, C, side, side) uint8 and (N,) int64."""
        data, name = self.context.data, self.context.name
        if hasattr(data, "labelled"):
            x, label = data.labelled(name)
            pieces = [
                (networks.to_float(piece) if piece.dtype == torch.uint8 else piece, some)
                for piece, some in zip(torch.split(x, 256), torch.split(label, 256))
            ]
        else:
            some = subset(len(data), MOST, "classifier")
            batches = track(
                read_items(data, some, key=("classifier",)),
                "reading the classifier's images, batches",
                -(-len(some) // 256),
            )
            pieces = ((batch[name], batch["label"]) for batch in batches)  # type: ignore[assignment]
        small = [
            (networks.to_bytes(networks.resized(x.cpu(), self.side)).to(torch.uint8), label.cpu())
            for x, label in pieces
        ]
        return torch.cat([x for x, _ in small]), torch.cat([label for _, label in small])


def default_steps(images: int) -> int:
    """Training steps for so many images: 40 epochs of them, at least 200 and at most 1,000."""
    return min(STEPS, max(FEWEST, round(EPOCHS * images / networks.BATCH)))


def shipped(context: FeatureContext, side: int, classes: Sequence[str]) -> Path | None:
    """The file that comes with ganrun for what the data show, None if there is none."""
    subject = getattr(context.data, "subjects", {}).get(context.name)
    if subject is None:
        return None
    for path in sorted(SHIPPED.glob("*.safetensors")):
        found = networks.metadata_of(path)
        fits = found.get("side") == str(side) and found.get("channels") == str(context.space.shape[0])
        if fits and found.get("subject") == subject and set(classes) <= set(found.get("classes", "").split(",")):
            return path
    return None


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("features", "classifier", Classifier)
