"""README's lines are true: the commands CI runs, the recipe, the loss and the Python lines are tried as they stand."""

import re
import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml
from PIL import Image

from ganrun.catalog.catalog import Catalog
from ganrun.preflight.check import check
from ganrun.recipe import load_recipe

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.M | re.S)


def quick_start():
    return [line.strip() for line in README.splitlines() if line.startswith("    python3 -m venv")]


def test_the_quick_start_is_two_lines_and_ci_runs_the_second_as_it_stands():
    lines = quick_start()
    assert len(lines) == 2
    ci = (ROOT / ".ci" / "run").read_text().splitlines()
    assert lines[1] in ci
    assert ".venv/bin/pytest -m slow" in ci


def test_the_recipes_shown_can_be_trained():
    first, second = (
        load_recipe(yaml.safe_load(text.replace("4e-4", "0.0004")), catalog=Catalog())
        for text in blocks("yaml")
        if "my_photos" not in text
    )
    for recipe in (first, second):
        check(recipe)
    assert [part.name for part in second.tricks] == ["r1", "r2", "ada", "packing", "spectral-norm", "ema"]
    recipe = first
    assert [part.name for part in recipe.tricks] == [
        "label-smoothing",
        "instance-noise",
        "replay-buffer",
        "generator-dropout",
        "ema",
    ]


def test_the_recipe_of_own_pictures_reads_a_folder_of_all_kinds(tmp_path):
    """Colour and grey, in sizes of all kinds, and a file that is none, which is left out."""
    (text,) = (text for text in blocks("yaml") if "my_photos" in text)
    (tmp_path / "my_photos").mkdir()
    for number in range(40):
        mode = "L" if number % 5 == 0 else "RGB"
        Image.new(mode, (70 + number, 120 - number)).save(tmp_path / f"my_photos/{number}.png")
    (tmp_path / "my_photos/broken.png").write_bytes(b"<html>")
    (tmp_path / "my.yaml").write_text(text)
    with pytest.warns(UserWarning, match="cannot be read and are left out"):
        experiment, _ = check(load_recipe(tmp_path / "my.yaml", catalog=Catalog()))
    assert experiment.dataset.spaces["x"].shape == (3, 64, 96)
    assert len(experiment.dataset) == 36


def test_the_refusal_shown_is_what_check_prints():
    command = re.search(r"^    \$ ganrun (recipe .* --check)$", README, flags=re.M).group(1)
    done = subprocess.run([sys.executable, "-m", "ganrun", *shlex.split(command)], capture_output=True, text=True)
    shown = README.partition(command)[2].partition("`ganrun combinations`")[0]
    assert done.returncode == 2
    waited = "\n".join(line for line in done.stderr.splitlines() if not line.endswith(" ..."))  # on a slow machine
    assert (done.stdout + waited).split() == shown.split()


def test_the_loss_has_at_most_15_lines_of_code_and_trains(tmp_path):
    text = next(block for block in blocks("python") if "class Softened" in block)
    assert len([line for line in text.splitlines() if line.strip()]) <= 15
    (tmp_path / "my_loss.py").write_text(text)
    small = [
        "train.steps=2",
        "generator.dcgan.width=2",
        "discriminator.dcgan.width=2",
        "train.batch_size=4",
        "train.threads=1",
        "without=[frechet-distance]",
    ]
    command = [
        sys.executable,
        "-m",
        "ganrun",
        "recipe",
        "dcgan_digits",
        "--plugin",
        "my_loss.py",
        "--set",
        "loss=softened",
        "--output",
        "run",
    ]
    done = subprocess.run(
        [*command, *(word for change in small for word in ("--set", change))],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "softened" in (tmp_path / "run" / "recipe.yaml").read_text()


@pytest.mark.slow
def test_the_python_lines_run(tmp_path):
    text = next(block for block in blocks("python") if "import ganrun" in block)
    text = text.replace(
        '{"train.steps": 500}',
        '{"train.steps": 2, "train.batch_size": 4, "generator.dcgan.width": 2, "train.threads": 1}',
    )
    done = subprocess.run(
        [sys.executable, "-c", text + "\nassert images.shape == (64, 1, 32, 32)"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_every_built_in_plugin_named_in_the_readme_is_installed():
    named = set(re.findall(r"[a-z0-9][a-z0-9-]+", README.split("## What is in it")[1].split("What was measured")[0]))
    listed = {
        "gan",
        "dcgan",
        "lsgan",
        "cyclegan",
        "minimax",
        "least-squares",
        "ema",
        "resnet-translator",
        "restyled-digits",
        "hidden-pairs",
    }
    installed = {entry.name for entry in Catalog().entries()}
    assert listed <= named & installed


def test_the_counts_of_plugins_are_those_of_the_catalogue():
    entries = [entry for entry in Catalog(disabled=()).entries() if entry.distribution == "ganrun"]
    count = Counter(entry.kind for entry in entries)
    table = README.split("## What it does")[1].split("\n## ")[0]
    assert f"| variants | {count['variant']}, " in table
    assert f"{count['loss']} losses and {count['trick']} tricks" in table
    assert f"{count['evaluator']} evaluators" in table
