"""A run that went back and is broken off later ends as if it never was; and several processes go back."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganrun.catalog.catalog import Catalog
from ganrun.distributed import Agreement, Processes
from ganrun.engine.engine import Engine
from ganrun.recipe import dump, load_recipe
from ganrun.training import checkpoint
from ganrun.training.start import train

SCRIPT = Path(__file__).parent / "scripts" / "goes_back.py"


class Broken(Exception):
    """Stands for whatever ends a process."""


def go(recipe, folder, **options):
    catalog = Catalog(modules=[SCRIPT])
    return train(load_recipe(recipe, catalog=catalog), catalog, folder, **options)


@pytest.fixture
def break_off(monkeypatch):
    """A function: train until an exception in the middle of a step of attempt 1."""

    def run(step, recipe, folder, **options):
        with monkeypatch.context() as patch:
            update = Engine.update

            def breaking(self, turn):
                if (turn.step, self.attempt) == (step, 1) and turn.player == "generator":
                    raise Broken
                update(self, turn)

            patch.setattr(Engine, "update", breaking)
            with pytest.raises(Broken):
                go(recipe, folder, **options)

    return run


@pytest.fixture
def goes_back(with_all_tricks):
    """The recipe of a DCGAN that goes back from step 8 to its checkpoint of step 6."""
    return with_all_tricks(observers=[{"metrics-log": {"every": 1}}, {"goes-back": {"at": 8}}], train={"steps": 12})


def lines(folder):
    found = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "time"} for line in found]


# --- resuming after it ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [6, 8, 10], ids=["before it is saved again", "later", "after the next checkpoint"])
def test_a_run_broken_off_after_going_back_ends_with_the_same_bits(goes_back, tmp_path, break_off, same_end, step):
    whole = go(goes_back, tmp_path / "whole")
    break_off(step, goes_back, tmp_path / "parts")
    run = go(goes_back, tmp_path / "parts", resume=True)
    assert (run.resumed_from, run.attempt) == (6 if step < 9 else 9, 1)
    assert run.rollbacks == whole.rollbacks
    same_end(tmp_path / "whole", tmp_path / "parts")
    assert lines(tmp_path / "whole") == lines(tmp_path / "parts")


def test_a_run_killed_while_it_goes_back_fails_and_goes_back_once_more(goes_back, tmp_path, monkeypatch, same_end):
    go(goes_back, tmp_path / "whole")
    with monkeypatch.context() as patch, pytest.raises(Broken):

        def broken(folder, step, state, write=checkpoint.write):
            if state["attempt"]:
                raise Broken
            return write(folder, step, state)

        patch.setattr(checkpoint, "write", broken)
        go(goes_back, tmp_path / "parts")
    assert go(goes_back, tmp_path / "parts", resume=True).attempt == 1
    same_end(tmp_path / "whole", tmp_path / "parts")


@pytest.fixture
def from_files(with_all_tricks, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(20):
        noise = np.random.default_rng(number).integers(0, 256, (12, 14, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{number}.png")

    def recipe(workers):
        dataset = {"image-folder": {"root": str(folder), "size": 8, "crop": "random", "flip": True}}
        return with_all_tricks(
            dataset=dataset, observers=[{"goes-back": {"at": 8}}], without=[], train={"workers": workers}
        )

    return recipe


def test_workers_that_read_ahead_begin_again(from_files, tmp_path, break_off, same_end):
    run = go(from_files(0), tmp_path / "none")
    assert [reader.key for reader in run.engine.readers._readers.values()] == [(0, "reader", "discriminator", 1)]
    go(from_files(2), tmp_path / "two")
    same_end(tmp_path / "none", tmp_path / "two")
    break_off(7, from_files(2), tmp_path / "parts")
    go(from_files(2), tmp_path / "parts", resume=True)
    same_end(tmp_path / "none", tmp_path / "parts")


# --- several processes ------------------------------------------------------------------------------------------


class Two(Processes):
    """Two processes that always say the same."""

    def __init__(self):
        super().__init__("cpu")
        self.world, self.asked = 2, 0

    def sums(self, *numbers):
        self.asked += 1
        return [2 * number for number in numbers]


def test_an_agreement_asks_at_once_after_a_step_back_and_whenever_it_must():
    processes = Two()
    agreement = Agreement(processes)
    assert not agreement.any(100, False)
    agreement._next = 150
    assert not agreement.any(120, True), "between two questions"
    assert agreement.any(120, True, at_once=True)
    agreement._next = 150
    assert agreement.any(60, True), "the run went back to step 60, and step 150 is far"
    assert processes.asked == 3


def run_in_two_processes(recipe, folder, *options, stop=""):
    """``ganrun recipe`` in two processes, each of which says where it went back to; ``stop`` breaks it off there."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1"]
    command += ["--nproc_per_node", "2", "-m", "ganrun", "recipe", str(recipe), "--output", str(folder)]
    command += ["--plugin", str(SCRIPT), *options]
    settings = {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "STOP": stop}
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | settings,
        timeout=120,
        check=False,
    )
    assert (done.returncode == 0) == (not stop), done.stdout
    assert sorted(line for line in done.stdout.splitlines() if line.startswith("rank")) == [
        f"rank {rank} at step 6, attempt 1" for rank in (0, 1) if "--resume" not in options
    ]


@pytest.mark.slow
def test_two_processes_go_back_together(with_all_tricks, tmp_path, same_end, state_of):
    """Whether the main one asks alone or all do, and broken off after it or not, they end in the same bits."""

    def two(folder, who, *options, stop=""):
        recipe = with_all_tricks(
            observers=["metrics-log", {"goes-back": {"at": 8, "who": who}}], train={"steps": 12, "batch_size": 4}
        )
        file = tmp_path / f"{who}.yaml"
        file.write_text(dump(load_recipe(recipe, catalog=Catalog(modules=[SCRIPT])).resolved))
        run_in_two_processes(file, folder, *options, stop=stop)

    two(tmp_path / "whole", "main")
    tree, tensors = state_of(tmp_path / "whole")
    ((entry),) = tree["rollbacks"]
    assert (entry["to"], entry["attempt"], entry["reason"]) == (6, 1, "a whim")
    assert entry["from"] >= 8, "it may take some steps until the other process knows"
    kept = [key for key in tensors if key.endswith("replay-buffer/adversarial.0/stored/0")]
    assert len(kept) == 1, "all processes have one pool, which is kept once"
    two(tmp_path / "parts", "all", stop="10")
    assert checkpoint.listing(tmp_path / "parts/checkpoints")[-1][0] == 9
    two(tmp_path / "parts", "all", "--resume")
    for name in ("whole", "parts"):  # when they agreed is not what they came to
        path = checkpoint.listing(tmp_path / name / "checkpoints")[-1][1]
        state = checkpoint.read(path)[1]
        state["rollbacks"][0]["from"] = 8
        checkpoint.write(path.parent, 12, state)
    same_end(tmp_path / "whole", tmp_path / "parts")
