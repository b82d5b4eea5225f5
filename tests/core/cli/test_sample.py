"""``ganrun sample``: grids, files, ways between samples, sums of them, and what cannot be sampled."""

import numpy as np
import pytest
import torch
from PIL import Image

from ganrun import api
from ganrun.data import image_grid


def test_sample_draws_a_grid_into_the_run_if_nothing_is_said(ganrun, runs):
    code, out, err = ganrun("sample", runs / "images", "--count", 9)
    assert (code, err) == (0, "")
    assert out == f"{runs / 'images/sample.png'} (step 1)\n"
    with Image.open(runs / "images/sample.png") as picture:
        assert picture.size == (16 * 28, 16 * 28), "each pixel of an 8 x 8 sample is seen"
        expected = image_grid.grid(api.load(runs / "images").sample(9, seed=0))
        assert np.array_equal(np.asarray(picture)[8::16, 8::16], np.asarray(expected))


def test_sample_writes_a_numbered_picture_each(ganrun, runs, tmp_path):
    code, out, _ = ganrun("sample", runs / "images", "--count", 3, "--output", tmp_path / "out", "--seed", 4)
    assert (code, out) == (0, f"3 images in {tmp_path / 'out'} (step 1)\n")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0000.png", "0001.png", "0002.png"]
    with Image.open(tmp_path / "out/0002.png") as picture:
        assert (picture.mode, picture.size) == ("L", (8, 8))
        sample = api.load(runs / "images").sample(3, seed=4)[2, 0]
        assert np.abs(np.asarray(picture) - (sample.numpy() + 1) * 127.5).max() <= 0.51


def test_points_go_to_a_table_and_a_scatter_plot(ganrun, runs, tmp_path):
    code, _, _ = ganrun("sample", runs / "points", "--count", 5, "-o", tmp_path, "--grid", tmp_path / "grid.png")
    assert code == 0
    table = np.loadtxt(tmp_path / "samples.csv", delimiter=",")
    assert np.allclose(table, api.load(runs / "points").sample(5).numpy(), rtol=1e-6)
    with Image.open(tmp_path / "grid.png") as picture:
        assert picture.size == (480, 480)


def test_interpolate_makes_rows_of_eight(ganrun, runs, tmp_path):
    way = tmp_path / "way.png"
    code, _, _ = ganrun("sample", runs / "images", "--interpolate", "--count", 16, "--grid", way, "--scale", 1)
    assert code == 0
    with Image.open(tmp_path / "way.png") as picture:
        assert picture.size == (8 * 8 + 7 * 2, 2 * 8 + 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sample", "RUNS"], "holds no run"),
        (["sample", "RUNS/points", "--checkpoint", "best"], "no best checkpoint"),
        (["sample", "RUNS/points", "--checkpoint", "7"], "a step that is kept: 1"),
        (["sample", "RUNS/images", "--grid", "a.jpg"], "ends in .png"),
        (["sample", "RUNS/images", "--grid", "RUNS/images/recipe.yaml/x.png"], "recipe.yaml"),
        (["sample", "RUNS/translation", "--interpolate"], "nothing to interpolate"),
    ],
)
def test_what_cannot_be_sampled_is_plain_and_ends_with_2(ganrun, runs, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, _, err = ganrun(*(word.replace("RUNS", str(runs)) for word in arguments))
    assert code == 2
    assert message in err
    assert "Traceback" not in err


def test_arithmetic_makes_one_row_and_turning_rows_of_eight(ganrun, runs, tmp_path):
    sums = ["--arithmetic", "0,1 - 2 + 3", "--scale", 2]
    code, _, _ = ganrun("sample", runs / "images", *sums, "--grid", tmp_path / "sum.png")
    assert code == 0
    with Image.open(tmp_path / "sum.png") as picture:
        assert picture.width == 2 * (12 * 8 + 11 * 2), "three means, the sum and eight near it"
        assert picture.height > 2 * 8, "their names stand above them"
    turned = ["--turn", "0 > 2,3", "--count", 16, "--scale", 1]
    code, _, _ = ganrun("sample", runs / "images", *turned, "--grid", tmp_path / "turn.png")
    assert code == 0
    with Image.open(tmp_path / "turn.png") as picture:
        assert picture.size == (8 * 8 + 7 * 2, 2 * 8 + 2)


def test_count_is_how_many_samples_lie_near_a_sum(ganrun, runs, tmp_path):
    code, out, _ = ganrun("sample", runs / "images", "--arithmetic", "0 - 1", "--count", 3, "-o", tmp_path / "out")
    assert code == 0
    assert out.startswith("6 images"), "two means, the sum and three near it"


@pytest.mark.parametrize(
    ("arguments", "warned"),
    [
        (["--arithmetic", "0,63"], ""),
        (
            ["--arithmetic", "64 - 0"],
            "sample 64 is not in a grid of 64 samples, whose last is 63; `ganrun sample` with --count 65",
        ),
        (["--turn", "0 > 64,70", "--count", 8], "samples 64, 70 are not in a grid of 64 samples"),
    ],
)
def test_a_sample_that_is_not_in_the_grid_is_warned_of(ganrun, runs, tmp_path, arguments, warned):
    code, out, _ = ganrun("sample", runs / "images", *arguments, "--grid", tmp_path / "a.png")
    assert code == 0
    assert ("warning" in out) == bool(warned)
    assert warned in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--each"], "gan has no labels to ask for; variants such as cgan and infogan have"),
        (["--interpolate", "--each"], "--interpolate and --each each make an image of their own"),
        (["--arithmetic", "0 - x"], "'x' is no number of a sample"),
        (["--mixed-with-real", "--traverse"], "leave out --traverse"),
        (["--mixed-with-real", "--ask", "label=1"], "leave out --ask"),
        (["--ask", "label=1"], "the generator takes no label 'label'; there are none"),
        (["--output", "OUT", "--scale", 2], "--scale enlarges a grid, and --output writes each sample by itself"),
    ],
)
def test_ways_to_sample_that_cannot_be_say_why(ganrun, runs, arguments, message):
    code, _, err = ganrun("sample", runs / "images", *arguments)
    assert code == 2
    assert message in err


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """Runs of one step: with a class, and with a text."""
    folder = tmp_path_factory.mktemp("labelled")
    networks = {"generator": {"mlp": {"widths": [8]}}, "discriminator": {"mlp": {"widths": [8]}}}
    small = {"train": {"steps": 1, "batch_size": 4, "device": "cpu", "threads": 1}, "observers": ["checkpoints"]}
    classes = {"variant": "cgan", "dataset": {"digits": {"size": 8, "classes": [3, 7]}}, **networks}
    texts = {
        "variant": {"gan-cls": {"pretraining": 0, "embedding": 8}},
        "dataset": {"caption-digits": {"size": 8}},
        "generator": {"gan-cls": {"width": 8}},
        "discriminator": {"gan-cls": {"width": 8}},
        "encoder": {"joint-embedding": {"text_width": 8, "image_width": 8}},
    }
    for name, recipe in {"classes": classes, "texts": texts}.items():
        api.run({**recipe, **small}, output=folder / name)
    return folder


