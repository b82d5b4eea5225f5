"""The latent whose sample is nearest to an image."""

import pytest
import torch

import ganrun
from ganrun.errors import UserError
from ganrun.evaluation.features import context_of
from ganrun.inference.project import Projector
from ganrun_plugins.features.pixels import Pixels
from ganrun_plugins.features.random_conv import RandomConv

SMALL = {
    "train": {"steps": 1, "batch_size": 4, "device": "cpu", "threads": 1},
    "observers": ["checkpoints"],
    "generator": {"mlp": {"widths": [16], "norm": "none"}},
    "discriminator": {"mlp": {"widths": [8], "norm": "none"}},
    "dataset": {"digits": {"size": 8, "classes": [3, 7]}},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    changes = {
        "normal": {"variant": {"gan": {"latent": 4}}},
        "uniform": {"variant": {"gan": {"latent": 4}}, "sampler": "uniform"},
        "sphere": {"variant": {"gan": {"latent": 4}}, "sampler": "spherical"},
        "classes": {"variant": {"cgan": {"latent": 4}}},
        "points": {"variant": "gan", "dataset": {"ring": {"count": 32}}},
    }
    return {
        name: ganrun.load(ganrun.run({**SMALL, **change}, output=folder / name).folder)
        for name, change in changes.items()
    }


@pytest.mark.parametrize("name", ["normal", "uniform", "sphere"])
def test_a_sample_is_found_again(runs, name):
    run = runs[name]
    target = run.sample(9)[8]
    found = Projector(run, steps=300, starts=4, rate=0.1).project(target)
    assert found.pixels < 0.02
    assert torch.allclose(run.from_latents(found.latents)[0], found.image, atol=1e-5)
    assert torch.equal(found.way[-1], found.image)


def test_the_nearest_of_all_starts_is_kept_and_one_start_gives_the_same_in_any_company(runs):
    run = runs["normal"]
    target = run.sample(9)[8]
    several = Projector(run, steps=5, starts=4).project(target)
    assert several.distance == min(several.beginnings)
    alone = Projector(run, steps=5, starts=1).project(target)
    assert alone.beginnings[0] == pytest.approx(several.beginnings[0], rel=1e-4)


def test_the_distance_falls(runs):
    run = runs["normal"]
    target = run.sample(9)[8]
    few, many = (Projector(run, steps=steps, starts=1).project(target).distance for steps in (1, 60))
    assert many < few


def test_latents_stay_where_they_are_drawn(runs):
    """The target is out of reach: white all over."""
    white = torch.ones(1, 8, 8)
    uniform = Projector(runs["uniform"], steps=50, starts=1, rate=1.0).project(white).latents["z"]
    assert uniform.abs().max() <= 1
    sphere = Projector(runs["sphere"], steps=50, starts=1, rate=1.0).project(white).latents["z"]
    drawn = runs["sphere"].latents(1)["z"]
    assert sphere.norm().item() == pytest.approx(drawn.norm().item(), rel=1e-4)
    normal = Projector(runs["normal"], steps=200, starts=1, rate=1.0).project(white).latents["z"]
    assert normal.square().mean() < 30


def test_every_value_of_a_label_is_tried_unless_one_is_asked_for(runs):
    run = runs["classes"]
    target = run.sample(9, ask={"label": "7"})[8]
    found = Projector(run, steps=200, starts=2, rate=0.1).project(target)
    assert len(found.beginnings) == 4
    asked = Projector(run, steps=5, starts=2, ask={"label": "3"}).project(target)
    assert asked.latents["label"].tolist() == [0]
    assert len(asked.beginnings) == 2


def test_feature_maps_count_beside_pixels(runs):
    run = runs["normal"]
    target = run.sample(9)[8]
    features = RandomConv(context_of(run.experiment, "x"), width=8)
    maps = features.maps(target[None])
    found = Projector(run, features, steps=3, starts=1, weight=2.0).project(target)
    made = features.maps(found.image[None])
    apart = [(made[k] - maps[k]).square().mean() / maps[k].square().mean() for k in maps]
    pixels = (found.image - target).square().mean() / target.var()
    assert found.distance == pytest.approx(float(pixels + 2 * sum(apart) / len(apart)), rel=1e-3)


def test_what_cannot_be_projected_is_refused(runs):
    with pytest.raises(UserError, match="only images are looked for"):
        Projector(runs["points"])
    with pytest.raises(UserError, match="these features have no maps"):
        Projector(runs["normal"], Pixels(context_of(runs["normal"].experiment, "x")))
