"""``ganrun recipe``: training, looking before, several seeds, and errors without a traceback."""

import json
import os
import re
import signal
from pathlib import Path

import pytest

from ganrun.cli.recipe import parse_seeds
from ganrun.errors import UserError

SCORE = '''
"""Scores the seed."""
from ganrun.plugin import Component, hookimpl


class Score:
    def evaluate(self, evaluation):
        return {"value": evaluation.seed * 2.0, "same": 1.0}


@hookimpl
def ganrun_components():
    yield Component("evaluator", "score", Score)
'''
SIGNALLED = '''
"""Sends a signal to this process after the second step."""
import os, signal
from ganrun.plugin import Component, hookimpl


class Signalled:
    def __init__(self, *, number: int = 2) -> None:
        self.number = number

    @hookimpl
    def step_end(self, run):
        if run.step == 2:
            os.kill(os.getpid(), self.number)


@hookimpl
def ganrun_components():
    yield Component("observer", "signalled", Signalled)
'''


def logged_steps(folder):
    return [json.loads(line)["step"] for line in Path(folder, "metrics.jsonl").read_text().splitlines()]


def test_a_run_prints_its_folder_first_and_last(ganrun, write_recipe):
    code, out, err = ganrun("recipe", write_recipe())
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == lines[-1] == "run: runs/tiny"
    assert logged_steps("runs/tiny") == [3]


def test_set_and_output_are_obeyed(ganrun, write_recipe, tmp_path):
    code, out, _ = ganrun(
        "recipe", write_recipe(), "--set", "train.steps=2", "--set", "train.seed=5", "--output", "here"
    )
    assert (code, out.splitlines()[-1]) == (0, "run: here")
    recipe = (tmp_path / "here/recipe.yaml").read_text()
    assert "steps: 2" in recipe
    assert "seed: 5" in recipe


def test_a_folder_that_holds_a_run_is_refused_and_can_be_resumed_or_replaced(ganrun, write_recipe):
    name = write_recipe()
    assert ganrun("recipe", name)[0] == 0
    code, _, err = ganrun("recipe", name)
    assert code == 2
    assert "--resume" in err
    assert "--overwrite" in err
    assert ganrun("recipe", name, "--set", "train.steps=5", "--resume")[0] == 0
    assert ganrun("recipe", "runs/tiny", "--set", "train.steps=6", "--resume")[1].splitlines()[-1] == "run: runs/tiny"
    code, _, err = ganrun("recipe", name, "--set", "train.steps=6", "--set", "train.batch_size=4", "--resume")
    assert code == 2
    assert "batch_size" in err
    assert ganrun("recipe", name, "--overwrite")[0] == 0
    assert logged_steps("runs/tiny") == [3]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_step_saves_and_says_how_to_resume(ganrun, write_recipe, tmp_path, number):
    (tmp_path / "signalled.py").write_text(SIGNALLED)
    name = write_recipe(
        observers=["progress", {"signalled": {"number": int(number)}}, "checkpoints"], train={"steps": 5}
    )
    before = signal.getsignal(number)
    code, out, err = ganrun("recipe", name, "--plugin", "signalled.py")
    assert code == 130
    assert err == ""
    assert "finishing this step" in out
    assert "continue with: ganrun recipe runs/tiny --resume --plugin " in out
    assert out.splitlines()[-1] == "run: runs/tiny"
    assert [path.name for path in (tmp_path / "runs/tiny/checkpoints").iterdir()] == ["step-0000002"]
    assert signal.getsignal(number) == before


def test_several_seeds_have_a_folder_each_and_end_with_a_table(ganrun, write_recipe, tmp_path):
    """Scores 0 and 2 times 2: mean 3 and standard deviation sqrt(2), of 2 and 4."""
    (tmp_path / "score.py").write_text(SCORE)
    command = ["recipe", write_recipe(evaluators=["score"]), "--plugin", "score.py", "--seeds", "1-2", "-o", "many"]
    code, out, _ = ganrun(*command)
    assert code == 0
    assert [line.split() for line in out.splitlines()[-4:]] == [
        ["score", "mean", "sd", "seed", "1", "seed", "2"],
        ["score.value", "3", "1.414", "2", "4"],
        ["score.same", "1", "0", "1", "1"],
        ["runs:", "many"],
    ]
    for seed in (1, 2):
        assert f"seed: {seed}" in (tmp_path / f"many/seed-{seed}/recipe.yaml").read_text()
    resumed = ganrun(*[word.replace("1-2", "1-3") for word in command], "--resume")
    assert resumed[0] == 0
    assert resumed[1].splitlines()[-3].split() == ["score.value", "4", "2", "2", "4", "6"]


@pytest.mark.parametrize(("text", "seeds"), [("0-4", [0, 1, 2, 3, 4]), ("7", [7]), ("3,1, 1-2", [3, 1, 2])])
def test_seeds_are_ranges_and_lists(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    "text", ["", "a", "4-0", "1-", "-1", "1,,2", "1.5", "0-99999999999", str(2**63), "9" * 5000, "0-" + "9" * 5000]
)
def test_other_seeds_are_refused(text):
    with pytest.raises(UserError, match="^--seeds") as caught:
        parse_seeds(text)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("name", ["..yaml", "...yaml"])
