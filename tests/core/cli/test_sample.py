"""``ganrun sample``: grids, files, ways between samples, sums of them, and what cannot be sampled."""

import numpy as np
import pytest
from PIL import Image

from ganrun import api
from ganrun.data import image_grid


def test_sample_draws_a_grid_into_the_run_if_nothing_is_said(ganrun, runs):
    code, out, err = ganrun("sample", runs / "images", "--count", 9)
    assert (code, err) == (0, "")
    assert out == f"{runs / 'images/sample.png'} (step 1)\n"
    with Image.open(runs / "images/sample.png") as picture:
        assert picture.size == (28, 28)
        expected = image_grid.grid(api.load(runs / "images").sample(9, seed=0))
        assert np.array_equal(np.asarray(picture), np.asarray(expected))


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
    code, _, _ = ganrun("sample", runs / "images", "--interpolate", "--count", 16, "--grid", tmp_path / "way.png")
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
    code, _, _ = ganrun("sample", runs / "images", "--arithmetic", "0,1 - 2 + 3", "--grid", tmp_path / "sum.png")
    assert code == 0
    with Image.open(tmp_path / "sum.png") as picture:
        assert picture.size == (12 * 8 + 11 * 2, 8), "three means, the sum and eight near it"
    code, _, _ = ganrun("sample", runs / "images", "--turn", "0 > 2,3", "--count", 16, "--grid", tmp_path / "turn.png")
    assert code == 0
    with Image.open(tmp_path / "turn.png") as picture:
        assert picture.size == (8 * 8 + 7 * 2, 2 * 8 + 2)


@pytest.mark.parametrize(
    ("arguments", "warned"),
    [
        (["--arithmetic", "0,63"], ""),
        (["--arithmetic", "64 - 0"], "sample 64 is not in a grid of 64 samples, whose last is 63; --count 65"),
        (["--arithmetic", "70", "--count", 71], ""),
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
    ],
)
def test_ways_to_sample_that_cannot_be_say_why(ganrun, runs, arguments, message):
    code, _, err = ganrun("sample", runs / "images", *arguments)
    assert code == 2
    assert message in err
