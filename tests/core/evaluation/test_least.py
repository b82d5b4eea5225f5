"""Scores known to be impossible are refused before training."""

import pytest
from PIL import Image

from ganrun.catalog.catalog import Catalog
from ganrun.preflight.check import check
from ganrun.recipe import load_recipe
from ganrun.training.build import RefusedError
from ganrun.training.run import Run


@pytest.fixture
def refused(tmp_path):
    """A function that checks a recipe on a folder of so many pictures; returns the refusals as (part, why, instead)."""

    def refused(pictures, *evaluators, run=False, **dataset):
        (tmp_path / "pictures").mkdir()
        for number in range(pictures):
            Image.new("L", (8, 8), number).save(tmp_path / "pictures" / f"{number:03d}.png")
        recipe = {
            "variant": {"dcgan": {"latent": 4}},
            "dataset": {"image-folder": {"root": str(tmp_path / "pictures"), "size": 8, **dataset}},
            "generator": {"dcgan": {"width": 4}},
            "discriminator": {"dcgan": {"width": 4}},
            "without": ["progress", "samples", "metrics-log", "health", "checkpoints"],
            "evaluators": list(evaluators),
            "train": {"steps": 2, "batch_size": 2, "device": "cpu"},
        }
        catalog = Catalog()
        loaded = load_recipe(recipe, catalog=catalog)
        try:
            Run(loaded, catalog) if run else check(loaded)
        except RefusedError as error:
            return [(one.part, one.why, one.instead) for one in error.refusals]
        return []

    return refused


FRECHET = {"frechet-distance": {"features": "pixels"}}
BALLS = {"precision-recall": {"features": "pixels", "k": 3}}


@pytest.mark.parametrize("run", [False, True], ids=["check", "run"])
def test_a_covariance_of_one_test_item_is_refused_with_a_way_out(refused, run):
    """12 pictures, of which a tenth, one, is held out; by default as many samples are made."""
    real, made = refused(12, FRECHET, run=run)
    assert real[:2] == (
        "evaluator frechet-distance",
        "a covariance needs at least 2 items of the test split, and there is 1",
    )
    assert real[2].startswith("a larger test_fraction of the dataset")
    assert real[2].endswith("split: train of this evaluator")
    assert made[1] == "a covariance needs at least 2 made samples, and there is 1"
    assert made[2].startswith("samples: 1000 of this evaluator")


def test_what_is_enough_is_not_refused(refused):
    """A third of 12 is 4, and balls to the third neighbour take 4."""
    assert refused(12, FRECHET, BALLS, test_fraction=1 / 3) == []


def test_balls_take_one_sample_more_than_neighbours(refused):
    """A quarter of 12 is 3."""
    assert [why for _, why, _ in refused(12, BALLS, test_fraction=0.25)] == [
        "k = 3 neighbours needs at least 4 items of the test split, and there are 3",
        "k = 3 neighbours needs at least 4 made samples, and there are 3",
    ]


def test_another_split_and_a_number_of_samples_are_ways_out(refused):
    assert refused(12, {"frechet-distance": {"features": "pixels", "split": "train", "samples": 10}}) == []
