"""Capabilities: what parts provide is held against what others need, want, refuse or warn of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import nn

from ganrun.experiment.cures import followable
from ganrun.experiment.diagnostics import Diagnostic

if TYPE_CHECKING:
    from ganrun.contracts.protocols import Loss
    from ganrun.experiment.experiment import Experiment


def check_capabilities(experiment: Experiment, labels: Mapping[int, str]) -> list[Diagnostic]:
    """Hold what every part needs, wants, refuses or warns of against what the others provide.

    What a loss provides holds in its games alone: a part needs it in each game that it takes part in. Where that fails
    in some of them only, the refusal names these.
    """
    parts = [
        experiment.variant,
        *experiment.losses.values(),
        experiment.sampler,
        *experiment.tricks,
        *experiment.evaluators,
        *experiment.observers,
        *experiment.modules.values(),
    ]
    named = dict(labels) | {id(module): f"network {name}" for name, module in experiment.modules.items()}
    games = [game.name for game in experiment.games] or [""]
    refusals: list[Diagnostic] = []
    held = _Held(experiment)
    for part in [part for part in parts if part is not None]:
        own = [game for game in games if held.concerns(part, game)]

        def found(
            which: str, test: Callable[[Any, str, str], bool], part: Any = part, own: Any = own
        ) -> Iterator[Diagnostic]:
            for name, reason in getattr(part, which, {}).items():
                where = [game for game in own if test(part, name, game)]
                if where:
                    who = named.get(id(part), type(part).__name__) + _in_games(where, own)
                    yield Diagnostic(who, reason[0], followable(reason[1], experiment.recipe))

        refusals += found("needs", held.lacks)
        experiment.warnings += found("wants", held.lacks)
        refusals += found("refuses", held.meets)
        experiment.warnings += found("warns", held.meets)
    return refusals


def _in_games(where: Sequence[str], of: Sequence[str]) -> str:
    """In which games something holds; empty if in all of them."""
    return "" if len(where) == len(of) else f" in the game{'s' if len(where) > 1 else ''} {', '.join(where)}"


class _Held:
    """What is provided in each game of an experiment."""

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self.provided = provided_by(experiment)
        self.losses = {id(loss) for loss in experiment.losses.values()}
        unbuilt = experiment.description.networks.keys() - experiment.modules.keys()
        self.unbuilt = {role for name in unbuilt for role in experiment.description.roles(name)}
        self.discriminators = {game.name: game.discriminator for game in experiment.games}

    def loss(self, game: str) -> Loss | None:
        """The loss of a game; None if nothing names one, which has its own refusal."""
        return self.experiment.losses.get(game, self.experiment.losses.get(""))

    def concerns(self, part: Any, game: str) -> bool:
        """Whether a part takes part in a game: a loss in its own, a discriminator in its own, all others in all."""
        if id(part) in self.losses:
            return part is self.loss(game)
        found = [name for name in self.discriminators.values() if self.experiment.modules.get(name) is part]
        return not found or self.discriminators[game] in found

    def lacks(self, part: Any, wanted: str, game: str) -> bool:
        """Whether no part provides it in a game.

        What a network that was not built would have provided is not known; it has its own refusal.
        """
        return not any(
            self.providers(name, game) or name.partition(":")[0] in self.unbuilt for name in wanted.split("|")
        )

    def meets(self, part: Any, unwanted: str, game: str) -> bool:
        """Whether another part provides it in a game."""
        return any(provider is not part for provider in self.providers(unwanted, game))

    def providers(self, name: str, game: str) -> list[Any]:
        """The parts that provide a capability in a game: of the losses its own alone."""
        found = self.provided.get(name, ())
        return [part for part in found if id(part) not in self.losses or part is self.loss(game)]


def provided_by(experiment: Experiment) -> dict[str, list[Any]]:
    """Capability -> its providers: declared by parts, or derived from games and built networks."""
    found: dict[str, list[Any]] = {}
    losses = experiment.losses.values()
    parts = (experiment.variant, *losses, experiment.sampler, experiment.dataset, *experiment.tricks)
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
    for name, module in experiment.modules.items():
        for trait in traits(module.modules()):
            for role in sorted(experiment.description.roles(name)):
                found.setdefault(f"{role}:{trait}", []).append(module)
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


def mixing_games(experiment: Experiment) -> set[str]:
    """The games whose discriminator judges a sample by the others of a forward, which real ones and fakes share."""
    mixing = {"batch-statistics", "group-statistics", "batch-coupled"}
    joint = experiment.games if experiment.recipe.train.batches == "joint" else ()
    return {game.name for game in joint if traits(experiment.modules[game.discriminator].modules()) & mixing}
