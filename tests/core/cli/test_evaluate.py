"""`ganrun evaluate`, `ganrun reference` and the blind test of `ganrun sample`."""

import csv
import json
import warnings

import pytest
import torch
from PIL import Image

from ganrun.cli.evaluate import conditions
from ganrun.data import image_grid
from ganrun.data.reader import read_items
from ganrun.training.folder import is_run

PIXELS = {"frechet-distance": {"features": "pixels", "samples": 64}}


@pytest.fixture
def points(ganrun, write_recipe):
    """A function: train a run on points, a few steps."""

    def train(name, *sets, **changes):
        write_recipe(f"{name}.yaml", evaluators=[PIXELS], **changes)
        code, _, err = ganrun(
            "recipe", f"{name}.yaml", *[word for value in sets for word in ("--set", value)], "-o", f"runs/{name}"
        )
        assert code == 0, err
        return f"runs/{name}"

    return train


@pytest.fixture
def digits(ganrun, write_recipe):
    """A run on pictures of 16 pixels that was hardly trained."""
    small = {"dcgan": {"width": 4}}
    write_recipe(
        "digits.yaml",
        variant="dcgan",
        dataset={"digits": {"size": 16}},
        generator=small,
        discriminator=small,
        evaluators=[],
    )
    code, _, err = ganrun("recipe", "digits.yaml", "-o", "runs/digits")
    assert code == 0, err
    return "runs/digits"


@pytest.fixture
def folder(tmp_path):
    """A function: a folder of random grey pictures."""

    def make(name, n=20, side=16, seed=0, mode="L"):
        place = tmp_path / name
        place.mkdir(parents=True)
        x = torch.randint(0, 256, (n, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
        for i, picture in enumerate(x):
            Image.fromarray(picture.numpy()).convert(mode).save(place / f"{i:03d}.png")
        return str(place)

    return make


def scores_of(out):
    """Who -> name -> score, of `--json`."""
    found = {}
    for entry in json.loads(out):
        found.setdefault(entry["who"], {}).update(entry["scores"])
    return found


def test_runs_are_scored_by_their_own_recipes_as_training_did(ganrun, points):
    one, other = points("one"), points("other", "train.seed=1")
    code, out, _ = ganrun("evaluate", one, other, "--json")
    assert code == 0
    for run in (one, other):
        *_, last = [json.loads(line) for line in open(f"{run}/metrics.jsonl")]
        assert scores_of(out)[run]["frechet-distance[pixels]"]["value"] == pytest.approx(
            last["frechet-distance[pixels]"], rel=1e-12
        )


def test_a_block_a_score_names_conditions_runs_intervals_and_too_few_samples(ganrun, points):
    one, other = points("one"), points("other", "train.seed=1")
    code, out, _ = ganrun("evaluate", one, other)
    assert code == 0
    first, second, third, *rest = out.splitlines()
    assert (first, second) == ("frechet-distance[pixels]", "  64 samples against 512 real ones (test)")
    assert third.startswith("  pixels")
    assert [line.split()[0] for line in rest[:2]] == [one, other]
    assert all(" to " in line and "jackknife over 10 groups" in line for line in rest[:2])
    assert "too few: 64 samples, where this score takes 10,000" in rest[2]


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (
            {"real": {"test": {"samples": 500, "of": 1797, "data": "x"}}},
            "64 samples against 500 of 1,797 real ones (test)",
        ),
        ({"real": {"test": {"data": "x"}}}, "64 samples"),
        (
            {"entry": "b", "made_from": {"samples": 64, "of": 200}, "real": {"test": {"samples": 200}}},
            "64 samples of b, made from 64 of 200 real items, against 200 real ones (test)",
        ),
    ],
)
def test_conditions_say_how_many_of_how_many(more, line):
    assert conditions({"alike": {"samples": [64], "features": {}, **more}}) == [line]


def test_unlike_scores_do_not_share_a_column_and_it_is_said_what_differs(ganrun, points):
    one, other = points("one"), points("other", "dataset={ring: {count: 300}}")
    code, out, _ = ganrun("evaluate", one, other)
    assert code == 0
    assert out.count("frechet-distance[pixels]\n") == 2
    assert "not comparable with those above: real.test.samples: 512, and 300" in out
    assert "not comparable with those above: real.test.data:" in out
    assert "not comparable with those above: data.ring.count: 512, and 300" in out


