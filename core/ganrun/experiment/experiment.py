"""An experiment: everything that a recipe stands for, built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from ganrun.contracts.events import Events
from ganrun.contracts.protocols import Dataset, Evaluator, Loss, Observer, Optimizer, Sampler, Trick, Variant
from ganrun.data.reader import Reader
from ganrun.distributed import Processes
from ganrun.experiment.capabilities import provided_by
from ganrun.experiment.diagnostics import Diagnostic as Diagnostic
from ganrun.experiment.diagnostics import RefusedError as RefusedError
from ganrun.experiment.freeze import Frozen
from ganrun.experiment.initialise import initialise
from ganrun.experiment.torch_settings import torch_settings
from ganrun.recipe import Part, Recipe
from ganrun.schedule import Clock
from ganrun.words.game import Description, Game, Phase, Player
from ganrun.words.spaces import Space


@dataclass
class Plan:
    """What shapes networks before any exists: the payload of the event ``plan``."""

    description: Description
    spaces: Mapping[str, Space]


@dataclass
class Experiment:
    """Everything a recipe stands for, built: the payload of the event ``build``, and what the engine trains.

    dataset: what is trained on. data: split -> data set of the recipe, each opened when it is first asked for.
    losses: game -> the loss it is played with; "" -> the one that all other games share. loss_parts: what they are made
    of.
    """

    recipe: Recipe
    dataset: Dataset
    data: Callable[[str], Dataset]
    processes: Processes
    clock: Clock
    variant: Variant
    losses: dict[str, Loss]
    loss_parts: dict[str, Part]
    sampler: Sampler
    tricks: list[Trick]
    evaluators: list[Evaluator]
    observers: list[Observer]
    hooks: Events
    description: Description
    modules: dict[str, nn.Module] = field(default_factory=dict)
    optimizers: dict[str, Optimizer] = field(default_factory=dict)
    frozen: dict[str, Frozen] = field(default_factory=dict)
    warnings: list[Diagnostic] = field(default_factory=list)

    @property
    def players(self) -> dict[str, Player]:
        """Name -> player."""
        return {player.name: player for player in self.description.players}

    @property
    def phases(self) -> list[Phase]:
        """The schedule of a step."""
        return self.description.phases

    @property
    def games(self) -> list[Game]:
        """The games of the whole run."""
        return self.description.games

    def loss(self, game: str) -> Loss:
        """The loss that a game is played with."""
        return self.losses[game if game in self.losses else ""]

    def parts(self) -> list[Part]:
        """Every part of the recipe, and the losses that games of the variant propose."""
        named = self.recipe.parts()
        return named + [part for part in self.loss_parts.values() if part not in named]

    def networks(self, role: str) -> dict[str, nn.Module]:
        """The built networks of one recipe key, such as ``generator``, by name; as ``discriminator`` all that judge."""
        return {name: self.modules[name] for name in self.description.networks if role in self.description.roles(name)}

    def is_generator(self, network: str) -> bool:
        """Whether a network goes from one space to another, as generators, encoders and mappings do."""
        return self.recipe.networks[self.description.networks[network].kind].kind == "generator"

    def parameters(self, player: Player) -> list[nn.Parameter]:
        """A player's parameters, each once, in a fixed order."""
        left_out = {id(p) for name in player.without for p in self.module(name).parameters()}
        found = {id(p): p for name in player.modules for p in self.module(name).parameters()}
        return [parameter for key, parameter in found.items() if key not in left_out]

    def module(self, name: str) -> nn.Module:
        """A module by its dotted name, such as ``discriminator`` or ``discriminator.head``."""
        first, _, rest = name.partition(".")
        return self.modules[first].get_submodule(rest)

    def settings(self) -> AbstractContextManager[None]:
        """torch's global settings of the run: for code that calls its networks by hand."""
        return torch_settings(self.recipe.train)

    def warn(self, part: str, why: str, instead: str = "") -> None:
        """Warn of what works and should not be: which part, why, and a way out. Shown before training."""
        self.warnings.append(Diagnostic(part, why, instead))

    def provides(self, capability: str) -> bool:
        """Whether a part, a game, a network or a setting of the run provides a capability."""
        return bool(provided_by(self).get(capability))

    def initialise(self, network: str, module: nn.Module) -> None:
        """Draw the weights of a module as those of a network of the run are, from torch's global generator."""
        initialise(module, self.init_of(network))

    def init_of(self, network: str) -> Any:
        """The initialisation that the network's player asks for, None if no player has it."""
        for player in self.description.players:
            if network in {name.partition(".")[0] for name in player.modules}:
                settings = self.recipe.players.get(player.name)
                return settings.init if settings else None
        return None

    def components(self) -> dict[str, Any]:
        """Label -> component that may have state, in the order of events: what checkpoints keep besides networks."""
        named: dict[str, Any] = {"variant": self.variant}
        named |= {f"loss.{game}" if game else "loss": loss for game, loss in self.losses.items()}
        named["sampler"] = self.sampler
        named |= {
            f"tricks.{i}.{part.name}": trick for i, (part, trick) in enumerate(zip(self.recipe.tricks, self.tricks))
        }
        named |= {
            f"observers.{i}.{part.name}": o for i, (part, o) in enumerate(zip(self.recipe.observers, self.observers))
        }
        return named

    def reader(self, name: str, rows: int, attempt: int = 0) -> Reader:
        """A new reader of the training data, with an order of its own in each attempt."""
        settings = self.recipe.train
        key = (settings.seed, "reader", name, *([attempt] if attempt else []))
        return Reader(self.dataset, key, batch_rows=rows, device=self.processes.device, workers=settings.workers)
