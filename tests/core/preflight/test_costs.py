"""What a run costs beyond plain steps, before it is run."""

import pytest

from ganrun.catalog.catalog import Catalog
from ganrun.preflight.check import check
from ganrun.preflight.costs import preparations, step_costs
from ganrun.recipe import load_recipe


@pytest.fixture
def experiment(tiny):
    return lambda **changes: check(load_recipe(tiny(**changes), catalog=Catalog()))[0]


def test_tricks_that_say_what_they_cost_are_listed_with_it(experiment):
    """2 and 5 steps ahead: 1 + 2 * 1.2, and 1 + 5 * 0.6."""
    ahead = [{"unrolling": {"steps": 2}}, {"unrolling": {"steps": 5, "through": False}}]
    costs = step_costs(experiment(tricks=ahead))
    assert costs == [("trick unrolling", pytest.approx(3.4)), ("trick unrolling", pytest.approx(4))]


def test_tricks_that_cost_nothing_worth_a_word_are_not_listed(experiment):
    assert step_costs(experiment(tricks=["label-smoothing"])) == []
    assert step_costs(experiment(tricks=[{"unrolling": {"steps": 0}}])) == []


def test_a_classifier_that_will_be_trained_is_announced_and_other_features_are_not(experiment):
    found = preparations(
        experiment(
            variant={"dcgan": {"latent": 4}},
            dataset={"glyphs": {"size": 8, "classes": 2, "items": 8}},
            generator={"dcgan": {"width": 4}},
            discriminator={"dcgan": {"width": 4}},
            evaluators=[
                {"frechet-distance": {"features": "classifier"}},
                {"kernel-distance": {"features": "classifier"}},
                {"precision-recall": {"features": "pixels"}},
            ],
        )
    )
    assert list(found) == ["features classifier"], "once, however many evaluators look at it"
    assert "200 steps" in found["features classifier"]
