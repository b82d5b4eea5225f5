"""From a recipe to an experiment: parts are made, networks built, and what cannot work is refused, all at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import pluggy
import torch
from torch import nn

from ganrun.contracts.events import Events
from ganrun.contracts.protocols import Dataset, Variant
from ganrun.data.splits import datasets
from ganrun.distributed import DTYPES, Processes
from ganrun.engine.boundaries import shown
from ganrun.errors import WrongResult
from ganrun.experiment.capabilities import check_capabilities
from ganrun.experiment.diagnostics import Diagnostic as Diagnostic
from ganrun.experiment.diagnostics import RefusedError as RefusedError
from ganrun.experiment.diagnostics import label as label
from ganrun.experiment.experiment import Experiment, Plan
from ganrun.experiment.freeze import freeze
from ganrun.experiment.shapes import NothingDrawn, on_meta
from ganrun.experiment.torch_settings import torch_settings
from ganrun.randomness import seeded
from ganrun.recipe import Part, Recipe
from ganrun.recipe.known import NETWORKS
from ganrun.schedule import Clock
from ganrun.training.batch import check_batch_statistics, check_precision, check_size
from ganrun.training.losses import check_losses, loss_label, loss_parts
from ganrun.words.game import Description
from ganrun.words.spaces import Interface, Refusal


def build(
    recipe: Recipe,
    dataset: Dataset,
    processes: Processes,
    *,
    data: Callable[[str], Dataset] | None = None,
    meta: bool = False,
    watch: Sequence[Any] = (),
) -> Experiment:
    """Build the experiment of a recipe on its training data. With ``meta`` no network is allocated: for ``--check``.

    data: split -> data set, where they are open already. watch: components that listen, too, and are no part of it.

    Raises:
        RefusedError: with every reason found.
    """
    with torch_settings(recipe.train), NothingDrawn() if meta else nullcontext():
        return _build(recipe, dataset, processes, data or datasets(recipe), meta, watch)


def _build(
    recipe: Recipe,
    dataset: Dataset,
    processes: Processes,
    data: Callable[[str], Dataset],
    meta: bool,
    watch: Sequence[Any],
) -> Experiment:
    refusals: list[Diagnostic] = []
    (variant,) = make_parts((recipe.variant,), refusals)
    description = described(recipe, variant, dataset, refusals)
    played = loss_parts(recipe, description.games) if description else {}
    losses = dict(zip(played, make_parts(list(played.values()), refusals)))
    (sampler,) = make_parts((recipe.sampler,), refusals)
    tricks, observers = make_parts(recipe.tricks, refusals), make_parts(recipe.observers, refusals)
    evaluators = make_parts([evaluator.part for evaluator in recipe.evaluators], refusals)
    networks = description.networks if description else {}
    if refusals or description is None:
        raise RefusedError(refusals, recipe, networks)
    acting = [variant, *losses.values(), sampler, *tricks, *evaluators, *observers, *watch]
    hooks = event_manager([component for component in acting if component is not None])
    clock = make_clock(recipe, dataset, processes)
    parts = (variant, losses, played, sampler, tricks, evaluators, observers)
    experiment = Experiment(recipe, dataset, data, processes, clock, *parts, hooks, description)
    labels = {id(c): label(part) for part, c in zip((*recipe.tricks, *recipe.observers), (*tricks, *observers))}
    labels |= {id(c): label(part.part) for part, c in zip(recipe.evaluators, evaluators)}
    labels |= {id(variant): label(recipe.variant), id(sampler): label(recipe.sampler)}
    labels |= {id(losses[game]): loss_label(game, part) for game, part in played.items()}
    refusals += check_size(experiment) + check_losses(experiment)
    check_precision(experiment)
    refusals += call_each(hooks.plan, labels, plan=Plan(description, dataset.spaces))
    refusals += build_networks(experiment, meta)
    refusals += set_players(experiment)
    if not refusals:
        refusals += call_each(hooks.build, labels, experiment=experiment)
        refusals += check_batch_statistics(experiment) + freeze(experiment)
    refusals += check_capabilities(experiment, labels)
    if refusals:
        raise RefusedError(refusals, recipe, networks)
    return experiment


def described(
    recipe: Recipe, variant: Variant | None, dataset: Dataset, refusals: list[Diagnostic]
) -> Description | None:
    """What a variant is made of on some data; None if it was not made, or refuses them."""
    if variant is None:
        return None
    try:
        description = variant.describe(dataset.spaces)
    except Refusal as refusal:
        refusals.append(Diagnostic(label(recipe.variant), *refusal.reason))
        return None
    if not isinstance(description, Description):
        raise WrongResult(variant, "describe", "a Description", shown(description))
    return description


def make_parts(parts: Sequence[Part | None], refusals: list[Diagnostic]) -> list[Any]:
    """The components of some parts; what their constructors refuse is added to ``refusals``."""
    made = []
    for part in parts:
        try:
            made.append(None if part is None else part.make())
        except Refusal as refusal:
            made.append(None)
            refusals.append(Diagnostic(label(part), *refusal.reason))
    return made


def event_manager(components: Sequence[Any]) -> Events:
    """The hooks of one run. Components are called in the order given (pluggy calls the last registered first)."""
    manager = pluggy.PluginManager("ganrun")
    manager.add_hookspecs(Events)
    for number, component in reversed(list(enumerate(components))):
        manager.register(component, name=f"{number} {type(component).__name__}")
    manager.check_pending()
    hooks: Any = manager.hook  # it has a caller for each event
    found: Events = hooks
    return found


def call_each(hook: Any, labels: Mapping[int, str], **payload: Any) -> list[Diagnostic]:
    """Call an event on one component after the other, and collect what they refuse."""
    refusals = []
    for implementation in reversed(hook.get_hookimpls()):
        try:
            implementation.function(**{name: payload[name] for name in implementation.argnames})
        except Refusal as refusal:
            refusals.append(Diagnostic(labels.get(id(implementation.plugin), ""), *refusal.reason))
    return refusals


def make_clock(recipe: Recipe, dataset: Dataset, processes: Processes) -> Clock:
    """What durations are measured against in this run."""
    return clock_of(recipe, recipe.train.batch_size * recipe.train.accumulate * processes.world, len(dataset))


def clock_of(recipe: Recipe, batch: int, items: int) -> Clock:
    """The clock of a run with so many real samples a step, on so many training items."""
    train, lengths = recipe.train, Clock(0, batch, items)
    percent_of = None if train.percent_of is None else train.percent_of.whole_steps(lengths)
    return Clock(train.steps.whole_steps(lengths), batch, items, percent_of)


def build_networks(experiment: Experiment, meta: bool) -> list[Diagnostic]:
    """Build every network the variant asks for, in its order, from the recipe's part of its key."""
    recipe, networks, refusals = experiment.recipe, experiment.description.networks, []
    asked_for = {network.kind for network in networks.values()}
    for key in [key for key in recipe.networks if key not in asked_for]:
        why = f"{label(recipe.variant)} asks for no {key}, so none is built of it, and it changes nothing"
        experiment.warn(f"{key} {recipe.networks[key].name}", why, f"leave `{key}` out")
    for place, (name, network) in enumerate(networks.items()):
        part = recipe.networks.get(network.kind)
        if part is None or network.kind not in {*NETWORKS, *getattr(experiment.variant, "networks", {})}:
            refusals.append(_without_part(experiment, network.kind))
            continue
        if network.follows is not None and len(experiment.modules) < place:
            continue  # one that it may follow from was refused
        try:
            if network.follows is not None:
                built = {other: on_meta(module) for other, module in experiment.modules.items()}
                network.follows(built, network.interface)
            unfit = _unfit(part, name, network.interface)
            if unfit is not None:
                refusals.append(unfit)
                continue
            experiment.modules[name] = _build_network(experiment, name, part, network.interface, meta)
        except Refusal as refusal:
            refusals.append(Diagnostic(f"{label(part)} as {name}", *refusal.reason))
    return refusals


