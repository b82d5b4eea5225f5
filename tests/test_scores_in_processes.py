"""Several processes evaluate as one does: they share the work, and one of them speaks, writes and fails for all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ganrun import jsonl
from ganrun.catalog.catalog import Catalog
from ganrun.cli import main
from ganrun.evaluation.provenance import FILE
from ganrun.recipe import dump, load_recipe
from ganrun.training import checkpoint
from ganrun.training.start import train

WATCHES = Path(__file__).parent / "scripts" / "watches_evaluation.py"
LIMIT = 120  # seconds for one start, far more than it takes
WATCHED = {"features": "watching", "samples": 1000, "every": 4}


def catalog():
    return Catalog(modules=[WATCHES])


@pytest.fixture
def rows(tmp_path, monkeypatch):
    """A function: the rows of each call of the features in each process so far. They are forgotten."""
    folder = tmp_path / "rows"
    folder.mkdir()
    monkeypatch.setenv("ROWS", str(folder))

    def read():
        found = {}
        for file in sorted(folder.iterdir()):
            found[file.stem] = [int(line) for line in file.read_text().splitlines()]
            file.unlink()
        return found

    return read


@pytest.fixture
def torchrun(rows):
    """A function: start ganrun as two processes on this machine. Returns torchrun's exit code and output."""

    def start(*words, **variables):
        command = [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--local-addr",
            "127.0.0.1",
            "--nproc_per_node",
            "2",
        ]
        environment = (
            os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"} | variables
        )
        done = subprocess.run(
            [*command, "-m", "ganrun", *map(str, words), "--plugin", str(WATCHES)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
            timeout=LIMIT,
            check=False,
        )
        return done.returncode, done.stdout

    return start


@pytest.fixture
def two(tmp_path, torchrun):
    """A function: train a recipe with two processes in a folder; what torchrun says."""

    def start(recipe, folder, **variables):
        file = tmp_path / f"{folder.name}.yaml"
        file.write_text(dump(load_recipe(recipe, catalog=catalog()).resolved))
        return torchrun("recipe", file, "--output", folder, **variables)

    return start


def one(recipe, folder):
    """The same recipe with twice the batch in this process."""
    recipe = {**recipe, "train": {**recipe["train"], "batch_size": 2 * recipe["train"]["batch_size"]}}
    return train(load_recipe(recipe, catalog=catalog()), catalog(), folder)


def scores(folder):
    """(step, name) -> (value, low, high) of what a folder keeps, and how often each evaluator wrote."""
    found = jsonl.read(folder / FILE)
    kept = {
        (line["step"], name): [score["value"], score.get("low"), score.get("high")]
        for line in found
        for name, score in line["scores"].items()
    }
    return kept, [(line["step"], line["evaluator"]) for line in found]


def close(ours, theirs, gap):
    assert ours.keys() == theirs.keys()
    assert ours
    pairs = [(a, b) for name in ours for a, b in zip(ours[name], theirs[name], strict=True)]
    return all(
        a == pytest.approx(b, rel=gap, abs=gap) if isinstance(a, float) and isinstance(b, float) else a == b
        for a, b in pairs
    )


FLOAT64 = {"steps": 8, "device": "cpu", "precision": "float64", "batch_size": 4}


@pytest.mark.slow
def test_two_processes_score_the_same_fakes_as_one_and_share_the_work(tiny, tmp_path, two, rows):
    """1,000 fakes are 4 chunks of 256, the last of 232; 512 real points are 2."""
    evaluators = [
        {"frechet-distance": WATCHED},
        {"kernel-distance": {**WATCHED, "size": 200, "subsets": 10}},
        {"mode-coverage": {"samples": 600}},
    ]
    recipe = tiny(evaluators=evaluators, tricks=["ema"], train=FLOAT64)
    recipe["without"] = [name for name in recipe["without"] if name != "checkpoints"]
    code, output = two(recipe, tmp_path / "two")
    assert code == 0, output
    fakes = {"0": [256, 256], "1": [256, 232]}
    real = {"0": [256], "1": [256]}
    assert rows() == {rank: [*fakes[rank], *real[rank], *fakes[rank]] for rank in "01"}, (
        "fakes and real points once, then other fakes"
    )

    run = one(recipe, tmp_path / "one")
    assert rows() == {"0": [256, 256, 256, 232, 256, 256, 256, 256, 256, 232]}
    (ours, written), (theirs, once) = scores(tmp_path / "two"), scores(tmp_path / "one")
    assert (
        written
        == once
        == [
            (4, "frechet-distance"),
            (4, "kernel-distance"),
            (8, "frechet-distance"),
            (8, "kernel-distance"),
            (8, "mode-coverage"),
        ]
    )
    assert len(ours) > 6
    assert close(ours, theirs, 1e-5)
    assert ours[4, "frechet-distance[watching]"] != ours[8, "frechet-distance[watching]"], (
        "the networks moved in between"
    )
    assert run.scores.keys() == {name for step, name in ours if step == 8}


@pytest.mark.slow
def test_two_processes_score_the_same_translations_as_one(small_cyclegan, tmp_path, two, rows):
    """449 test pictures of either kind are 2 chunks; pictures are rounded to 256 levels, which a last bit may change
    here and there.
    """
    without = ["progress", "samples", "replay-buffer", "checkpoints"]
    evaluators = [
        {"frechet-distance": {"features": "watching"}},
        {"frechet-distance": {"features": "watching", "of": "a"}},
        "hidden-pairs",
    ]
    recipe = small_cyclegan(
        tricks=[], without=without, evaluators=evaluators, train={**FLOAT64, "steps": 3, "batch_size": 2}
    )
    code, output = two(recipe, tmp_path / "two")
    assert code == 0, output
    assert rows() == {"0": [256] * 4, "1": [193] * 4}
    one(recipe, tmp_path / "one")
    (ours, written), (theirs, once) = scores(tmp_path / "two"), scores(tmp_path / "one")
    assert written == once == [(3, "frechet-distance"), (3, "frechet-distance-2"), (3, "hidden-pairs")]
    assert close(ours, theirs, 1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fail", "ranks"), [("evaluator", ""), ("late", ""), ("features", "0"), ("features", "1"), ("features", "01")]
)
def test_an_evaluation_that_fails_ends_the_run_in_all_processes(tiny, tmp_path, two, rows, fail, ranks):
    recipe = tiny(evaluators=[{"frechet-distance": WATCHED}, {"failing": {"every": 4}}], train=FLOAT64)
    code, output = two(recipe, tmp_path / "run", FAIL=fail, RANKS=ranks)
    assert code != 0
    said = f"process {ranks[:1] or 0} cannot {'look at' if fail == 'features' else 'score'} this"
    assert output.count(said) == 1, output
    assert "training.py" not in output, (
        "nobody waited for somebody who had left, to be surprised by a closed connection"
    )
    assert len(rows()) == 2
    assert not any(line["step"] > 4 for line in jsonl.read(tmp_path / "run" / FILE)), "nobody trained on"
    assert [step for step, _ in checkpoint.listing(tmp_path / "run" / "checkpoints")] == [4], "its step is saved"


@pytest.mark.slow
def test_evaluate_started_as_two_processes_prints_what_one_prints_once(tiny, tmp_path, torchrun, rows, capsys):
    recipe = tiny(evaluators=[], train={"steps": 4, "batch_size": 8})
    recipe["without"] = [name for name in recipe["without"] if name != "checkpoints"]
    run = tmp_path / "run"
    train(load_recipe(recipe, catalog=catalog()), catalog(), run)
    words = [
        "evaluate",
        str(run),
        "--metrics",
        "frechet-distance,precision-recall",
        "--features",
        "watching",
        "--samples",
        "1000",
    ]
    code, output = torchrun(*words)
    assert code == 0, output
    assert rows() == {"0": [256, 256, 256], "1": [256, 232, 256]}
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main([*words, "--plugin", str(WATCHES)])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert "frechet-distance[watching]" in printed
    assert printed in output
    assert output.count("frechet-distance[watching]") == 1
    assert [name for _, name in scores(run)[1]] == ["frechet-distance", "precision-recall"] * 2, (
        "two processes, then one"
    )
    two_said, one_said = (jsonl.read(run / FILE)[i]["scores"] for i in (0, 2))
    assert two_said == one_said

    code, output = torchrun("evaluate", run, "--metrics", "failing", FAIL="late")
    assert code != 0
    assert output.count("process 0 cannot score this") == 1
    assert "comparison.py" not in output
