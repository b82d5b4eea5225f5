"""Whether translations replace labelled data: a classifier trained on them, tested on real target images.

Unsupervised domain adaptation by translation (Liu and Tuzel, "Coupled generative adversarial networks", 2016, section
4; Bousmalis et al., "Unsupervised pixel-level domain adaptation with generative adversarial networks", 2017): the
source domain has labels, the target has none in training. The source's training images are translated, keep their
labels, and train a small classifier; its accuracy on the target's real test images is ``adapted``. Two others of the
same network and training stand beside it:

    source-only    trained on the source's images as they are: what it is worth to do nothing
    oracle         trained on the target's own training images and labels, which the task withholds: the upper bound

The network and its training are those of the features ``classifier`` (small shifts and noise, no mirroring), with fewer
steps, at the images' own size up to 32 pixels. What is drawn depends on the direction, on which of the three it is, and
on the recipe's seed alone; source-only and oracle are trained once a run. Intervals are Wilson's over the test images:
how much a score changes with the classifier's own initial weights is not in them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import Component, Experiment, Refusal, Space, UserError, hookimpl, stable_hash
from ganrun.plugin.data import normalised, progress_bar
from ganrun.plugin.evaluation import Evaluation, Least, Score, check_output, share
from ganrun_plugins import _classifier_network as networks

SMALLEST, LARGEST = 8, 32  # sides of the classifier's input: three halvings need 8; 32 is its own default


class DomainAdaptation:
    """``A-to-B.adapted``, ``.source-only`` and ``.oracle``: accuracies on the real test images of B.

    The data set's ``labelled(name)`` returns all images of an entry in a split (N, C, H, W) and their labels (N,).
    """

    least: ClassVar[Sequence[Least]] = (Least("test", 1, "an accuracy"),)

    def __init__(
        self,
        *,
        of: Annotated[
            str | None, Field(description="the target, an output of the variant; by default its first")
        ] = None,
        steps: Annotated[int, Field(ge=1, description="training steps of each classifier, 128 images each")] = 100,
    ) -> None:
        self.of = of
        self.steps = steps
        self._baselines: dict[str, dict[str, Score]] = {}

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        """Refuse before training what could not be scored."""
        check_output(experiment, self.of)
        if not experiment.description.conditional:
            raise Refusal("it trains on translations, and this variant makes samples from latents", "variant: cyclegan")
        data = experiment.dataset
        if not hasattr(data, "labelled") or len(data.classes) < 2:
            raise Refusal(
                "it needs the labels of each domain's images, and this data set has none for them",
                "dataset: restyled-digits",
            )
        source, target = self._direction(data.spaces, self.of or experiment.description.outputs[0])
        unlike = [name for name in (source, target) if data.spaces[name].kind != "image"]
        if unlike or data.spaces[source].shape[0] != data.spaces[target].shape[0]:
            why = f"one classifier sees both domains, and they are {data.spaces[source]} and {data.spaces[target]}"
            raise Refusal(why, "two domains of images with equally many channels")

    @staticmethod
    def _direction(spaces: Mapping[str, Space], target: str) -> tuple[str, str]:
        """(source, target): the source is the other domain."""
        others = [name for name, space in spaces.items() if name != target and space.kind != "labels"]
        if len(others) != 1:
            raise Refusal(
                f"it translates from one other domain, and beside {target!r} the data have "
                f"{', '.join(others) or 'none'}",
                "data of two domains",
            )
        return others[0], target

    def evaluate(self, evaluation: Evaluation) -> Mapping[str, Score]:
        held: Any = evaluation.dataset("test")
        if evaluation.sample_maker is None or not hasattr(held, "labelled"):
            raise UserError(
                "domain-adaptation: it translates labelled images of two domains; "
                "evaluate a run on data such as restyled-digits"
            )
        train: Any = evaluation.dataset("train")
        source, target = self._direction(held.spaces, self.of or evaluation.output)
        real = {name: floats(train.labelled(name)) for name in (source, target)}
        test = floats(held.labelled(target))
        evaluation.requested.real_samples("train", sum(len(x) for x, _ in real.values()), evaluation.mark_of("train"))
        evaluation.requested.real_samples("test", len(test[0]), evaluation.mark_of("test"))

        x, label = real[source]
        rows = torch.arange(len(x))
        made = evaluation.generate({name: images[rows % len(images)] for name, (images, _) in real.items()}, target)
        name = f"{source}-to-{target}"
        if name not in self._baselines:
            pairs = {"source-only": real[source], "oracle": real[target]}
            self._baselines[name] = {
                kind: self._accuracy(evaluation, f"{name} {kind}", *pair, *test) for kind, pair in pairs.items()
            }
        scores = {"adapted": self._accuracy(evaluation, f"{name} adapted", made, label, *test), **self._baselines[name]}
        return {f"{name}.{kind}": score for kind, score in scores.items()}

    def _accuracy(
        self, evaluation: Evaluation, what: str, x: Tensor, label: Tensor, test: Tensor, truth: Tensor
    ) -> Score:
        """The accuracy on test images of a classifier trained on x, (N, C, H, W) in [-1, 1], and its labels (N,)."""
        if not bool(x.isfinite().all()):
            return Score(math.nan)
        seed = stable_hash("domain-adaptation", evaluation.seed, what)
        side = min(max(min(test.shape[-2:]), SMALLEST), LARGEST)
        device = evaluation.source.device
        network = networks.new_network(x.shape[1], len(evaluation.dataset("train").classes), seed).to(device)
        with torch.autocast(device.type, enabled=False):
            small = torch.cat(
                [networks.to_bytes(networks.resized(some, side)).to(torch.uint8) for some in torch.split(x, 256)]
            )
            with progress_bar(f"training a classifier on {what}, steps", self.steps) as report:
                networks.fit(network, small, label, steps=self.steps, seed=seed, report=report)
            with torch.no_grad():
                found = torch.cat(
                    [
                        network(networks.resized(some.to(device), side)).argmax(1).cpu()
                        for some in torch.split(test, 256)
                    ]
                )
        return share(int((found == truth).sum()), len(truth))


def floats(labelled: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Images as float32 in [-1, 1], and their labels, on the CPU."""
    x, label = labelled
    return normalised({"x": x}, "cpu")["x"].float(), label.cpu()


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("evaluator", "domain-adaptation", DomainAdaptation)