def test_a_recipe_whose_name_is_no_folder_needs_an_output(ganrun, write_recipe, tmp_path, name):
    write_recipe(name)
    code, _, err = ganrun("recipe", name)
    assert code == 2
    assert "is no folder for a run; rename the recipe, or give --output DIR" in err
    assert ganrun("recipe", name, "--output", "here")[0] == 0


def test_a_refusal_says_where_each_refused_part_was_written(ganrun, write_recipe):
    path = Path(write_recipe(loss="wasserstein", tricks=["label-smoothing"], players={"critic": {"updates": 2}}))
    code, _, err = ganrun("recipe", path, "--check")
    assert code == 2
    lines = path.read_text().splitlines()
    trick, player = (next(n for n, line in enumerate(lines, 1) if word in line) for word in ("smoothing", "critic"))
    assert re.search(rf"^  \S*{path.name}:{trick}:\d+: trick label-smoothing: ", err, re.MULTILINE)
    assert re.search(rf"^  \S*{path.name}:{player}:\d+: players\.critic: ", err, re.MULTILINE)
    err = ganrun("recipe", write_recipe(), "--check", "--set", "loss=wasserstein", "--set", "tricks=[label-smoothing]")[
        2
    ]
    assert "  --set tricks=[label-smoothing]: trick label-smoothing: " in err


def test_data_and_a_run_to_start_from_that_are_not_there_say_where_they_were_asked_for(ganrun, write_recipe):
    path = Path(write_recipe(dataset={"image-folder": {"root": "not-here", "size": 8}}))
    line = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if "image-folder" in text)
    code, _, err = ganrun("recipe", path)
    assert code == 2
    assert re.search(rf"^\S*{path.name}:{line}:\d+: dataset\.image-folder: \S*not-here: there is no such folder", err)
    err = ganrun("recipe", write_recipe(init="nothing"))[2]
    assert re.search(r":\d+:\d+: init: \S*nothing is not there; it was looked for beside the recipe, then in", err)


def test_explain_prints_the_recipe_with_origins_and_trains_nothing(ganrun, write_recipe, tmp_path):
    code, out, _ = ganrun("recipe", write_recipe(), "--explain", "--set", "train.seed=9")
    assert code == 0
    assert "seed: 9" in out
    assert "# --set" in out
    assert not (tmp_path / "runs").exists()


def test_check_shows_networks_and_shapes_and_trains_nothing(ganrun, write_recipe, tmp_path):
    """Perceptrons 4 - 16 - 16 - 2 and 2 - 16 - 16 - 1: 386 and 337 parameters."""
    code, out, _ = ganrun("recipe", write_recipe(), "--check")
    assert code == 0
    found = dict(line.split("  ", 1) for line in out.splitlines())
    assert found["network generator"].strip() == "mlp, 386 parameters: latent of shape (4,) -> points of shape (2,)"
    assert found["network discriminator"].strip() == "mlp, 337 parameters: points of shape (2,) -> logits of shape ()"
    assert found["recipe"].strip() == "gan on ring (512 items), 3 steps of 8 samples"
    assert found["problems"].strip() == "none"
    assert not (tmp_path / "runs").exists()


def test_check_lists_the_classes_and_how_many_items_each_has(ganrun, write_recipe):
    code, out, _ = ganrun("recipe", write_recipe(dataset={"digits": {"size": 8, "classes": [3, 7]}}), "--check")
    assert code == 0
    assert "data, label            2 classes: 3 (91), 7 (90)" in out


def test_check_prints_every_refusal(ganrun, write_recipe):
    code, out, err = ganrun("recipe", write_recipe(train={"batch_size": 600}, discriminator="patchgan"), "--check")
    assert (code, out) == (2, "")
    assert "512 training items" in err
    assert "patchgan" in err


WRONG = '''
"""A generator that makes three coordinates whatever it is asked for."""
import torch
from ganrun.plugin import Component, hookimpl


class Wrong(torch.nn.Module):
    takes, makes = {"latent"}, {"points"}

    def __init__(self, interface):
        super().__init__()
        self.layer = torch.nn.Linear(interface.takes.size, 3)

    def forward(self, x):
        return self.layer(x)


@hookimpl
def ganrun_components():
    yield Component("generator", "wrong", Wrong)
'''


def test_check_finds_a_network_that_makes_another_shape(ganrun, write_recipe, tmp_path):
    (tmp_path / "wrong.py").write_text(WRONG)
    code, _, err = ganrun("recipe", write_recipe(generator="wrong"), "--check", "--plugin", "wrong.py")
    assert code == 2
    assert "makes shape (3,) where points of shape (2,)" in err