def test_a_number_of_samples_changes_the_recipes_own_evaluators(ganrun, points):
    run = points("one")
    code, out, err = ganrun("evaluate", run, run, "--samples", "32", "--json")
    assert code == 0, err
    (entry,) = json.loads(out)
    assert list(entry["scores"]) == ["frechet-distance[pixels]"], (
        "not the evaluators that folders get, and a run named twice once"
    )
    assert entry["provenance"]["alike"]["samples"] == [32]
    assert ganrun("evaluate", run, "--stored")[1].count("frechet-distance[pixels]\n") == 2, (
        "64 samples of training, and these"
    )


def test_each_line_says_after_which_step(ganrun, points):
    run = points("one")
    last = [json.loads(line) for line in open(f"{run}/metrics.jsonl")][-1]["step"]
    assert f"    {run} (step {last})" in ganrun("evaluate", run)[1]


def test_what_evaluators_refuse_is_said_of_samples_not_of_a_recipe(ganrun, points, folder):
    for arguments in (
        (points("one"), "--features", "classifier"),
        ("--folders", folder("a"), folder("b"), "--metrics", "frechet-distance", "--features", "classifier"),
    ):
        code, _, err = ganrun("evaluate", *arguments)
        assert code == 2
        assert "cannot be scored in this way" in err
        assert "before training" not in err


def test_folders_are_scored_on_inception_features_if_nothing_is_said(ganrun, folder, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "ganrun.inference.compare.evaluate_folders", lambda real, fake, chosen, catalog, **_: asked.extend(chosen) or []
    )
    words = ("evaluate", "--folders", folder("a"), folder("b"))
    assert ganrun(*words)[0] == ganrun(*words, "--features", "pixels")[0] == 0
    assert {choice["features"] for entry in asked[:4] for choice in entry.values()} == {"inception"}
    assert {choice["features"] for entry in asked[4:] for choice in entry.values()} == {"pixels"}


def test_folders_are_scored_without_weights_where_these_cannot_be_fetched(ganrun, folder, monkeypatch, tmp_path):
    """Features that are named are not replaced."""
    monkeypatch.setenv("GANRUN_DATA", str(tmp_path / "cache"))
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: (_ for _ in ()).throw(OSError("no network")))
    words = ("evaluate", "--folders", folder("a"), folder("b"), "--metrics", "frechet-distance")
    code, out, err = ganrun(*words)
    assert code == 0
    assert "frechet-distance[random-conv]" in out
    assert "the weights of inception are not here, so random-conv is taken" in err
    assert ganrun(*words, "--features", "inception")[0] == 2


def test_a_reference_that_cannot_be_written_is_told(ganrun, points, tmp_path):
    (tmp_path / "taken").write_text("a file")
    code, _, err = ganrun("reference", points("one"), "--features", "pixels", "-o", "taken/ring.safetensors")
    assert code == 2
    assert "cannot be written" in err


def test_metrics_features_and_numbers_can_be_named_and_are_kept_with_the_run(ganrun, points):
    run = points("one")
    code, out, _ = ganrun(
        "evaluate",
        run,
        "--metrics",
        "frechet-distance,mode-coverage",
        "--features",
        "pixels",
        "--samples",
        "50",
        "--json",
    )
    assert code == 0
    assert {"frechet-distance[pixels]", "mode-coverage.modes"} <= scores_of(out)[run].keys()
    assert {sample for entry in json.loads(out) for sample in entry["provenance"]["alike"]["samples"]} == {50}
    assert scores_of(ganrun("evaluate", run, "--stored", "--json")[1]) == scores_of(out)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give the folders of runs, or --folders"),
        (["RUN", "--folders", "a", "b"], "not both"),
        (["RUN", "--stored", "--samples", "5"], "--stored prints scores already computed"),
        (["RUN", "--size", "8"], "--size scales the images of --folders"),
        (["RUN", "--metrics", "frechet-distanse"], 'did you mean "frechet-distance"'),
        (
            ["RUN", "--metrics", "mode-coverage", "--features", "pixels"],
            "--features: none of mode-coverage has this parameter",
        ),
        (["RUN", "--metrics", "frechet-distance"], "a classifier takes images"),
        (["absent"], "absent is not there"),
        (["--folders", "absent", "RUN"], "there is no such folder"),
    ],
)
def test_what_cannot_be_scored_is_told_without_a_traceback(ganrun, points, arguments, words):
    run = points("one")
    code, _, err = ganrun("evaluate", *[run if word == "RUN" else word for word in arguments])
    assert code == 2
    assert words in err


