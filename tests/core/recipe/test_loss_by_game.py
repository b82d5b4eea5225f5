"""A loss for each game: how a recipe writes it, how layers and overrides merge, what is wrong with it and where."""

from __future__ import annotations

import pytest

from ganrun.recipe import RecipeError, diff_text, dump, explain, load_recipe

GOOD = "variant: toy\ndataset: digits\n"  # its default loss is {wasserstein: {clip: 0.05}}


def losses(recipe):
    """Game -> (name, parameters), "" being the one of all others."""
    named = {game: (part.name, part.parameters) for game, part in recipe.losses.items()}
    return named | ({"": (recipe.loss.name, recipe.loss.parameters)} if recipe.loss else {})


WASSERSTEIN = ("wasserstein", {"clip": 0.05, "drift": 0.0})


def test_a_mapping_of_games_leaves_the_default_to_the_games_it_does_not_name(load):
    recipe = load(GOOD + "loss: {first: hinge, second: {hinge: {margin: 2}}}\n")
    assert losses(recipe) == {
        "first": ("hinge", {"margin": 1.0}),
        "second": ("hinge", {"margin": 2.0}),
        "": WASSERSTEIN,
    }
    assert not recipe.loss_chosen, "the loss of the others is the variant's own"


def test_a_mapping_with_the_name_of_a_loss_is_a_part(load):
    recipe = load(GOOD + "loss: {hinge: {margin: 2}}\n")
    assert losses(recipe) == {"": ("hinge", {"margin": 2.0})}
    assert recipe.loss_chosen


@pytest.mark.parametrize(
    ("text", "chosen"),
    [("wasserstein", False), ("{wasserstein: {clip: 0.05}}", False), ("{wasserstein: {clip: 1}}", True)],
)
def test_a_loss_that_repeats_the_variants_default_is_not_chosen(load, text, chosen):
    assert load(GOOD + f"loss: {text}\n").loss_chosen is chosen


def test_others_names_the_loss_of_the_games_that_are_not_named(load):
    recipe = load(GOOD + "loss: {first: hinge, others: {wasserstein: {drift: 1}}}\n")
    assert losses(recipe) == {"first": ("hinge", {"margin": 1.0}), "": ("wasserstein", {"clip": 0.05, "drift": 1.0})}
    assert losses(load(GOOD + "loss: {others: hinge}\n")) == {"": ("hinge", {"margin": 1.0})}


def test_layers_merge_game_by_game_and_one_loss_replaces_them_all(load, write):
    write(GOOD + "loss: {first: {hinge: {margin: 3}}, others: hinge}\n", "base.yaml")
    merged = load("extends: base.yaml\nloss: {second: hinge, first: {hinge: {}}}\n")
    assert losses(merged) == {
        "first": ("hinge", {"margin": 3.0}),
        "second": ("hinge", {"margin": 1.0}),
        "": ("hinge", {"margin": 1.0}),
    }
    assert losses(load("extends: base.yaml\nloss: wasserstein\n")) == {
        "": ("wasserstein", {"clip": 0.01, "drift": 0.0})
    }


@pytest.mark.parametrize(
    ("override", "wanted"),
    [
        ("loss.first=wasserstein", {"first": WASSERSTEIN[0]}),
        ("loss.second.hinge.margin=4", {"first": "hinge", "second": "hinge"}),
        ("loss={second: hinge}", {"first": "hinge", "second": "hinge"}),
        ("loss.others=hinge", {"first": "hinge", "": "hinge"}),
    ],
)
def test_an_override_changes_the_loss_of_one_game(load, override, wanted):
    recipe = load(GOOD + "loss: {first: {hinge: {margin: 3}}}\n", override)
    assert {game: name for game, (name, _) in losses(recipe).items()} == {"": "wasserstein"} | wanted


def test_an_override_of_a_parameter_keeps_the_others_of_that_games_loss(load):
    recipe = load(GOOD + "loss: {first: {wasserstein: {drift: 2}}}\n", "loss.first.wasserstein.clip=0.5")
    assert losses(recipe)["first"] == ("wasserstein", {"clip": 0.5, "drift": 2.0})


