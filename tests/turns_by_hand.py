"""Turns of given parameters, without a run around them."""

from types import SimpleNamespace

import torch
from torch import nn

from ganrun.engine.freezing import Freezing
from ganrun.engine.turn import Turn
from ganrun.randomness import Draws
from ganrun.schedule import Clock
from ganrun.words.game import Game, Phase, Player

GAME = Game("adversarial", "discriminator", "discriminator", ["generator"])


def parameter(*values):
    return nn.Parameter(torch.tensor(values))


def make_experiment(modules=None, games=(GAME,)):
    modules = nn.ModuleDict(modules or {})
    players = {name: Player(name, [name]) for name in ("discriminator", "generator")}
    return SimpleNamespace(
        games=list(games), players=players, modules=modules, module=lambda name: modules.get_submodule(name)
    )


def make_turn(parameters, player="discriminator", *, step=0, experiment=None, lazy=False, mean=lambda tensor: tensor):
    experiment = experiment or make_experiment()
    engine = SimpleNamespace(
        clock=Clock(total=100, batch=4, dataset=100),
        parameters={player: parameters},
        freezing=Freezing({}),
        experiment=experiment,
        modules=experiment.modules,
        mean_over_processes=lambda tensor: mean(tensor.detach()),
    )
    phase = Phase(player, player, terms=(lambda turn: {}) if lazy else None)
    return Turn(engine, phase, step=step, draws=Draws(("test", step)), modules={}, batch_size=4)


def trained(run, count=4):
    for step in range(count):
        run.engine.step(step)
    return {
        f"{name}.{key}": value
        for name, module in run.engine.modules.items()
        for key, value in module.state_dict().items()
    }
