"""How much encodings say of classes: the accuracy of a nearest-neighbour classifier by encodings.

Donahue et al., "Adversarial Feature Learning" (2017), section 4.1: each test item is given the class of the training
item whose encoding is nearest to its own, in Euclidean distance. No label is used in training, so the accuracy is about
the encoder alone.

How to read it: never alone. Pixels do well on centred digits by themselves, and a random encoder keeps much of what
pixels say: the authors' own log begins at 96.84 % before training and ends at 97.35 %. So the same is measured with the
pixels (or coordinates) themselves, ``pixels``, and with encoders of the same kind that were never trained,
``untrained``; what training adds is the difference.

Untrained encoders have the layers and the initialisation of the recipe, weights from a key of their own, and BatchNorm
as it is before training. What a trick does to a network's weights, such as normalising them, is not done to them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from ganrun.plugin import Component, Experiment, Refusal, UserError, hookimpl, seeded
from ganrun.plugin.evaluation import Evaluation, Least, Score, not_finite, share
from ganrun_plugins.evaluators._neighbours import nearest

ENOUGH = 500  # test items: an accuracy of 0.9 is known to 3% then, at two standard errors


def accuracy(train: Tensor, labels: Tensor, test: Tensor, truth: Tensor) -> Score:
    """The share of test rows (n, ...) whose nearest training row (m, ...) has their class.

    labels (m,), truth (n,) int64.

    NaN if an encoding is not finite. Of training rows at one distance the first counts.
    """
    if not_finite(train) or not_finite(test):
        return Score(math.nan, enough=ENOUGH)
    _, place = nearest(test.flatten(1), train.flatten(1), 1)
    return share(int((labels[place.squeeze(1)] == truth).sum()), len(truth), enough=ENOUGH)


def fresh_encoders(experiment: Experiment) -> dict[str, nn.Module]:
    """The recipe's encoders by name, with other weights than training began with, in evaluation mode."""
    found = {}
    for name, trained in experiment.networks("encoder").items():
        part = experiment.recipe.networks["encoder"]
        like = next(trained.parameters(), torch.empty(0))
        with torch.random.fork_rng(devices=[]), torch.device("cpu"):
            seeded(torch.default_generator, experiment.recipe.train.seed, "untrained", name)
            module: nn.Module = part.make(experiment.description.networks[name].interface)
            experiment.initialise(name, module)
        found[name] = module.to(device=like.device, dtype=like.dtype).eval()
    return found


class EncodingNeighbours:
    """The accuracy, in [0, 1], by encodings.

    As ``pixels`` by the items themselves, as ``untrained`` by encoders never trained.

    NaN while encodings are not finite. A variant that encodes without networks of the kind ``encoder`` has no
    ``untrained``.
    """

    def __init__(
        self,
        *,
        of: Annotated[str, Field(description="which of the encodings that the variant infers")] = "z",
        references: Annotated[
            int | None, Field(ge=1, description="training items to compare with; null: all, at most 10,000")
        ] = None,
    ) -> None:
        self.of = of
        self.references = references
        self.least = [Least("train", 1, "a neighbour"), Least("test", 1, "a share")]

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        """Refuse before training what could not be scored."""
        spaces, infers = experiment.dataset.spaces, experiment.description.infers
        encodings = sorted(name for name, space in infers.items() if space.kind == "latent")
        if self.of not in encodings:
            raise Refusal(
                f"it compares encodings of real items, and this variant infers no encoding {self.of!r}",
                f"of: {' or '.join(encodings)}" if encodings else "a variant with an encoder, such as bigan or vae",
            )
        if not any(space.kind == "labels" and not space.shape for space in spaces.values()):
            raise Refusal(
                "it asks whether neighbours are of one class, and the items of this data set have none",
                "a data set with labels",
            )

    def evaluate(self, evaluation: Evaluation) -> Mapping[str, Score]:
        counts = {"train": evaluation.real_count("train", self.references), "test": evaluation.real_count("test")}
        given, truth = (evaluation.labels(split=split, n=n) for split, n in counts.items())
        if given is None or truth is None:
            raise UserError("encoding-neighbours: the items have no labels; give a data set with classes")
        encoded = [evaluation.inferred(self.of, split, n) for split, n in counts.items()]
        plain = [evaluation.real(None, split, n) for split, n in counts.items()]
        scores = {
            "": accuracy(encoded[0], given, encoded[1], truth),
            "pixels": accuracy(plain[0], given, plain[1], truth),
        }
        assert evaluation.sample_maker is not None, "inferred() has refused images in a folder"
        encoders = fresh_encoders(evaluation.sample_maker.experiment)
        if encoders:
            random = [evaluation.inferred(self.of, split, n, networks=encoders) for split, n in counts.items()]
            scores["untrained"] = accuracy(random[0], given, random[1], truth)
        return scores


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("evaluator", "encoding-neighbours", EncodingNeighbours)
