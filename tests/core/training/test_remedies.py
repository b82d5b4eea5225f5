"""Remedies: tricks that declare a problem and fit the recipe of a run are found, and the run is left alone."""

from typing import Annotated

import pytest
import torch
from pydantic import Field

from ganrun.catalog.catalog import Catalog
from ganrun.errors import PluginError
from ganrun.training.remedies import PROBLEMS, knows, remedies_for
from ganrun.words.hooks import hookimpl
from ganrun.words.spaces import Reason, Refusal

AILMENT = "hiccups"  # no shipped trick knows it


class Helps:
    remedies = frozenset({AILMENT, "mode-collapse"})


class AlsoHelps(Helps):
    pass


class HelpsOtherwise:
    remedies = frozenset({"mode-collapse"})


class NeedsImages(Helps):
    needs = {"space:image": Reason("it paints", "use images")}


class RefusesHere(Helps):
    @hookimpl
    def build(self, experiment):
        raise Refusal("not here", "elsewhere")


class Fails(Helps):
    @hookimpl
    def build(self, experiment):
        raise ZeroDivisionError


class Warns(Helps):
    warns = {"game": Reason("there is a game", "no game")}


class NeedsParameter(Helps):
    def __init__(self, *, how: Annotated[int, Field(description="how often")]):
        self.how = how


class Unreadable(Helps):
    """Its parameters have a type that no recipe can give."""

    def __init__(self, *, how: torch.nn.Module):
        self.how = how


class Misdeclared:
    remedies = AILMENT


class Draws(Helps):
    """Draws while it is built and changes torch's default type."""

    @hookimpl
    def build(self, experiment):
        assert torch.is_grad_enabled()
        self.built = experiment
        torch.rand(3)
        torch.set_default_dtype(torch.float64)


TRICKS = {
    "trick.a-draws": Draws,
    "trick.a-warns": Warns,
    "trick.also-helps": AlsoHelps,
    "trick.fails": Fails,
    "trick.helps": Helps,
    "trick.helps-otherwise": HelpsOtherwise,
    "trick.misdeclared": Misdeclared,
    "trick.needs-images": NeedsImages,
    "trick.needs-parameter": NeedsParameter,
    "trick.refuses-here": RefusesHere,
    "trick.unreadable": Unreadable,
}


@pytest.fixture
def run(make_run, tiny):
    return lambda **changes: make_run(tiny(**changes), TRICKS)


def test_compatible_tricks_are_offered_those_without_warnings_first(run):
    assert remedies_for(run(), AILMENT) == ["a-draws", "also-helps", "helps", "a-warns"]


def test_what_the_recipe_has_is_not_offered(run):
    assert remedies_for(run(tricks=["helps", "a-warns"]), AILMENT) == ["a-draws", "also-helps"]


def test_a_warning_that_the_recipe_has_already_is_no_new_one(run):
    plain, warned = run(), run(tricks=["a-warns"])
    assert remedies_for(plain, AILMENT)[-1] == "a-warns"
    assert str(warned.experiment.warnings[0]).startswith("trick a-warns: there is a game")
    assert remedies_for(warned, AILMENT) == ["a-draws", "also-helps", "helps"]


def test_only_what_declares_the_problem_is_offered(run):
    assert "helps-otherwise" in remedies_for(run(), "mode-collapse")
    assert remedies_for(run(), "no-such-problem") == []


def test_another_recipe_has_other_remedies(run):
    images = {
        "variant": "dcgan",
        "dataset": {"digits": {"size": 16}},
        "discriminator": {"dcgan": {"width": 4}},
        "generator": {"dcgan": {"width": 4}},
    }
    assert "needs-images" in remedies_for(run(**images), AILMENT)
    assert "needs-images" not in remedies_for(run(), AILMENT)
    assert "r1" in remedies_for(run(), "overfitting-discriminator")
    assert "r1" not in remedies_for(run(**images), "overfitting-discriminator"), (
        "gradient penalties refuse batch normalisation"
    )


def test_what_an_evaluator_or_observer_cannot_stand_is_not_offered(make_run, tiny):
    class Proud(Helps):
        provides = frozenset({"pride"})

    class Modest:
        refuses = {"pride": Reason("it blushes", "leave it out")}
        made = 0

        def __init__(self):
            type(self).made += 1

        def evaluate(self, evaluation):
            return {"": 0.0}

    plugins = {"trick.proud": Proud, "evaluator.modest": Modest}
    assert remedies_for(make_run(tiny(), plugins), AILMENT) == ["proud"]
    run = make_run(tiny(evaluators=["modest"]), plugins)
    assert remedies_for(run, AILMENT) == []
    assert Modest.made == 1, "evaluators may load large networks, so none is made again"


def test_a_plugin_that_cannot_be_imported_is_passed_over(run, monkeypatch):
    load = Catalog.load

    def broken(self, kind, name):
        if name == "also-helps":
            raise PluginError("it is broken")
        return load(self, kind, name)

    monkeypatch.setattr(Catalog, "load", broken)
    assert remedies_for(run(), AILMENT) == ["a-draws", "helps", "a-warns"]


def test_the_run_is_left_alone(run):
    asked, alone = run(), run()
    for step in range(3):
        asked.engine.step(step)
        alone.engine.step(step)
        torch.manual_seed(step)
        before = torch.get_rng_state()
        with torch.no_grad():
            assert remedies_for(asked, AILMENT)
        assert torch.equal(torch.get_rng_state(), before)
        assert torch.get_default_dtype() == torch.float32
    assert asked.experiment.warnings == alone.experiment.warnings
    assert asked.recipe.tricks == []
    for name, module in asked.experiment.modules.items():
        for key, tensor in module.state_dict().items():
            assert tensor.device.type == "cpu"
            assert torch.equal(tensor, alone.experiment.modules[name].state_dict()[key])


def test_every_problem_that_a_shipped_trick_declares_has_a_name(run):
    catalog = Catalog()
    declared = {
        problem
        for name in catalog.names("trick")
        for problem in getattr(catalog.load("trick", name).factory, "remedies", ())
    }
    assert declared <= set(PROBLEMS)
    assert all(knows(problem) for problem in declared)
    assert not knows(AILMENT)
    offered = {problem for problem in PROBLEMS if remedies_for(run(), problem)}
    assert offered == set(PROBLEMS), "something helps a plain GAN against everything"
