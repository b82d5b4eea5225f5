"""Parameters under former names: ``hinge.margin`` was ``bound``, ``distance.other`` was ``second``."""

from __future__ import annotations

import warnings

import pytest

from ganrun.recipe import SignatureError, recipe_schema
from ganrun.recipe.parameters import parameter_model

GOOD = "variant: toy\ndataset: digits\n"
CALLED = 'this parameter is called "margin" now; the former name will go'


def test_a_former_name_works_and_warns_of_its_place_and_the_new_name(load):
    with pytest.warns(FutureWarning) as caught:
        recipe = load(GOOD + "loss:\n  hinge: {bound: 2}\n")
    assert [str(warning.message) for warning in caught] == [f"a.yaml:4:11: loss.hinge.bound: {CALLED}"]
    assert recipe.loss.parameters == {"margin": 2.0}
    assert recipe.origins["loss", "hinge", "margin"] == "a.yaml:4"


def test_a_former_name_works_with_set(load):
    with pytest.warns(FutureWarning, match=f"^--set loss.hinge.bound=3: loss.hinge.bound: {CALLED}$"):
        assert load(GOOD + "loss: {hinge: {margin: 2}}\n", "loss.hinge.bound=3").loss.parameters == {"margin": 3.0}


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("names", [("bound", "margin"), ("margin", "bound"), ("bound", "margin", "bound")])
def test_of_several_layers_the_upper_one_counts_whatever_the_name(load, write, names):
    write(GOOD + f"loss: {{hinge: {{{names[0]}: 1}}}}\n", "base.yaml")
    sets = [f"loss.hinge.{name}=3" for name in names[2:]]
    recipe = load(f"extends: base.yaml\nloss: {{hinge: {{{names[1]}: 2}}}}\n", *sets)
    assert recipe.loss.parameters == {"margin": float(len(names))}


def test_both_names_in_one_source_are_a_problem(problems):
    assert problems(GOOD + "loss: {hinge: {margin: 1, bound: 2}}\n") == [
        'a.yaml:3:27: loss.hinge.bound: a former name of "margin", which is given, too; leave this one out'
    ]


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_wrong_value_is_reported_where_it_was_written(problems):
    assert problems(GOOD + "loss: {hinge: {bound: x}}\n") == [
        'a.yaml:3:23: loss.hinge.bound: expected a number, got "x"'
    ]


def test_a_part_under_a_former_name_is_built_and_resolved_under_the_new_one(load, catalog):
    with pytest.warns(FutureWarning, match="evaluators.0.distance.second"):
        recipe = load(GOOD + "evaluators: [distance: {second: classifier}]\n")
    (evaluator,) = recipe.resolved["evaluators"]
    assert "second" not in evaluator["distance"]
    assert evaluator["distance"]["other"] == {"classifier": {"width": 16}}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load(recipe.resolved) == recipe


def test_a_former_name_of_a_score_is_refused_as_the_best_with_the_new_one(problems):
    recipe = GOOD + "evaluators: [distance]\ncheckpoint: {best: {evaluator: 'distance[x].second', mode: min}}\n"
    assert problems(recipe) == [
        'a.yaml:4:32: checkpoint.best.evaluator: this score is called "distance[x].other" now; write that'
    ]


def test_the_schema_has_the_new_name_alone(catalog):
    assert list(recipe_schema(catalog)["$defs"]["loss.hinge"]["properties"]) == ["margin"]


@pytest.mark.parametrize("renamed", [{"old": "gone"}, {"margin": "other"}, ["old"]])
def test_what_maps_no_former_name_to_a_parameter_is_a_mistake_of_the_plugin(renamed):
    class Loss:
        def __init__(self, *, margin: float = 1.0, other: float = 1.0) -> None: ...

    Loss.renamed = renamed
    with pytest.raises(SignatureError, match="its `renamed` (maps|is not a mapping)"):
        parameter_model(Loss)