def test_an_override_with_one_loss_is_for_all_games(load):
    assert losses(load(GOOD + "loss: {first: hinge}\n", "loss=hinge")) == {"": ("hinge", {"margin": 1.0})}
    recipe = load(GOOD + "loss: {first: hinge}\n", "loss.wasserstein.drift=1")
    assert losses(recipe) == {"": ("wasserstein", {"clip": 0.05, "drift": 1.0})}


@pytest.mark.parametrize("loss", ["{first: hinge}", "{first: hinge, others: {wasserstein: {drift: 1}}}"])
def test_the_resolved_recipe_loads_as_the_same_recipe(load, loss):
    recipe = load(GOOD + f"loss: {loss}\n")
    for text in (dump(recipe.resolved), explain(recipe)):
        again = load(text)
        assert again == recipe
        assert again.loss_chosen is recipe.loss_chosen


def test_origins_are_those_of_each_game(load):
    recipe = load(GOOD + "loss:\n  first: {hinge: {margin: 2}}\n")
    assert recipe.origins["loss", "first", "hinge", "margin"] == "a.yaml:4"
    assert recipe.origins["loss", "others", "wasserstein", "clip"] == "variant toy"
    assert recipe.origins["loss", "others", "wasserstein", "drift"] == "default"
    assert "    hinge:" in explain(recipe)


def test_every_loss_is_a_part_of_the_recipe(load):
    named = [part.name for part in load(GOOD + "loss: {first: hinge}\n").parts() if part.kind == "loss"]
    assert named == ["wasserstein", "hinge"]


def test_the_difference_of_two_recipes_names_the_game(load):
    one, other = (load(GOOD + f"loss: {{first: {{hinge: {{margin: {m}}}}}}}\n").resolved for m in (1, 2))
    assert diff_text(one, other) == "  loss.first.hinge.margin: 1.0 -> 2.0\n"


@pytest.mark.parametrize(
    ("loss", "wanted"),
    [
        ("{first: hinghe}", 'a.yaml:3:15: loss.first: no loss is called "hinghe"; did you mean "hinge"?'),
        ("{first: {hinghe: {}}}", 'a.yaml:3:16: loss.first: no loss is called "hinghe"; did you mean "hinge"?'),
        (
            "{first: hinge, second: hinghe}",
            'a.yaml:3:30: loss.second: no loss is called "hinghe"; did you mean "hinge"?',
        ),
        ("{first: {hinge: {margn: 2}}}", 'a.yaml:3:24: loss.first.hinge.margn: unknown key; did you mean "margin"?'),
        (
            "{first: {hinge: 3}}",
            'a.yaml:3:23: loss.first.hinge: expected the parameters of "hinge" as a mapping, got 3',
        ),
        ("{first: hinge, second: 3}", "a.yaml:3:30: loss.second: expected a loss: its name"),
        ("{first: hinge, 2: hinge}", "a.yaml:3:22: loss.2: expected the name of a game, got 2"),
        ("{hinghe: {margin: 2}}", 'a.yaml:3:8: loss: no loss is called "hinghe"; did you mean "hinge"?'),
        ("{hinge: {}, wasserstein: {}}", "a loss is one part with one name"),
    ],
)
def test_mistakes_are_told_where_they_are(load, loss, wanted):
    with pytest.raises(RecipeError) as caught:
        load(GOOD + f"loss: {loss}\n")
    (problem,) = caught.value.problems
    assert wanted in str(problem)


def test_a_variant_proposes_the_loss_of_one_game_in_its_description(catalog):
    factory = catalog.load("variant", "toy").factory
    before = factory.defaults
    factory.defaults = before | {"loss": {"first": "hinge"}}
    try:
        with pytest.raises(
            RecipeError, match=r"one loss for all games; that of a single game is its Game\(loss=\.\.\.\)"
        ):
            load_recipe({"variant": "toy", "dataset": "digits"}, catalog=catalog)
    finally:
        factory.defaults = before