def test_a_class_is_asked_for_by_its_name(ganrun, labelled, tmp_path):
    code, out, _ = ganrun("sample", labelled / "classes", "--ask", "label=7", "--count", 3, "-o", tmp_path / "out")
    assert (code, out) == (0, f"3 images in {tmp_path / 'out'} (step 1; label 7)\n")
    trained = api.load(labelled / "classes")
    latents = trained.latents(3) | {"label": torch.ones(3, dtype=torch.int64)}
    expected = trained.from_latents(latents)
    assert torch.equal(trained.sample(3, ask={"label": "7"}), expected)
    assert not torch.equal(trained.sample(3, ask={"label": "3"}), expected)
    with Image.open(tmp_path / "out/0002.png") as picture:
        assert np.array_equal(np.asarray(picture), np.asarray(image_grid.single(expected[2])))


def test_each_label_gets_as_many_samples_as_count_says_in_a_folder_of_its_name(ganrun, labelled, tmp_path):
    code, out, _ = ganrun("sample", labelled / "classes", "--each", "--count", 5, "-o", tmp_path)
    assert (code, out) == (0, f"10 images in {tmp_path}, a folder for each of 3, 7 (step 1)\n")
    assert {folder.name: len(list(folder.iterdir())) for folder in tmp_path.iterdir()} == {"3": 5, "7": 5}
    asked = api.load(labelled / "classes").sample(5, ask={"label": "7"})
    with Image.open(tmp_path / "7/0004.png") as picture:
        assert np.array_equal(np.asarray(picture), np.asarray(image_grid.single(asked[4])))


def test_a_label_that_is_gone_through_cannot_be_asked_for(ganrun, labelled):
    code, _, err = ganrun("sample", labelled / "classes", "--each", "--ask", "label=7")
    assert code == 2
    assert "label is asked for, and --each goes through all of its values" in err


def test_a_text_is_asked_for_in_its_words(ganrun, labelled, tmp_path):
    words = ["--ask", "text=A bold slanted seven"]
    code, out, _ = ganrun("sample", labelled / "texts", *words, "--count", 2, "-o", tmp_path)
    assert (code, out) == (0, f"2 images in {tmp_path} (step 1; text a bold slanted seven)\n")
    code, _, err = ganrun("sample", labelled / "texts", "--ask", "text=a bald seven")
    assert (code, err) == (2, "text: the training texts have no 'bald'; did you mean 'bold'?\n")


def test_an_interpolation_keeps_the_label_that_is_asked_for(labelled):
    trained = api.load(labelled / "classes")
    row = trained.interpolate(1, 3, ask={"label": 1})
    first = trained.sample(1, ask={"label": "7"})
    assert torch.allclose(row[:1], first, atol=1e-6)