def test_a_run_that_cannot_be_scored_does_not_cost_the_others_their_scores(ganrun, points):
    run = points("one")
    code, out, err = ganrun("evaluate", "absent", run)
    assert code == 2
    assert f"    {run}" in out
    assert "absent is not there" in err
    assert "1 of 2 could not be scored" in err


def test_saved_samples_score_as_the_run_that_made_them(ganrun, digits, tmp_path):
    """Samples are of 256 levels before they are scored, so saving and reading them changes nothing."""
    held = ganrun_load(digits).dataset("test")
    (real,) = read_items(held, range(100), rows=100)
    for i, x in enumerate(real["x"]):
        image_grid.save(image_grid.single(x), tmp_path / "real" / f"{i:03d}.png")
    ganrun("sample", digits, "--count", "60", "-o", "fake")
    _, out, _ = ganrun(
        "evaluate", "--folders", "real", "fake", "--metrics", "frechet-distance", "--features", "pixels", "--json"
    )
    score = scores_of(out)["fake"]["frechet-distance[pixels]"]["value"]
    fakes = ganrun_load(digits).sample(60, 0)
    from ganrun.evaluation.sources import loaded, stored
    from ganrun_plugins.evaluators.frechet_distance import frechet_distance

    want = frechet_distance(real["x"].flatten(1), loaded(stored(fakes, held, "x")).flatten(1))
    assert score == pytest.approx(want, rel=1e-6)


def ganrun_load(run):
    """A run opened by the Python API."""
    import ganrun

    return ganrun.load(run)


def test_a_folder_is_at_no_distance_from_itself(ganrun, folder):
    one = folder("one")
    code, out, _ = ganrun(
        "evaluate", "--folders", one, one, "--metrics", "frechet-distance", "--features", "pixels", "--json"
    )
    assert code == 0
    assert scores_of(out)[one]["frechet-distance[pixels]"]["value"] == pytest.approx(0, abs=1e-3)


def test_folders_of_several_sizes_ask_for_one_and_grey_meets_colour(ganrun, folder):
    one, other = folder("one"), folder("other", side=20, mode="RGB")
    words = ("--metrics", "frechet-distance", "--features", "pixels")
    code, _, err = ganrun("evaluate", "--folders", one, other, *words)
    assert code == 2
    assert "(3, 16, 16)" in err
    assert "add --size N" in err
    code, out, _ = ganrun("evaluate", "--folders", one, other, *words, "--size", "16", "--json")
    assert code == 0
    assert json.loads(out)[0]["provenance"]["alike"]["shape"] == [3, 16, 16]


@pytest.mark.parametrize(
    ("mode", "options", "names"),
    [("RGB", (), 2), ("RGBA", (), 2), ("RGBA", ("--reading", "shown"), 0), ("RGB", ("--size", "20"), 0), ("L", (), 2)],
)
def test_scores_are_called_fid_if_files_are_read_as_its_code_reads_them(
    ganrun, folder, tmp_path, monkeypatch, mode, options, names
):
    """And it is said how they were read, of both folders."""
    monkeypatch.setattr(
        "ganrun_plugins.features.pixels.Pixels.called",
        {"frechet-distance": "FID", "kernel-distance": "KID"},
        raising=False,
    )
    one, other = folder("one", mode=mode), folder("other", seed=1)
    words = ("--metrics", "frechet-distance,kernel-distance", "--features", "pixels")
    with warnings.catch_warnings(action="ignore"):
        code, out, err = ganrun("evaluate", "--folders", one, other, *words, *options)
    assert code == 0, err
    assert out.count(", which is ") == names
    assert out.count("  real ones (test): read as ") == out.count("  samples: read as ") == 2
    assert ("scaled to 20 x 20" in out) == ("--size" in options)


