"""Data that has to be downloaded announces its spaces and length, so that `--check` works before the download."""

import pytest

from ganrun.catalog import Catalog
from ganrun.preflight import check
from ganrun.recipe import find_recipe, load_recipe

PUBLISHED = {"mnist": (60_000, 1), "fashion-mnist": (60_000, 1), "cifar10": (50_000, 3)}


@pytest.fixture(autouse=True)
def no_download(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a check must not download")

    monkeypatch.setattr("ganrun.download.fetch", refuse)
    monkeypatch.setattr("ganrun_plugins.datasets.horse2zebra.fetch", refuse)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_images_are_checked_before_they_are_here(name):
    recipe = load_recipe({"variant": "dcgan", "dataset": {name: {"size": 32}}, "train": {"device": "cpu"}}, catalog=Catalog())
    experiment, networks = check(recipe)
    assert (experiment.clock.dataset, experiment.dataset.spaces["x"].shape[0]) == PUBLISHED[name]
    assert len(networks) == 2


def test_selected_classes_are_announced():
    recipe = load_recipe(
        {"variant": "dcgan", "dataset": {"mnist": {"size": 32, "classes": ["3", "7"]}}, "train": {"device": "cpu"}}, catalog=Catalog()
    )
    experiment, _ = check(recipe)
    assert (experiment.clock.dataset, experiment.dataset.classes) == (12_000, ["3", "7"])


@pytest.mark.parametrize(
    ("dataset", "items", "shape", "classes"),
    [
        ({"stacked-digits": {"images": "mnist", "size": 32, "count": 500}}, 500, (3, 32, 32), 1000),
        ({"paired-digits": {"images": {"mnist": {"classes": [4, 9]}}, "size": 32}}, 12_000, (1, 32, 32), 2),
        ({"paired-digits": {"images": "fashion-mnist", "size": 16, "limit": 300}}, 300, (1, 16, 16), 10),
    ],
)
def test_what_is_made_of_other_pictures_is_checked_before_those_are_here(dataset, items, shape, classes):
    networks = {"generator": "mlp", "discriminator": "mlp"}
    variant = "cogan" if "paired-digits" in dataset else "gan"
    experiment, _ = check(load_recipe({"variant": variant, "dataset": dataset, **networks, "train": {"device": "cpu"}}, catalog=Catalog()))
    spaces = experiment.dataset.spaces
    assert (len(experiment.dataset), spaces["a" if variant == "cogan" else "x"].shape, spaces["label"].classes) == (items, shape, classes)
    assert len(experiment.dataset.classes) == classes


def test_the_reference_cyclegan_is_exact_to_the_parameter():
    recipe = load_recipe(find_recipe("cyclegan_horse2zebra"), catalog=Catalog(), overrides={"train.device": "cpu"})
    experiment, networks = check(recipe)
    assert {line.name: line.parameters for line in networks} == {
        "generator_ab": 11_378_179,
        "generator_ba": 11_378_179,
        "discriminator_a": 2_764_737,
        "discriminator_b": 2_764_737,
    }
    assert experiment.clock.total == 200 * 1334
