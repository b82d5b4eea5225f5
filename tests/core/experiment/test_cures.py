"""Ways out of a refusal name only what the parts of the recipe have."""

import re

import pytest

from ganrun.catalog.catalog import Catalog
from ganrun.experiment.cures import choices, followable
from ganrun.recipe import load_recipe
from ganrun.training.build import RefusedError

WAY = "a discriminator with norm: none, layer or instance, or no penalty"


def recipe(discriminator, **more):
    data = {"digits": {"size": 8}}
    return load_recipe(
        {"variant": "dcgan", "dataset": data, "generator": "mlp", "discriminator": discriminator, **more},
        catalog=Catalog(),
    )


@pytest.mark.parametrize(
    ("discriminator", "said"),
    [
        ("dcgan", "discriminator: {dcgan: {norm: none or instance}}, or no penalty"),
        ("mlp", "discriminator: {mlp: {norm: none or layer}}, or no penalty"),
        ("cogan", "another discriminator, with norm: none, layer or instance, or no penalty"),
    ],
)
def test_a_value_is_named_that_the_network_at_hand_has(discriminator, said):
    assert followable(WAY, recipe(discriminator)) == said


def test_other_ways_stay_as_they_are():
    for way in ("loss: hinge", "an encoder with width: 3", "a variant with a game", ""):
        assert followable(way, recipe("dcgan")) == way


def test_choices_are_those_of_the_parameter():
    assert choices(recipe("dcgan").networks["discriminator"], "norm") == ["batch", "instance", "none"]
    assert choices(recipe("dcgan").networks["discriminator"], "width") == []
    assert choices(recipe("dcgan").networks["discriminator"], "colour") == []


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("dcgan", {}),
        ("mlp", {}),
        ("patchgan", {"layers": 1}),
        ("srgan", {"width": 4}),
        ("infogan", {}),
        ("gan-cls", {}),
    ],
)
def test_a_gradient_penalty_that_is_refused_trains_as_the_refusal_says(make_run, name, more):
    """The way out is pasted into the recipe."""
    plain = {
        "variant": "gan",
        "dataset": {"digits": {"size": 16}},
        "generator": {"mlp": {"widths": [8]}},
        "discriminator": {name: {"norm": "batch", **more}},
        "tricks": ["gradient-penalty"],
        "train": {"batch_size": 4, "device": "cpu"},
    }
    with pytest.raises(RefusedError) as refused:
        make_run(plain)
    said = next(each.instead for each in refused.value.refusals if "batch's mean" in each.why)
    value = re.search(r"norm: ([\w-]+)", said)[1]
    make_run({**plain, "discriminator": {name: {"norm": value, **more}}}).engine.step(0)
