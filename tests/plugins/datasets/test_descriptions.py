"""Data that has to be downloaded describes its spaces and length, so that `--check` works before the download."""

import struct

import numpy as np
import pytest

from ganrun.catalog.catalog import Catalog
from ganrun.data.reader import DataDescription
from ganrun.errors import DataError
from ganrun.preflight.check import check
from ganrun.recipe import find_recipe, load_recipe
from ganrun.words.spaces import DataFiles

PUBLISHED = {"mnist": (60_000, 1), "fashion-mnist": (60_000, 1), "cifar10": (50_000, 3)}


@pytest.fixture(autouse=True)
def no_download(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a check must not download")

    for module in ("_idx", "cifar10", "_archives"):
        monkeypatch.setattr(f"ganrun_plugins.datasets.{module}.fetch", refuse)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_images_are_checked_before_they_are_here(name):
    recipe = load_recipe(
        {"variant": "dcgan", "dataset": {name: {"size": 32}}, "train": {"device": "cpu"}}, catalog=Catalog()
    )
    experiment, networks = check(recipe)
    assert (experiment.clock.dataset, experiment.dataset.spaces["x"].shape[0]) == PUBLISHED[name]
    assert len(networks) == 2


def test_selected_classes_are_described():
    recipe = load_recipe(
        {"variant": "dcgan", "dataset": {"mnist": {"size": 32, "classes": ["3", "7"]}}, "train": {"device": "cpu"}},
        catalog=Catalog(),
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
    experiment, _ = check(
        load_recipe({"variant": variant, "dataset": dataset, **networks, "train": {"device": "cpu"}}, catalog=Catalog())
    )
    spaces = experiment.dataset.spaces
    assert (len(experiment.dataset), spaces["a" if variant == "cogan" else "x"].shape, spaces["label"].classes) == (
        items,
        shape,
        classes,
    )
    assert len(experiment.dataset.classes) == classes


def test_hidden_pairs_are_described_too():
    """What the built data set provides is known before: this evaluator needs it."""
    recipe = {
        "variant": "pix2pix",
        "dataset": {"paired-digits": {"images": "mnist", "size": 16}},
        "generator": {"unet": {"width": 2}},
        "discriminator": {"patchgan": {"layers": 1, "width": 2}},
        "evaluators": ["hidden-pairs"],
        "train": {"device": "cpu"},
    }
    experiment, _ = check(load_recipe(recipe, catalog=Catalog()))
    assert isinstance(experiment.dataset, DataDescription)


def test_pictures_of_another_kind_are_refused_before_they_are_downloaded():
    recipe = {
        "variant": "gan",
        "dataset": {"stacked-digits": {"images": "cifar10"}},
        "generator": "mlp",
        "discriminator": "mlp",
    }
    with pytest.raises(DataError, match="grey images `x` with one `label` each are wanted"):
        check(load_recipe(recipe, catalog=Catalog()))


@pytest.mark.parametrize(
    ("dataset", "published", "here"),
    [
        (lambda root: {"mnist": {"size": 16, **root}}, 60_000, 300),
        (lambda root: {"stacked-digits": {"images": {"mnist": root}, "count": 70}}, 70, 70),
        (lambda root: {"paired-digits": {"images": {"mnist": root}, "size": 16, "classes": [7, 1]}}, 12_000, 60),
    ],
)
def test_what_is_described_is_what_is_then_there(dataset, published, here, tmp_path):
    """MNIST with 30 pictures of each class, described with its published number of pictures; all else is the same."""
    write_idx(tmp_path, 300)
    part = resolve(dataset({}))
    said = part.component.factory.describe("train", **part.parameters)
    made = resolve(dataset({"root": str(tmp_path)})).make(DataFiles(tmp_path, tmp_path), "train")
    assert (said.spaces, said.classes) == (dict(made.spaces), list(made.classes))
    assert said.provides == frozenset(getattr(made, "provides", ()))
    assert (len(said), len(made)) == (published, here)


def resolve(dataset):
    """The data set's part of a recipe."""
    recipe = {
        "variant": "cogan" if "paired-digits" in dataset else "gan",
        "dataset": dataset,
        "generator": "mlp",
        "discriminator": "mlp",
    }
    return load_recipe(recipe, catalog=Catalog()).dataset


def write_idx(folder, count):
    """MNIST's four files with ``count`` pictures in each split, the classes in turn."""
    draws = np.random.default_rng(0)
    for part in ("train", "t10k"):
        images = draws.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 2051, count, 28, 28) + images.tobytes())
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(
            struct.pack(">II", 2049, count) + (np.arange(count) % 10).astype(np.uint8).tobytes()
        )


def test_the_reference_cyclegan_is_exact_to_the_parameter():
    recipe = load_recipe(find_recipe("cyclegan_horse2zebra"), catalog=Catalog(), overrides={"train.device": "cpu"})
    experiment, networks = check(recipe)
    assert {line.name: line.parameters for line in networks} == {
        "generator_ab": 11_378_179,
        "generator_ba": 11_378_179,
        "discriminator_a": 2_764_737,
        "discriminator_b": 2_764_737,
    }
    assert sum(line.parameters for line in networks) == 28_285_832
    assert experiment.clock.total == 200 * 1334