def _without_part(experiment: Experiment, key: str) -> Diagnostic:
    """The refusal of a network that the recipe does not name, or of whose key the variant says nothing."""
    who, article = label(experiment.recipe.variant), "an" if key[0] in "aeiou" else "a"
    if key in {*NETWORKS, *getattr(experiment.variant, "networks", {})}:
        return Diagnostic(who, f"it needs {article} {key}", f"add `{key}: NAME`")
    why = f"it asks for {article} {key}, which is no key of its recipes"
    return Diagnostic(who, why, f'in the plugin, declare it: networks = {{"{key}": "generator"}}, or "discriminator"')


def _unfit(part: Part, name: str, interface: Interface) -> Diagnostic | None:
    """The refusal of a network that serves no such kind of space."""
    for verb, space in (("takes", interface.takes), ("makes", interface.makes)):
        served = getattr(part.component.factory, verb, None)
        if space is not None and served is not None and space.kind not in served:
            why = (
                f"as {name} it would have to {verb.rstrip('s')} {space}, "
                f"but what it {verb} is {' or '.join(sorted(served))}"
            )
            return Diagnostic(label(part), why, f"ganrun list-plugins --kind {part.kind}")
    return None


def _build_network(experiment: Experiment, name: str, part: Part, interface: Any, meta: bool) -> nn.Module:
    """One network, its weights drawn from a key of its own on the CPU, so that they are the same on every device."""
    settings, device = experiment.recipe.train, experiment.processes.device
    with torch.random.fork_rng(devices=[]), torch.device("meta" if meta else "cpu"):
        seeded(torch.default_generator, settings.seed, "network", name)
        module: nn.Module = part.make(interface)
        if not meta:
            experiment.initialise(name, module)
    module = module.to(DTYPES[settings.precision])
    if settings.channels_last:
        module = module.to(memory_format=torch.channels_last)
    return module if meta else module.to(device)


