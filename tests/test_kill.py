"""Real processes that are killed or asked to stop, and resumed: they end with the same bits as a run that never was."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ganrun.catalog.catalog import Catalog
from ganrun.recipe import dump, load_recipe
from ganrun.training import checkpoint
from ganrun.training.start import train

BREAKS = Path(__file__).parent / "scripts" / "breaks.py"
LIMIT = 120  # seconds for one process, far more than it takes


class Machine:
    """Starts ``ganrun recipe`` processes that write one folder."""

    def __init__(self, recipe, folder):
        self.recipe = folder.with_name(f"{folder.name}.yaml")
        self.recipe.write_text(dump(load_recipe(recipe, catalog=Catalog()).resolved))
        self.folder = folder

    def start(self, *options, moment="never:0:0"):
        words = [
            sys.executable,
            "-m",
            "ganrun",
            "recipe",
            str(self.recipe),
            "--output",
            str(self.folder),
            "--plugin",
            str(BREAKS),
            *options,
        ]
        environment = os.environ | {"BREAK": moment, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)

    def run(self, *options, moment="never:0:0"):
        """Exit code and output of a process that ends by itself, or at a moment of scripts/breaks.py."""
        process = self.start(*options, moment=moment)
        output, _ = process.communicate(timeout=LIMIT)
        return process.returncode, output

    def signalled(self, number, at, *options):
        """Exit code and output of a process that is sent a signal when it prints a line that begins with ``at``."""
        process = self.start(*options)
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith(at):
                process.send_signal(number)
                break
        rest, _ = process.communicate(timeout=LIMIT)
        return process.returncode, "".join(lines) + rest

    @property
    def kept(self):
        return [step for step, _ in checkpoint.listing(self.folder / "checkpoints")]


@pytest.fixture
def machine(tmp_path):
    return lambda recipe: Machine(recipe, tmp_path / "parts")


@pytest.fixture
def unbroken(tmp_path):
    """A function: train a recipe in this process, to compare with. Returns the folder."""

    def run(recipe):
        train(load_recipe(recipe, catalog=Catalog()), Catalog(), tmp_path / "whole")
        return tmp_path / "whole"

    return run


CHATTY = {"without": ["samples"], "observers": [{"progress": {"seconds": 0.01}}]}


@pytest.mark.slow
def test_a_dcgan_with_all_tricks_killed_at_many_moments_ends_as_if_it_never_was(
    with_all_tricks, machine, unbroken, same_end
):
    recipe = with_all_tricks(train={"steps": 15}, **CHATTY)
    killed = machine(recipe)
    assert killed.run(moment="kill:1:0")[0] == -signal.SIGKILL
    assert killed.kept == [], "killed before its first checkpoint"
    for moment, kept in [("kill:5:0", [3]), ("tensors:6:0", [3]), ("rename:9:0", [3, 6]), ("prune:12:0", [6, 9, 12])]:
        code, output = killed.run("--resume", moment=moment)
        assert (code, killed.kept) == (-signal.SIGKILL, kept), output
    code, output = killed.signalled(signal.SIGKILL, "step 13/15", "--resume")
    assert code in (-signal.SIGKILL, 0), output
    code, output = killed.run("--resume")
    assert code == 0, output
    assert killed.kept == [12, 15]
    same_end(unbroken(recipe), killed.folder)


@pytest.mark.slow
def test_a_cyclegan_killed_at_many_moments_ends_as_if_it_never_was(small_cyclegan, machine, unbroken, same_end):
    recipe = small_cyclegan(**(CHATTY | {"without": ["samples", "replay-buffer"]}))
    killed = machine(recipe)
    assert killed.run(moment="kill:4:0")[0] == -signal.SIGKILL
    code, output = killed.run("--resume", moment="tensors:6:0")
    assert (code, killed.kept) == (-signal.SIGKILL, [3]), output
    assert killed.signalled(signal.SIGKILL, "step 5/9", "--resume")[0] in (-signal.SIGKILL, 0)
    code, output = killed.run("--resume")
    assert code == 0, output
    same_end(unbroken(recipe), killed.folder)


@pytest.mark.slow
def test_a_signal_finishes_the_step_saves_and_says_how_to_go_on(with_all_tricks, machine, unbroken, same_end):
    recipe = with_all_tricks(train={"steps": 15}, **CHATTY)
    stopped = machine(recipe)
    code, output = stopped.run(moment="term:4:0")
    assert code == 130
    assert "finishing this step, then saving; once more to end at once" in output
    assert "interrupted after 5 of 15 steps" in output
    assert f"recipe {stopped.folder} --resume" in output, "it says how to continue"
    assert stopped.kept == [3, 5]
    code, output = stopped.run("--resume", moment="twice:7:0")
    assert code == -signal.SIGINT, "the second signal ends it at once"
    assert stopped.kept == [5, 6], "nothing half written is taken for a checkpoint"
    assert stopped.run("--resume", moment="interrupt:10:0")[0] == 130
    assert stopped.run("--resume")[0] == 0
    same_end(unbroken(recipe), stopped.folder)


@pytest.mark.slow
def test_ctrl_c_from_outside_stops_a_long_run(with_all_tricks, machine):
    stopped = machine(with_all_tricks(train={"steps": 1_000_000}, checkpoint={"every": 1_000_000}, **CHATTY))
    code, output = stopped.signalled(signal.SIGINT, "step ")
    assert code == 130, output
    (step,) = stopped.kept
    assert f"interrupted after {step} of 1000000 steps" in output
    assert "Traceback" not in output


@pytest.mark.slow
def test_thirty_kills_over_ten_recipes_leave_what_no_kill_leaves():
    """A small part of the benchmark, which compares every tensor, line, picture and what TensorBoard shows."""
    script = Path(__file__).parents[1] / "benchmarks" / "kill.py"
    done = subprocess.run(
        [sys.executable, str(script), "--kills", "30", "--seed", "1"], capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == 10
    assert all(row["tensors"] > 0 and row["lines"] > 0 and row["pictures"] > 0 for row in rows)
    assert sum(row.get("random", 0) + row.get("event", 0) for row in rows) >= 30
