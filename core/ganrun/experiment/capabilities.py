"""Capabilities: what parts provide is held against what others need, want, refuse or warn of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from torch import nn

from ganrun.experiment.diagnostics import Diagnostic
from ganrun.words.spaces import Reason

if TYPE_CHECKING:
    from ganrun.experiment.experiment import Experiment


def check_capabilities(experiment: Experiment, labels: Mapping[int, str]) -> list[Diagnostic]:
    """Hold what every part needs, wants, refuses or warns of against what the others provide."""
    parts = [
        experiment.variant,
        experiment.loss,
        experiment.sampler,
        *experiment.tricks,
        *experiment.evaluators,
        *experiment.observers,
    ]
    parts += experiment.modules.values()
    named = dict(labels) | {id(module): f"network {name}" for name, module in experiment.modules.items()}
    provided = provided_by(experiment)
    unbuilt = {
        network.kind for name, network in experiment.description.networks.items() if name not in experiment.modules
    }
    refusals = []

    def missing(wanted: str) -> bool:
        """Whether nobody provides it.

        What a network that was not built would have provided is not known; it has its own refusal.
        """
        return not any(provided.get(name) or name.partition(":")[0] in unbuilt for name in wanted.split("|"))

    for part in [part for part in parts if part is not None]:
        who = named.get(id(part), type(part).__name__)
        for wanted, reason in getattr(part, "needs", {}).items():
            if missing(wanted):
                refusals.append(_refused(who, reason))
        for wanted, reason in getattr(part, "wants", {}).items():
            if missing(wanted):
                experiment.warnings.append(_refused(who, reason))
        for unwanted, reason in getattr(part, "refuses", {}).items():
            if any(provider is not part for provider in provided.get(unwanted, ())):
                refusals.append(_refused(who, reason))
        for doubtful, reason in getattr(part, "warns", {}).items():
            if any(provider is not part for provider in provided.get(doubtful, ())):
                experiment.warnings.append(_refused(who, reason))
    return refusals


def _refused(who: str, reason: Reason) -> Diagnostic:
    return Diagnostic(who, *reason)


def provided_by(experiment: Experiment) -> dict[str, list[Any]]:
    """Capability -> its providers: parts say what they provide; games and built networks are looked at."""
    found: dict[str, list[Any]] = {}
    loss = experiment.loss if experiment.games else None  # one that nobody plays with does nothing
    parts = (experiment.variant, loss, experiment.sampler, experiment.dataset, *experiment.tricks)
    for part in parts:
        for name in getattr(part, "provides", ()):
            found.setdefault(name, []).append(part)
    for game in experiment.games:
        found.setdefault("game", []).append(game)
        found.setdefault(f"space:{game.space}", []).append(game)
        if game.symmetric:
            found.setdefault("symmetric", []).append(game)
    for name in settings_of(experiment):
        found.setdefault(name, []).append(experiment.recipe.train)
    for name, network in experiment.description.networks.items():
        if name in experiment.modules:
            for trait in traits(experiment.modules[name].modules()):
                found.setdefault(f"{network.kind}:{trait}", []).append(experiment.modules[name])
    return found


def settings_of(experiment: Experiment) -> Iterator[str]:
    """Capabilities of the recipe's settings and the description, for parts that mix a batch or compare images."""
    train, description = experiment.recipe.train, experiment.description
    if train.accumulate > 1:
        yield "accumulated"
    if train.batches == "joint":
        yield "joint-batches"
    if experiment.processes.world > 1:
        yield "several-processes"
    if any(
        train.batch_size // description.networks[game.discriminator].interface.pack <= 1 for game in description.games
    ):
        yield "single-sample"
    if description.pairs:
        yield "pairs"


def traits(modules: Iterable[nn.Module]) -> set[str]:
    """What a built network does that others may not stand: read off its modules."""
    found: set[str] = set()
    for module in modules:
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            found.add("batch-statistics")
        if isinstance(module, nn.modules.dropout._DropoutNd):
            found.add("dropout")
        if nn.utils.parametrize.is_parametrized(module):
            found.add("parametrised")
        found |= set(getattr(module, "provides", ()))
    return found
