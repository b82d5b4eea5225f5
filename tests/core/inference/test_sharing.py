"""What is shared of a run: its samples stay the same, and what they do not need stays behind."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from ganrun import load
from ganrun import run as train
from ganrun.catalog.catalog import Catalog
from ganrun.errors import UserError
from ganrun.inference.sharing import prepare
from ganrun.training import checkpoint

RUNS = Path(__file__).parents[2] / "data" / "runs_0166519"


@pytest.fixture
def dcgan(tmp_path):
    """A run with averaged weights, and scores of its step."""
    return Path(shutil.copytree(RUNS / "dcgan", tmp_path / "dcgan"))


def shared(run, folder, **options):
    return prepare(run, folder / "shared", Catalog(), **options)


def state_of(folder):
    ((_, path),) = checkpoint.listing(folder / "checkpoints")
    return checkpoint.read(path)[1]


def test_the_weights_of_sampling_make_the_same_samples_and_the_rest_stays_behind(dcgan, tmp_path):
    found = shared(dcgan, tmp_path)
    assert torch.equal(load(found.folder).sample(9), load(dcgan).sample(9))
    state = state_of(found.folder)
    assert (list(state["modules"]), found.left_out) == (["generator"], ["discriminator"])
    assert (state["optimizers"], state["components"]) == ({}, [{}])
    assert load(found.folder).sample_maker.weights() == load(dcgan).sample_maker.weights() != {"generator": "trained"}


def test_scores_come_along_with_their_provenance(dcgan, tmp_path):
    found = shared(dcgan, tmp_path)
    lines = [json.loads(line) for line in (found.folder / "evaluations.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [3]
    assert "provenance" in lines[0]
    assert "| frechet-distance[pixels] |" in (found.folder / "README.md").read_text()


def test_what_was_typed_and_where_stays_behind(dcgan, tmp_path):
    versions = json.loads((shared(dcgan, tmp_path).folder / "versions.json").read_text())
    assert not {"command", "base"} & versions.keys()
    assert versions["plugins"]["variant.dcgan"]["distribution"] == "ganrun"


def test_the_card_has_what_the_hub_reads_and_what_people_ask(dcgan, tmp_path):
    text = (shared(dcgan, tmp_path, licence="cc-by-4.0", name="me/digits").folder / "README.md").read_text()
    header, _, body = text.removeprefix("---\n").partition("---\n")
    assert 'library_name: ganrun\nlicense: "cc-by-4.0"\npipeline_tag: unconditional-image-generation\n' in header
    for line in (
        "# digits\n",
        "up to step 3; weights: average",
        "ganrun sample hf://me/digits",
        "Data set `digits`, 899 training items",
        "The weights: cc-by-4.0.",
        "![samples](sample.png)",
    ):
        assert line in body


def test_a_network_that_stayed_behind_is_not_used_as_it_was_initialised(dcgan, tmp_path):
    trained = load(shared(dcgan, tmp_path).folder)
    with pytest.raises(UserError, match="the weights of discriminator are not here: this run was shared"):
        trained.experiment.modules["discriminator"](torch.zeros(1, 1, 16, 16))


def test_it_cannot_be_continued_and_says_how_to_begin_with_it(dcgan, tmp_path):
    found = shared(dcgan, tmp_path)
    with pytest.raises(
        UserError, match="was shared without its training state, so it cannot be continued; begin a run"
    ):
        train(found.folder, {"train.steps": 5}, resume=True)


@pytest.mark.slow
def test_with_its_training_state_it_continues(dcgan, tmp_path):
    found = shared(dcgan, tmp_path, training_state=True)
    assert found.left_out == []
    assert train(found.folder, {"train.steps": 5}, resume=True, force=True).step == 5


@pytest.mark.slow
def test_a_translation_keeps_both_directions(tmp_path):
    found = shared(RUNS / "cyclegan", tmp_path)
    assert found.left_out == ["discriminator_a", "discriminator_b"]
    batch = torch.rand(2, 1, 8, 8) * 2 - 1
    for to in ("a", "b"):
        assert torch.equal(load(found.folder).translate(batch, to=to), load(RUNS / "cyclegan").translate(batch, to=to))


@pytest.mark.slow
def test_what_samples_depend_on_besides_networks_comes_along(tmp_path):
    recipe = {
        "variant": {"gan": {"latent": 4}},
        "dataset": {"ring": {"count": 64}},
        "generator": {"mlp": {"widths": [8, 8], "norm": "batch"}},
        "discriminator": {"mlp": {"widths": [8], "norm": "none"}},
        "tricks": ["virtual-batch-norm", "replay-buffer"],
        "without": ["progress", "samples", "metrics-log", "health"],
        "train": {"steps": 2, "batch_size": 4, "device": "cpu"},
    }
    train(recipe, output=tmp_path / "run")
    found = shared(tmp_path / "run", tmp_path)
    assert torch.equal(load(found.folder).sample(9), load(tmp_path / "run").sample(9))
    assert list(state_of(found.folder)["components"][0]) == ["tricks.0.virtual-batch-norm"]


def test_a_discriminator_that_chooses_samples_comes_along(tmp_path):
    recipe = {
        "variant": {"gan": {"latent": 4}},
        "dataset": {"ring": {"count": 64}},
        "generator": {"mlp": {"widths": [8], "norm": "none"}},
        "discriminator": {"mlp": {"widths": [8], "norm": "none"}},
        "tricks": [{"metropolis-hastings": {"proposals": 3}}],
        "without": ["progress", "samples", "metrics-log", "health"],
        "train": {"steps": 2, "batch_size": 4, "device": "cpu"},
    }
    train(recipe, output=tmp_path / "run")
    assert shared(tmp_path / "run", tmp_path).left_out == []


def test_places_on_this_machine_that_a_recipe_names_are_told(tmp_path):
    from ganrun.inference.sharing import _paths

    resolved = {"dataset": {"image-folder": {"root": "/home/me/pictures", "size": 64}}, "train": {"seed": 0}}
    assert list(_paths(resolved)) == ["dataset.image-folder.root: /home/me/pictures"]
