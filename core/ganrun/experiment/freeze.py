"""``players.NAME.freeze``: which parameters of a player are not trained, for some time or for the whole run.

Paper: Mo et al., "Freeze the Discriminator: a Simple Baseline for Fine-Tuning GANs" (2020), which freezes the lowest
layers of a trained discriminator. A layer here is a module with a weight of two axes or more; what has none, such as
normalisation, belongs to the layer before it in the forward pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from torch import nn

from ganrun.errors import some
from ganrun.experiment.diagnostics import Diagnostic
from ganrun.experiment.shapes import on_meta, output
from ganrun.words.spaces import Interface

if TYPE_CHECKING:
    from ganrun.experiment.experiment import Experiment
    from ganrun.recipe import FreezeSettings
    from ganrun.words.game import Player


@dataclass(frozen=True)
class Frozen:
    """Parameters of a player, with their names, that are not trained before step ``until``; None: never."""

    parameters: list[nn.Parameter]
    names: list[str]
    until: int | None

    def lasts(self, step: int) -> bool:
        """Whether they are not trained in a step, counted from 0."""
        return self.until is None or step < self.until


def freeze(experiment: Experiment) -> list[Diagnostic]:
    """Find what the recipe freezes, and keep it with the experiment. Returns why something cannot be frozen."""
    refusals: list[Diagnostic] = []
    for name, player in experiment.players.items():
        settings = experiment.recipe.players[name].freeze
        if settings is None or not (settings.layers or settings.modules):
            continue
        where = f"players.{name}.freeze"
        own = {id(parameter) for parameter in experiment.parameters(player)}
        chosen = _chosen(experiment, player, settings, where, refusals)
        found = {key: parameter for key, parameter in chosen.items() if id(parameter) in own}
        if len(found) == len(own):
            refusals.append(Diagnostic(where, f"nothing of {name} would be trained", "fewer layers or modules"))
        until = None if settings.until is None else settings.until.whole_steps(experiment.clock)
        experiment.frozen[name] = Frozen(list(found.values()), list(found), until)
        if experiment.recipe.init is None:
            why = "these layers keep the weights that they were initialised with: no trained ones are named"
            experiment.warn(where, why, "init: RUN")
    return refusals


def _chosen(
    experiment: Experiment, player: Player, settings: FreezeSettings, where: str, refusals: list[Diagnostic]
) -> dict[str, nn.Parameter]:
    """Name -> parameter of all that the settings name in the networks of a player."""
    found: dict[str, nn.Parameter] = {}
    unused = set(settings.modules)
    for network in dict.fromkeys(name.partition(".")[0] for name in player.modules):
        module, interface = experiment.modules[network], experiment.description.networks[network].interface
        parameters = dict(module.named_parameters())
        if settings.layers:
            ordered = layers(module, interface)
            if settings.layers > len(ordered):
                why = f"{network} has {len(ordered)} layers: {some(ordered)}"
                refusals.append(Diagnostic(f"{where}.layers", why, f"at most {len(ordered) - 1}"))
                continue
            names = {name for layer in list(ordered.values())[: settings.layers] for name in layer}
            found |= {f"{network}.{name}": parameters[name] for name in parameters if name in names}
        for name, parameter in parameters.items():
            words = [network, *name.split(".")]
            above = [".".join(words[:length]) for length in range(1, len(words) + 1)]
            matching = {pattern for pattern in settings.modules if any(fnmatchcase(path, pattern) for path in above)}
            if matching:
                found[f"{network}.{name}"] = parameter
            unused -= matching
    for pattern in sorted(unused):
        there = [f"{network}.{name}" for network, module in experiment.modules.items() for name in _owners(module)]
        why = f"no parameter of {player.name} lies in {pattern!r}; there are {some(there)}"
        refusals.append(Diagnostic(f"{where}.modules", why, "a module's name, where * stands for anything"))
    return found


def layers(network: nn.Module, interface: Interface) -> dict[str, list[str]]:
    """Name of each layer, nearest to the input first -> the names of its parameters."""
    twin = on_meta(network)
    names = {id(module): name for name, module in twin.named_modules()}
    calls: dict[str, int] = {}

    def note(module: nn.Module, args: Any) -> None:
        calls.setdefault(names[id(module)], len(calls))

    for module in twin.modules():
        module.register_forward_pre_hook(note, prepend=True)
    output(twin, interface, 2)
    owners = _owners(network)
    known = dict(network.named_parameters())
    order = sorted(owners, key=lambda name: calls.get(name, len(calls)))
    found: dict[str, list[str]] = {}
    before: list[str] = []  # of what comes before the first layer
    for name in order:
        if any(known[parameter].dim() >= 2 for parameter in owners[name]):
            found[name] = before + owners[name]
            before = []
        elif found:
            found[next(reversed(found))] += owners[name]
        else:
            before += owners[name]
    return found


def _owners(network: nn.Module) -> dict[str, list[str]]:
    """Module -> the names of its own parameters, those from which its weights are computed among them."""
    found: dict[str, list[str]] = {}
    for name, _ in network.named_parameters():
        module = name.partition(".parametrizations.")[0] if ".parametrizations." in name else name.rpartition(".")[0]
        found.setdefault(module, []).append(name)
    return found
