"""What a variant has to keep."""

from __future__ import annotations

from typing import Any

from ganrun.experiment.experiment import Experiment
from ganrun.recipe.known import NETWORKS, declared
from ganrun.testing.plugin import Plugin
from ganrun.testing.runs import build_run, samples
from ganrun.words.game import Description
from ganrun.words.spaces import Refusal


def experiment_of(plugin: Plugin) -> Experiment:
    """The built experiment of the variant on its data."""
    return build_run(plugin, plugin.recipe).experiment


def outline(description: Description) -> list[Any]:
    """The plain values of a description, without its functions."""
    phases = [(p.name, p.player, p.every, p.repeats, p.together) for p in description.phases]
    return [description.networks, description.players, phases, description.games, description.outputs]


def check_defaults_are_a_recipe(plugin: Plugin) -> None:
    """``defaults`` is a fragment of a recipe, valid as it stands."""
    assert isinstance(getattr(plugin.factory, "defaults", None), dict), (
        "no `defaults`: add the recipe fragment with the paper's settings"
    )
    assert "dataset" not in plugin.factory.defaults, "`dataset` belongs in recipes; remove it from defaults"
    plugin.load({"variant": plugin.put({})["variant"], "dataset": plugin.recipe["dataset"], "train": {"steps": 1}})


def check_describe_is_pure(plugin: Plugin) -> None:
    """Described twice, by two instances or by one, a variant is the same."""
    spaces = experiment_of(plugin).dataset.spaces
    variant = plugin.part.make()
    first = outline(variant.describe(spaces))
    again, other = outline(variant.describe(spaces)), outline(plugin.part.make().describe(spaces))
    assert first == again == other, "describe gives two descriptions for the same spaces"


def check_networks_are_declared(plugin: Plugin) -> None:
    """``networks`` names every recipe key of a network besides generator and discriminator, and its kind of plugin."""
    keys = {*NETWORKS, *declared(plugin.catalog, plugin.name)}  # which raises for a wrong declaration
    asked_for = {network.kind for network in experiment_of(plugin).description.networks.values()}
    assert asked_for <= keys, (
        f"describe asks for networks under keys that `networks` does not declare: {', '.join(sorted(asked_for - keys))}"
    )


def check_description_fits_together(plugin: Plugin) -> None:
    """Players, phases and games name what exists; every network is trained; outputs are entries of the data."""
    experiment = experiment_of(plugin)
    description, players = experiment.description, experiment.players
    owned = {name.partition(".")[0] for player in description.players for name in player.modules}
    odd = sorted(owned ^ set(description.networks))
    assert not odd, f"networks without a player, or players' networks that do not exist: {odd}"
    assert {phase.player for phase in description.phases} <= set(players), "a phase names an unknown player"
    names = [phase.name for phase in description.phases]
    assert len(set(names)) == len(names), "two phases have one name; readers and draws are keyed by it"
    for game in description.games:
        assert game.discriminator in description.networks, (
            f"game {game.name}: no network is called {game.discriminator}"
        )
        named = {game.player, *game.against, *game.watchers}
        assert named <= set(players), f"game {game.name}: unknown players {sorted(named - set(players))}"
    unknown = set(description.outputs) - set(experiment.dataset.spaces)
    assert description.outputs and not unknown, f"outputs {sorted(unknown)} are not entries of the data"


def check_refuses_other_data(plugin: Plugin) -> None:
    """Data without the entries it needs raise a Refusal with a reason and an alternative."""
    try:
        plugin.part.make().describe({})
    except Refusal as refusal:
        assert all(refusal.reason), "the Refusal needs both: why, and instead"
    else:
        raise AssertionError("data without any entry are accepted; raise a Refusal")


def check_makes_its_outputs(plugin: Plugin) -> None:
    """``make`` fills ``turn.made`` with every output, in the shape of the data's entry; images in [-1, 1]."""
    run = build_run(plugin, plugin.recipe)
    made = samples(run, 4)
    for name in run.experiment.description.outputs:
        space = run.experiment.dataset.spaces[name]
        assert tuple(made[name].shape) == (4, *space.shape), (
            f"{name}: {tuple(made[name].shape)} instead of {(4, *space.shape)}"
        )
        if space.kind == "image":
            assert float(made[name].abs().max()) <= 1, f"{name} has values outside [-1, 1]"


def check_codes_are_latents(plugin: Plugin) -> None:
    """Every entry of ``codes`` is a latent of that space; labels are within their classes."""
    run = build_run(plugin, plugin.recipe)
    real = (
        {name: run.evaluation.real(name, n=4) for name in run.experiment.dataset.spaces}
        if run.experiment.description.conditional
        else None
    )
    latents = run.sample_maker.turn(4, real=real).latents
    for name, space in run.experiment.description.codes.items():
        assert name in latents, f"the code {name!r} is not a latent: `sample` draws {', '.join(latents) or 'none'}"
        assert tuple(latents[name].shape) == (4, *space.shape), (
            f"{name}: {tuple(latents[name].shape)} instead of {(4, *space.shape)}"
        )
        if space.kind == "labels":
            assert int(latents[name].min()) >= 0 and int(latents[name].max()) < space.classes, (
                f"{name}: a label outside 0..{space.classes - 1}"
            )


def check_infers_what_it_says(plugin: Plugin) -> None:
    """``infer`` returns every entry of ``infers``, one row an item: class logits for labels, encodings for a latent."""
    run = build_run(plugin, plugin.recipe)
    for name, space in run.experiment.description.infers.items():
        found = run.evaluation.inferred(name, n=4)
        row = (
            (*space.shape, space.classes)
            if space.kind == "labels" and not (space.shape and space.classes == 2)
            else space.shape
        )
        assert tuple(found.shape) == (4, *row), f"{name}: {tuple(found.shape)} instead of {(4, *row)}"
        assert bool(found.isfinite().all()), f"{name}: values that are not finite"


def check_panels(plugin: Plugin) -> None:
    """``panels`` returns names and columns of samples, one row each."""
    run = build_run(plugin, plugin.recipe)
    real = None
    if run.experiment.description.conditional:
        real = {name: run.evaluation.real(name, n=4) for name in run.experiment.dataset.spaces}
    panels = run.sample_maker.panels(4, real=real)
    assert panels, "panels returns nothing"
    for name, panel in panels.items():
        assert panel.columns and all(column.shape[0] == 4 for column in panel.columns), (
            f"panel {name!r} does not have one row per sample"
        )
