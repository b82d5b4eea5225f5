"""``sample``, ``translate`` and ``diff``: commands on runs that are there."""

import numpy as np
import pytest
import torch
from PIL import Image

from ganrun import api
from ganrun.data import image_grid


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs to look at: ``points``, ``images`` and ``translation``, one step each."""
    base = tmp_path_factory.mktemp("runs")
    small = {"mlp": {"widths": [8], "norm": "none"}}
    gan = {"variant": {"gan": {"latent": 4}}, "generator": small, "discriminator": small}
    recipes = {
        "points": {**gan, "dataset": {"ring": {"count": 64}}},
        "images": {**gan, "dataset": {"digits": {"size": 8}}},
        "translation": {
            "variant": "cyclegan",
            "dataset": {"restyled-digits": {"size": 8}},
            "generator": {"resnet-translator": {"blocks": 0, "width": 2}},
            "discriminator": {"patchgan": {"layers": 1, "width": 2}},
        },
    }
    for name, recipe in recipes.items():
        settings = {"steps": 1, "batch_size": 2, "device": "cpu"}
        api.run({**recipe, "without": ["progress", "samples", "metrics-log"], "train": settings}, output=base / name)
    return base


@pytest.fixture
def inputs(tmp_path):
    """A folder of pictures: a colour JPEG of another size, a grey PNG in a subfolder, a broken one."""
    place = tmp_path / "in"
    image_grid.save(image_grid.single(torch.rand(1, 8, 8) * 2 - 1), place / "sub/b.png")
    image_grid.single(torch.rand(3, 10, 20) * 2 - 1).save(place / "a.jpg")
    (place / "notes.txt").write_text("not an image")
    return place


def test_sample_draws_a_grid_into_the_run_if_nothing_is_said(ganrun, folder):
    code, out, err = ganrun("sample", folder / "images", "--count", 9)
    assert (code, err) == (0, "")
    assert out == f"{folder / 'images/sample.png'} (step 1)\n"
    with Image.open(folder / "images/sample.png") as picture:
        assert picture.size == (28, 28)
        expected = image_grid.grid(api.load(folder / "images").sample(9, seed=0))
        assert np.array_equal(np.asarray(picture), np.asarray(expected))


def test_sample_writes_a_numbered_picture_each(ganrun, folder, tmp_path):
    code, out, _ = ganrun("sample", folder / "images", "--count", 3, "--output", tmp_path / "out", "--seed", 4)
    assert (code, out) == (0, f"3 images in {tmp_path / 'out'} (step 1)\n")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0000.png", "0001.png", "0002.png"]
    with Image.open(tmp_path / "out/0002.png") as picture:
        assert (picture.mode, picture.size) == ("L", (8, 8))
        sample = api.load(folder / "images").sample(3, seed=4)[2, 0]
        assert np.abs(np.asarray(picture) - (sample.numpy() + 1) * 127.5).max() <= 0.51


def test_points_go_to_a_table_and_a_scatter_plot(ganrun, folder, tmp_path):
    code, _, _ = ganrun("sample", folder / "points", "--count", 5, "-o", tmp_path, "--grid", tmp_path / "grid.png")
    assert code == 0
    table = np.loadtxt(tmp_path / "samples.csv", delimiter=",")
    assert np.allclose(table, api.load(folder / "points").sample(5).numpy(), rtol=1e-6)
    with Image.open(tmp_path / "grid.png") as picture:
        assert picture.size == (480, 480)


def test_interpolate_makes_rows_of_eight(ganrun, folder, tmp_path):
    code, _, _ = ganrun("sample", folder / "images", "--interpolate", "--count", 16, "--grid", tmp_path / "way.png")
    assert code == 0
    with Image.open(tmp_path / "way.png") as picture:
        assert picture.size == (8 * 8 + 7 * 2, 2 * 8 + 2)


def test_translate_keeps_names_and_subfolders(ganrun, folder, inputs, tmp_path):
    code, out, err = ganrun("translate", folder / "translation", inputs, tmp_path / "out")
    assert (code, err) == (0, "")
    assert out == f"2 images from a to b in {tmp_path / 'out'} (step 1)\n"
    found = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert found == {"a.jpg", "sub/b.png"}
    with Image.open(inputs / "sub/b.png") as before, Image.open(tmp_path / "out/sub/b.png") as after:
        made = api.load(folder / "translation").translate(image_grid.to_tensor(before)[None])
        assert np.array_equal(np.asarray(after), np.asarray(image_grid.single(made[0])))


def test_translate_overwrites_nothing_unless_told(ganrun, folder, inputs, tmp_path):
    assert ganrun("translate", folder / "translation", inputs, tmp_path / "out")[0] == 0
    code, _, err = ganrun("translate", folder / "translation", inputs, tmp_path / "out")
    assert code == 2
    assert "exists already, and 1 more; give another OUT, or add --overwrite" in err
    assert ganrun("translate", folder / "translation", inputs, tmp_path / "out", "--overwrite")[0] == 0


def test_translate_goes_the_other_way_and_keeps_sizes_if_asked(ganrun, folder, inputs, tmp_path):
    code, out, _ = ganrun("translate", folder / "translation", inputs, inputs / "out", "--to", "a", "--keep-size")
    assert code == 0
    assert "from b to a" in out
    for name, size in (("a.jpg", (20, 10)), ("sub/b.png", (8, 8))):
        with Image.open(inputs / "out" / name) as picture:
            assert picture.size == size
    ganrun("translate", folder / "translation", inputs, inputs / "out", "--overwrite")
    assert not (inputs / "out/out").exists(), "what was translated before is not translated again"


def test_translate_names_what_it_cannot_read_and_goes_on(ganrun, folder, inputs, tmp_path):
    (inputs / "broken.png").write_bytes((inputs / "sub/b.png").read_bytes()[:40])
    code, out, err = ganrun("translate", folder / "translation", inputs, tmp_path / "out")
    assert code == 2
    assert "2 images from a to b" in out
    assert str(inputs / "broken.png") in err
    assert "1 of 3" in err


def test_diff_tells_what_differs(ganrun, folder, tmp_path):
    code, out, _ = ganrun("diff", folder / "points", folder / "images")
    assert code == 0
    assert "- dataset.ring.count: 64" in out
    assert "+ dataset.digits.size: 8" in out
    assert "variant" not in out
    assert ganrun("diff", folder / "points", folder / "points")[1] == "the recipes are the same\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sample", "RUNS"], "holds no run"),
        (["sample", "RUNS/points", "--checkpoint", "best"], "no best checkpoint"),
        (["sample", "RUNS/points", "--checkpoint", "7"], "a step that is kept: 1"),
        (["sample", "RUNS/images", "--grid", "a.jpg"], "ends in .png"),
        (["sample", "RUNS/images", "--grid", "RUNS/images/recipe.yaml/x.png"], "recipe.yaml"),
        (["sample", "RUNS/translation", "--interpolate"], "nothing to interpolate"),
        (["translate", "RUNS/images", "IN", "out"], "makes samples from latents"),
        (["translate", "RUNS/translation", "IN", "out", "--to", "c"], "does not make 'c'"),
        (["translate", "RUNS/translation", "IN", "IN"], "OUT is IN"),
        (["translate", "RUNS/translation", "IN/nowhere", "out"], "no such folder"),
        (["diff", "RUNS/points", "nowhere"], "nowhere"),
    ],
)
def test_errors_are_plain_and_end_with_2(ganrun, folder, inputs, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, _, err = ganrun(*(word.replace("RUNS", str(folder)).replace("IN", str(inputs)) for word in arguments))
    assert code == 2
    assert message in err
    assert "Traceback" not in err


def test_arithmetic_makes_one_row_and_turning_rows_of_eight(ganrun, folder, tmp_path):
    code, _, _ = ganrun("sample", folder / "images", "--arithmetic", "0,1 - 2 + 3", "--grid", tmp_path / "sum.png")
    assert code == 0
    with Image.open(tmp_path / "sum.png") as picture:
        assert picture.size == (12 * 8 + 11 * 2, 8), "three means, the sum and eight near it"
    code, _, _ = ganrun(
        "sample", folder / "images", "--turn", "0 > 2,3", "--count", 16, "--grid", tmp_path / "turn.png"
    )
    assert code == 0
    with Image.open(tmp_path / "turn.png") as picture:
        assert picture.size == (8 * 8 + 7 * 2, 2 * 8 + 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--each"], "gan has no labels to ask for; variants such as cgan and infogan have"),
        (["--interpolate", "--each"], "--interpolate and --each each make an image of their own"),
        (["--arithmetic", "0 - x"], "'x' is no number of a sample"),
        (["--mixed-with-real", "--traverse"], "leave out --traverse"),
    ],
)
def test_ways_to_sample_that_cannot_be_say_why(ganrun, folder, arguments, message):
    code, _, err = ganrun("sample", folder / "images", *arguments)
    assert code == 2
    assert message in err