def test_a_reading_is_of_folders_alone(ganrun, points):
    run = points("one")
    for words in (("evaluate", run), ("reference", run, "-o", "a.safetensors")):
        code, _, err = ganrun(*words, "--reading", "shown")
        assert code == 2
        assert "--reading is of the files of" in err


def test_a_reference_stands_for_the_real_samples(ganrun, points):
    run = points("one")
    code, out, _ = ganrun("reference", run, "--features", "pixels", "--split", "test", "-o", "ring.safetensors")
    assert (code, out) == (0, "ring.safetensors: pixels of 512 samples of runs/one (test)\n")
    words = ("--metrics", "frechet-distance", "--features", "pixels", "--samples", "64", "--json")
    with_real = scores_of(ganrun("evaluate", run, *words)[1])[run]["frechet-distance[pixels]"]
    with_file = scores_of(ganrun("evaluate", run, *words, "--reference", "ring.safetensors")[1])[run][
        "frechet-distance[pixels]"
    ]
    assert with_file == with_real


def test_a_reference_that_is_a_loop_of_links_is_not_there(ganrun, points, tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    words = ("--metrics", "frechet-distance", "--features", "pixels", "--reference", tmp_path / "loop")
    code, _, err = ganrun("evaluate", points("one"), *words)
    assert code == 2
    assert f"there is no reference {tmp_path / 'loop'}" in err


def test_a_reference_of_other_features_is_refused(ganrun, points, digits):
    run = points("one")
    ganrun("reference", "digits", "--features", "pixels", "-o", "digits.safetensors")
    code, _, err = ganrun(
        "evaluate", run, "--metrics", "frechet-distance", "--features", "pixels", "--reference", "digits.safetensors"
    )
    assert code == 2
    assert "has shape [1, 32, 32], and the samples have [2]; write a reference that fits" in err
    code, _, err = ganrun(
        "evaluate", run, "--metrics", "frechet-distance", "--features", "pixels", "--reference", "absent.safetensors"
    )
    assert code == 2
    assert "there is no reference" in err


def test_the_blind_grid_has_a_key_that_is_right(ganrun, digits):
    options = ("--mixed-with-real", "--count", "16", "--grid", "blind.png", "--scale", "1")
    code, out, _ = ganrun("sample", digits, *options)
    assert code == 0
    assert "blind.key.csv" in out
    answers = list(csv.DictReader(open("blind.key.csv")))
    assert [(int(row["row"]), int(row["column"])) for row in answers] == [
        (r, c) for r in range(1, 5) for c in range(1, 5)
    ]
    assert sorted(row["answer"] for row in answers) == ["made"] * 8 + ["real"] * 8
    assert [row["answer"] for row in answers] != ["real"] * 8 + ["made"] * 8
    held = ganrun_load(digits).dataset("test").tensors["x"]
    sheet = image_grid.to_tensor(Image.open("blind.png").convert("L")).add(1).mul(127.5).round().to(torch.uint8)
    above, beside = (side - (4 * 16 + 3 * 2) for side in sheet.shape[1:])  # the numbers of rows and columns
    for row in answers:
        top, left = above + (int(row["row"]) - 1) * 18, beside + (int(row["column"]) - 1) * 18
        cell = sheet[:, top : top + 16, left : left + 16]
        assert bool((held == cell).flatten(1).all(1).any()) == (row["answer"] == "real")


@pytest.mark.parametrize(("count", "words"), [("3", "an even number"), ("100000", "an even number up to")])
def test_a_blind_grid_of_other_numbers_is_refused(ganrun, digits, count, words):
    code, _, err = ganrun("sample", digits, "--mixed-with-real", "--count", count)
    assert code == 2
    assert words in err
    assert is_run(__import__("pathlib").Path(digits))