UNDETERMINED = '''
"""Observes nothing, but its trick uses an operation without a deterministic form, and forgets half of its state."""
import torch
from ganrun.plugin import Component, hookimpl


class Careless:
    @hookimpl
    def updated(self, turn):
        torch.zeros(3).put_(torch.tensor([0]), torch.tensor([1.0]))


class Forgetful:
    def __init__(self) -> None:
        self.count = torch.zeros(())

    @hookimpl
    def updated(self, turn):
        self.count += 1

    def state_dict(self):
        return {"count": self.count}

    def load_state_dict(self, state):
        self.count = torch.zeros(())


@hookimpl
def ganrun_components():
    yield Component("trick", "careless", Careless)
    yield Component("trick", "forgetful", Forgetful)
'''


def test_dry_run_tries_everything_and_leaves_nothing(ganrun, write_recipe, tmp_path):
    (tmp_path / "score.py").write_text(SCORE)
    name = write_recipe(evaluators=[{"score": {"every": 10}}], train={"steps": 40}, checkpoint={"every": 20})
    before = sorted(os.listdir(tmp_path))
    code, out, err = ganrun("recipe", name, "--dry-run", "--plugin", "score.py")
    assert (code, err) == (0, "")
    found = {line[:18].strip(): line for line in out.splitlines()}
    assert found["phases"].endswith("discriminator x 2, generator x 2")
    assert "steps per second" in found["speed"]
    assert "restored to the same bits" in found["checkpoint"]
    assert "score.value 0, score.same 1 (of untrained" in found["evaluator score"]
    assert "40 steps" in found["whole run"]
    assert "2 checkpoints" in found["whole run"]
    assert "4 x score" in found["whole run"]
    assert found["not deterministic"].endswith("nothing on this cpu")
    assert sorted(os.listdir(tmp_path)) == before


def test_dry_run_names_operations_that_are_not_deterministic(ganrun, write_recipe, tmp_path):
    (tmp_path / "parts.py").write_text(UNDETERMINED)
    code, out, _ = ganrun("recipe", write_recipe(tricks=["careless"]), "--dry-run", "--plugin", "parts.py")
    assert code == 0
    assert "put_" in out.splitlines()[-1]


def test_dry_run_finds_a_part_that_does_not_come_back_from_a_checkpoint(ganrun, write_recipe, tmp_path):
    (tmp_path / "parts.py").write_text(UNDETERMINED)
    code, _, err = ganrun("recipe", write_recipe(tricks=["forgetful"]), "--dry-run", "--plugin", "parts.py")
    assert code == 2
    assert "tricks.0.forgetful/count does not come back" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.yaml"], "nowhere.yaml: no such file"),
        (["tiny.yaml", "--set", "train.stepps=3"], 'did you mean "steps"'),
        (["tiny.yaml", "--set", "loss=none-such"], "no loss is called"),
        (["tiny.yaml", "--plugin", "nowhere.py"], "nowhere.py: cannot read"),
        (["tiny.yaml", "--resume"], "holds no run to resume"),
        (["tiny.yaml", "--force"], "--force needs --resume"),
        (["tiny.yaml", "--resume", "--overwrite"], "--resume and --overwrite cannot go together"),
        (["tiny.yaml", "--check", "--dry-run"], "--check and --dry-run cannot go together"),
        (["tiny.yaml", "--seeds", "x"], "--seeds x"),
        (["tiny.yaml", "--output", "tiny.yaml"], "tiny.yaml is a file"),
        (["tiny.yaml", "--output", "tiny.yaml/x"], "tiny.yaml"),
        (["tiny.yaml", "--set", "train.device=cuda:7"], "train.device"),
        (["."], "directory"),
    ],
)
def test_errors_are_plain_and_end_with_2(ganrun, write_recipe, arguments, message):
    write_recipe()
    code, _, err = ganrun("recipe", *arguments)
    assert code == 2
    assert message in err
    assert "Traceback" not in err


def test_a_seed_said_twice_is_refused(ganrun, write_recipe):
    code, _, err = ganrun("recipe", write_recipe(), "--seeds", "0,1", "--set", "train.seed=4")
    assert code == 2
    assert "--seeds and --set train.seed both set the seed" in err


def test_dry_run_tries_two_evaluators_of_one_name(ganrun, write_recipe, tmp_path):
    (tmp_path / "score.py").write_text(SCORE)
    code, out, _ = ganrun(
        "recipe", write_recipe(evaluators=["score", {"score": {}}]), "--dry-run", "--plugin", "score.py"
    )
    assert code == 0
    assert "evaluator score " in out
    assert "evaluator score-2 " in out
    assert "score-2.value 0, score-2.same 1" in out


def test_a_dry_run_of_one_step_counts_in_the_singular(ganrun, write_recipe):
    code, out, _ = ganrun("recipe", write_recipe(train={"steps": 1, "batch_size": 1}), "--dry-run")
    assert code == 0
    assert "1 step " in out
    assert "1 checkpoint " in out


@pytest.mark.parametrize("option", [(), ("--check",)])
def test_a_device_that_is_not_here_says_where_it_was_asked_for(ganrun, write_recipe, option, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    path = Path(write_recipe(train={"steps": 3, "device": "cuda"}))
    line = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if "device" in text)
    code, _, err = ganrun("recipe", path, *option)
    assert code == 2
    assert re.search(rf"{path.name}:{line}:\d+: train\.device: cuda was asked for, but torch has only cpu here", err)
