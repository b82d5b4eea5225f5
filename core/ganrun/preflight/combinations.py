"""Which variants, losses and tricks go together: each combination is built on torch's meta device, none is trained.

A combination is refused only if every installed discriminator is: a loss on energies brings its own, and a penalty that
cannot stand batch normalisation takes one without.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ganrun.catalog.catalog import Catalog
from ganrun.data.download import data_cache
from ganrun.distributed import Processes
from ganrun.errors import UserError
from ganrun.experiment.experiment import Experiment
from ganrun.preflight.stages import STAGES
from ganrun.recipe import Recipe, load_recipe
from ganrun.training.build import RefusedError, build
from ganrun.words.spaces import DataFiles

WORKS, WARNS, REFUSED = "works", "warns", "refused"


@dataclass(frozen=True)
class Verdict:
    """What comes of a recipe: ``works``, ``warns`` or ``refused``, with the reasons. discriminator: the one it took."""

    result: str
    reasons: tuple[str, ...] = ()
    discriminator: str = ""


@dataclass(frozen=True)
class Combination:
    """A variant, a loss, a trick (empty: none) and the verdict. dataset: what they were built on."""

    variant: str
    loss: str
    trick: str
    dataset: str
    verdict: Verdict


class Judge:
    """Builds recipes without allocating their networks, and gives a verdict on each. Data sets are opened once."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._processes = Processes("cpu")
        self._datasets: dict[str, Any] = {}

    def build(self, recipe: Mapping[str, Any]) -> Experiment:
        """The experiment of a recipe, on meta. Raises RefusedError with every reason."""
        resolved = load_recipe(recipe, catalog=self.catalog)
        return build(resolved, self._dataset(resolved), self._processes, meta=True)

    def check(self, recipe: Mapping[str, Any]) -> Verdict:
        """The verdict on one recipe."""
        try:
            experiment = self.build(recipe)
        except RefusedError as error:
            return Verdict(REFUSED, tuple(str(refusal) for refusal in error.refusals))
        part = experiment.recipe.networks.get("discriminator")
        taken = part.name if part is not None else ""
        if experiment.warnings:
            return Verdict(WARNS, tuple(map(str, experiment.warnings)), taken)
        return Verdict(WORKS, (), taken)

    def best(self, recipe: Mapping[str, Any], discriminators: Iterable[Any]) -> tuple[dict[str, Any], Verdict]:
        """A recipe, with its own discriminator or the first other that makes it work; and the verdict."""
        first = self.check(recipe)
        if first.result != REFUSED:
            return dict(recipe), first
        for part in discriminators:
            changed = {**recipe, "discriminator": part}
            verdict = self.check(changed)
            if verdict.result != REFUSED:
                return changed, verdict
        return dict(recipe), first

    def _dataset(self, recipe: Recipe) -> Any:
        part = recipe.dataset
        key = f"{part.name} {part.parameters!r}"
        if key not in self._datasets:
            self._datasets[key] = part.make(DataFiles(recipe.base, data_cache()), "train")
        return self._datasets[key]


def combinations(
    catalog: Catalog, variants: Sequence[str], losses: Sequence[str], tricks: Sequence[str]
) -> Iterator[Combination]:
    """The verdict on every variant with every loss and every trick (and with none, ""), each with its defaults.

    A variant is built on the first installed data set that needs no download and that it accepts, those of the small
    experiments first.
    """
    judge = Judge(catalog)
    discriminators = catalog.names("discriminator")
    for variant in variants:
        recipe = start(judge, variant)
        for loss in losses:
            base, verdict = judge.best({**recipe, "loss": loss}, discriminators)
            yield Combination(variant, loss, "", recipe["dataset"], verdict)
            for trick in tricks:
                if verdict.result != REFUSED:
                    _, found = judge.best({**base, "tricks": [trick]}, discriminators)
                else:
                    found = verdict
                yield Combination(variant, loss, trick, recipe["dataset"], found)


def start(judge: Judge, variant: str) -> dict[str, Any]:
    """A variant with its defaults on the first data set that fits and is there.

    Batches of 8, so that all tricks find enough samples.
    """
    # those of the small experiments come first
    small = sorted({name for stage in STAGES.values() for name in stage["dataset"]})
    offline = [
        name
        for name in judge.catalog.names("dataset")
        if getattr(judge.catalog.load("dataset", name).factory, "offline", True)
    ]
    offline.sort(key=lambda name: name not in small)
    why = ""
    for dataset in offline:
        recipe = {"variant": variant, "dataset": dataset, "train": {"steps": 100_000, "batch_size": 8, "device": "cpu"}}
        try:
            verdict = judge.check(recipe)
        except UserError:  # such as folders of the user's own, which a recipe has to name
            continue
        if verdict.result != REFUSED:
            return recipe
        why = why or verdict.reasons[0]
    raise UserError(f"variant {variant}: no data set that needs no download fits it; the first one tried: {why}")


def pairs(found: Sequence[Combination]) -> dict[tuple[str, str], str]:
    """(trick, loss) -> the best result with any variant: a pair is refused only if every variant refuses it."""
    best: dict[tuple[str, str], str] = {}
    for combination in found:
        if combination.trick:
            results = (best.get((combination.trick, combination.loss), REFUSED), combination.verdict.result)
            best[combination.trick, combination.loss] = min(results, key=(WORKS, WARNS, REFUSED).index)
    return best


def shares(found: Sequence[Combination]) -> dict[str, int]:
    """Result -> how many combinations came to it."""
    return {result: sum(c.verdict.result == result for c in found) for result in (WORKS, WARNS, REFUSED)}
