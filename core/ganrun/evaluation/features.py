"""What feature extractors are built from, and what evaluators check before training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ganrun.contracts.protocols import Dataset, Features
from ganrun.data.download import data_cache
from ganrun.data.value_range import level_words, range_of
from ganrun.recipe import Part
from ganrun.words.located import located
from ganrun.words.spaces import Refusal, Space

if TYPE_CHECKING:
    from ganrun.experiment.experiment import Experiment


@dataclass(frozen=True)
class FeatureContext:
    """What a feature extractor is built from.

    name, space: the entry of the data it serves. data: the train split. cache: a folder to keep weights in. base:
    where relative paths start that its parameters name.
    """

    name: str
    space: Space
    data: Dataset
    cache: Path
    device: torch.device
    base: Path = Path()

    def path(self, text: str) -> Path:
        """An absolute path for one written in a recipe."""
        return located(self.base, text)


def levels(whose: Any, entry: str) -> str:
    """How samples of an entry are rounded before anything is computed from them.

    whose: a data set, or a source of samples.
    """
    return level_words(range_of(whose, entry)) if whose.spaces[entry].kind == "image" else "none"


def kept_under(part: Part, extractor: str, data: str, dataset: Dataset, entry: str, rows: int) -> dict[str, Any]:
    """Everything that decides the features of a data set's first rows: the key that they are kept under on disk.

    extractor, data: fingerprints.
    """
    return {
        "data": data,
        "entry": entry,
        "shape": list(dataset.spaces[entry].shape),
        "rows": rows,
        "levels": levels(dataset, entry),
        "features": part.as_recipe(),
        "extractor": extractor,
    }


def check_output(experiment: Experiment, of: str | None) -> None:
    """For evaluators, in their ``build``: refuse an output that the variant does not have. None is its first."""
    outputs = experiment.description.outputs
    if of is not None and of not in outputs:
        raise Refusal(f"the variant has no output {of!r}", f"of: {' or '.join(outputs)}")


def check_features(experiment: Experiment, part: Part, of: str | None = None) -> Features:
    """For evaluators, in their ``build``: refuse a feature extractor that cannot serve an output of the variant."""
    name = of or experiment.description.outputs[0]
    made: Features = part.make(context_of(experiment, name))
    return made


def context_of(experiment: Experiment, name: str) -> FeatureContext:
    """The context for extractors of an entry of an experiment's data."""
    space, device = experiment.dataset.spaces[name], experiment.processes.device
    return FeatureContext(name, space, experiment.dataset, data_cache(), device, experiment.recipe.base)


def check_classifier(experiment: Experiment, part: Part, of: str | None = None) -> None:
    """For evaluators, in ``build``: refuse features that do not classify, or cannot serve an output of the variant."""
    if not hasattr(check_features(experiment, part, of), "logits"):
        raise Refusal(
            f"it needs class probabilities, and the features {part.name} do not classify", "features: classifier"
        )


def bracket(part: Part, of: str | None = None) -> str:
    """How a score says what it was measured on: ``[classifier]``, or ``[classifier].b`` for a further output b."""
    return f"[{part.name}]" + (f".{of}" if of else "")
