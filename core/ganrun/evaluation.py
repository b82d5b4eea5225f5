"""What evaluators see: fakes, real samples and features, each computed once and shared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ganrun.data import read_items
from ganrun.download import data_cache
from ganrun.protocols import Dataset, Features, Refusal, Space
from ganrun.recipe import EvaluatorPart, Part
from ganrun.sampling import Studio

if TYPE_CHECKING:
    from ganrun.build import Experiment
    from ganrun.training import Run

LIMIT = 10_000  # real samples at most, unless an evaluator asks for more


@dataclass(frozen=True)
class FeatureContext:
    """What a feature extractor is built from.

    name, space: the entry of the data it looks at. data: the train split. cache: a folder to keep weights in.
    """

    name: str
    space: Space
    data: Dataset
    cache: Path
    device: torch.device


class Evaluation:
    """The samples of one moment of a run, and real ones. Everything is float32 on the CPU; images in [-1, 1].

    ``samples`` is how many fakes the evaluator that runs now was given in the recipe, None if nothing was said.
    """

    def __init__(self, studio: Studio, dataset: Callable[[str], Dataset], cache: Path, *, seed: int = 0) -> None:
        self.studio = studio
        self.dataset = dataset
        self.cache = cache
        self.seed = seed
        self.samples: int | None = None
        self.description = studio.engine.experiment.description
        self.spaces: Mapping[str, Space] = studio.engine.experiment.dataset.spaces
        self._fakes: dict[tuple[str, int], Tensor] = {}
        self._real: dict[tuple[str, str, int], Tensor] = {}
        self._features: dict[str, Features] = {}
        self._vectors: dict[tuple[Any, ...], Tensor] = {}

    def forget_fakes(self) -> None:
        """Drop what the networks made: called when they have changed."""
        self._fakes.clear()
        self._vectors = {key: value for key, value in self._vectors.items() if key[1] != "fake"}

    @property
    def output(self) -> str:
        """The first entry of the data that the variant imitates: what evaluators score if not told otherwise."""
        return self.description.outputs[0]

    def count(self, name: str | None = None) -> int:
        """How many fakes to score: the recipe's number, else as many as there are test samples."""
        most = len(self.dataset("test"))
        wanted = self.samples if self.samples is not None else min(most, LIMIT)
        return min(wanted, most) if self.description.conditional else wanted

    def fakes(self, name: str | None = None, n: int | None = None) -> Tensor:
        """n fakes of an entry, (n, \\*space.shape), from latents that training never draws."""
        name, n = name or self.output, n or self.count(name)
        if (name, n) not in self._fakes:
            real = self._items("test", n) if self.description.conditional else None
            made = self.studio.turn(n, self.seed, real=real).made
            for entry in self.description.outputs:
                self._fakes[entry, n] = made[entry].detach().float().cpu()
        return self._fakes[name, n]

    def real(self, name: str | None = None, split: str = "test", n: int | None = None) -> Tensor:
        """Real samples of an entry, in the order of the data: all of the split, but at most ``n`` (10,000)."""
        name = name or self.output
        n = min(n or LIMIT, len(self.dataset(split)))
        if (name, split, n) not in self._real:
            for entry, tensor in self._items(split, n).items():
                self._real[entry, split, n] = tensor.float() if tensor.is_floating_point() else tensor
        return self._real[name, split, n]

    def generate(self, real: Mapping[str, Tensor], wanted: str) -> Tensor:
        """What the networks make of given real items, such as the translations of a batch; entry ``wanted``."""
        n = len(next(iter(real.values())))
        real = {entry: x.to(torch.get_default_dtype()) if x.is_floating_point() else x for entry, x in real.items()}
        return self.studio.turn(n, self.seed, real=real).made[wanted].detach().float().cpu()

    def features(self, part: Part, name: str | None = None) -> Features:
        """The feature extractor of a part, for an entry of the data; built once a run."""
        name = name or self.output
        key = f"{name} {part.name} {part.parameters!r}"
        if key not in self._features:
            context = FeatureContext(name, self.spaces[name], self.dataset("train"), self.cache, self.studio.engine.device)
            self._features[key] = part.make(context)
        return self._features[key]

    def features_of(self, part: Part, which: str, name: str | None = None, split: str = "test", n: int | None = None) -> Tensor:
        """Features (n, size) of ``fake`` or ``real`` samples. Real ones are kept for the whole run."""
        name = name or self.output
        count = (n or self.count(name)) if which == "fake" else min(n or LIMIT, len(self.dataset(split)))
        key = (part.name, which, repr(part.parameters), name, split, count)
        if key not in self._vectors:
            x = self.fakes(name, count) if which == "fake" else self.real(name, split, count)
            extract = self.features(part, name)
            with torch.no_grad():
                self._vectors[key] = torch.cat([extract(chunk).float().cpu() for chunk in torch.split(x, 256)])
        return self._vectors[key]

    def _items(self, split: str, n: int) -> dict[str, Tensor]:
        dataset = self.dataset(split)
        pieces = list(read_items(dataset, range(n), key=("evaluation",)))
        return {name: torch.cat([piece[name].cpu() for piece in pieces]) for name in pieces[0]}


def check_output(experiment: Experiment, of: str | None) -> None:
    """For evaluators, in their ``build``: refuse an output that the variant does not have. None is its first."""
    outputs = experiment.description.outputs
    if of is not None and of not in outputs:
        raise Refusal(f"the variant has no output {of!r}", f"of: {' or '.join(outputs)}")


def check_features(experiment: Experiment, part: Part, of: str | None = None) -> None:
    """For evaluators, in their ``build``: refuse a feature extractor that cannot serve an output of the variant."""
    name = of or experiment.description.outputs[0]
    part.make(FeatureContext(name, experiment.dataset.spaces[name], experiment.dataset, data_cache(), experiment.processes.device))


def named(run: Run) -> Iterator[tuple[str, EvaluatorPart, Any]]:
    """The evaluators of a run with the names of their scores: the second of a name is NAME-2."""
    seen: Counter[str] = Counter()
    for part, evaluator in run.evaluators:
        seen[part.name] += 1
        yield part.name if seen[part.name] == 1 else f"{part.name}-{seen[part.name]}", part, evaluator


def due(run: Run) -> list[tuple[Any, int | None, str]]:
    """The evaluators due at this step of a run, with their number of samples and their names."""
    found = []
    for name, part, evaluator in named(run):
        every = part.every.whole_steps(run.experiment.clock) if part.every is not None else 0
        if run.step == run.steps or (every and run.step % every == 0):
            found.append((evaluator, part.samples, name))
    return found


def evaluate(run: Run) -> dict[str, float]:
    """Run the due evaluators: ``evaluator.metric`` -> value, empty if none is due."""
    scores: dict[str, float] = {}
    for evaluator, samples, name in due(run):
        run.evaluation.samples = samples
        for metric, value in evaluator.evaluate(run.evaluation).items():
            scores[f"{name}.{metric}"] = float(value)
    return scores