def set_players(experiment: Experiment) -> list[Diagnostic]:
    """Give each player its optimiser and its updates per step, and refuse settings of players that do not exist."""
    recipe, players = experiment.recipe, experiment.players
    # a variant may have a player for some data only
    known = {*players, *getattr(experiment.variant, "defaults", {}).get("players", {})}
    refusals = [
        Diagnostic(
            f"players.{name}", f"{label(recipe.variant)} has no such player", f"its players are {', '.join(players)}"
        )
        for name in recipe.players
        if name not in known
    ]
    for name in players:
        settings = recipe.players.get(name)
        if settings is None:
            refusals.append(
                Diagnostic(f"players.{name}", "it has no optimiser", f"add `players: {{{name}: {{optimizer: adam}}}}`")
            )
            continue
        (experiment.optimizers[name],) = make_parts([settings.optimizer], refusals)
        for phase in experiment.phases:
            if phase.player == name and not phase.lazy and phase.when is None and settings.updates is not None:
                phase.repeats = settings.updates
        own = [phase for phase in experiment.phases if phase.player == name and not phase.lazy]
        if settings.updates is not None and own and all(phase.when is not None for phase in own):
            why = (
                f"{label(recipe.variant)} decides in which steps {name} is trained: "
                "updates a step would break its schedule"
            )
            refusals.append(Diagnostic(f"players.{name}.updates", why, "leave it out"))
    for first, second in zip(experiment.phases, experiment.phases[1:]):
        if first.together and first.together == second.together and first.repeats != second.repeats:
            why = (
                f"phases {first.name} and {second.name} are taken together, so their players are updated equally often"
            )
            refusals.append(
                Diagnostic(
                    f"players.{second.player}.updates",
                    why,
                    f"set updates of {first.player} and {second.player} to one number",
                )
            )
    return refusals
