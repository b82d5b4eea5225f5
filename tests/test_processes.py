"""Several processes train as one does: the same draws, the same averages, one folder, one voice."""

import json
import os
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch
from torch import nn

from ganrun.catalog.catalog import Catalog
from ganrun.cli import main
from ganrun.distributed import Processes
from ganrun.errors import UserError
from ganrun.recipe import dump, load_recipe
from ganrun.training.start import train

BREAKS = Path(__file__).parent / "scripts" / "breaks.py"
LIMIT = 120  # seconds for one start, far more than it takes


def catalog():
    return Catalog(modules=[BREAKS])


@pytest.fixture
def two(tmp_path):
    """A function: train a recipe with two processes on this machine. Returns torchrun's exit code and output."""

    def start(recipe, folder, *options, moment="never:0:0"):
        file = tmp_path / f"{folder.name}.yaml"
        file.write_text(dump(load_recipe(recipe, catalog=catalog()).resolved))
        torchrun = [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--local-addr",
            "127.0.0.1",
            "--nproc_per_node",
            "2",
        ]
        words = [
            *torchrun,
            "-m",
            "ganrun",
            "recipe",
            str(file),
            "--output",
            str(folder),
            "--plugin",
            str(BREAKS),
            *options,
        ]
        environment = os.environ | {
            "ACCELERATE_USE_CPU": "true",
            "OMP_NUM_THREADS": "1",
            "GLOO_SOCKET_IFNAME": "lo",
            "BREAK": moment,
        }
        done = subprocess.run(
            words,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
            timeout=LIMIT,
            check=False,
        )
        return done.returncode, done.stdout

    return start


# --- as one process does ----------------------------------------------------------------------------------------


@pytest.fixture
def train_as_one(tmp_path, two, same_within_rounding):
    """A function: 2 processes of a batch and 1 of twice the batch, in float64, make the same weights."""

    def check(recipe, batch):
        code, output = two({**recipe, "train": {**recipe["train"], "batch_size": batch}}, tmp_path / "two")
        assert code == 0, output
        assert sorted(re.findall(r"rank \d of \d processes", output)) == [
            "rank 0 of 2 processes",
            "rank 1 of 2 processes",
        ]
        one = load_recipe({**recipe, "train": {**recipe["train"], "batch_size": 2 * batch}}, catalog=catalog())
        train(one, catalog(), tmp_path / "one")
        same_within_rounding(tmp_path / "one", tmp_path / "two")

    return check


@pytest.fixture
def same_within_rounding(state_of):
    """A function: two runs in float64, of one process last or of two, ended alike."""

    def check(one, two):
        (tree, tensors), (other_tree, other) = state_of(one), state_of(two)
        assert tree["positions"] == other_tree["positions"]
        names = [
            name
            for name in tensors
            if name.startswith(("/modules/", "/components/0/", "/optimizers/")) and "/observers." not in name
        ]
        assert len(names) > 20
        assert all(
            tensors[name].dtype == torch.float64
            for name in names
            if not name.endswith(("/step", "num_batches_tracked"))
        )
        # A second moment is a square of a gradient, so the bound is far above its rounding, too.
        assert {name: gap for name in names if (gap := (tensors[name] - other[name]).abs().max().item()) > 1e-8} == {}

    return check


FLOAT64 = {"steps": 8, "device": "cpu", "precision": "float64", "batch_size": 8}


@pytest.mark.slow
def test_a_dcgan_with_all_tricks_but_dropout_trains_as_one(with_all_tricks, train_as_one):
    network = {"dcgan": {"width": 4, "norm": "none"}}
    dropping = ("generator-dropout",)
    tricks = [trick for trick in with_all_tricks()["tricks"] if next(iter(trick)) not in dropping] + ["watch"]
    train_as_one(
        with_all_tricks(generator=network, discriminator=network, tricks=tricks, train={**FLOAT64, "accumulate": 2}),
        batch=4,
    )


@pytest.mark.slow
def test_a_cyclegan_trains_as_one(small_cyclegan, train_as_one):
    without = ["progress", "samples"]
    train_as_one(small_cyclegan(tricks=["watch"], without=without, train=FLOAT64), batch=2)


@pytest.mark.slow
def test_a_dcgan_with_batch_norm_over_all_processes_trains_as_one(with_all_tricks, train_as_one):
    """Joint batches and an average that holds running statistics, too."""
    tricks = ["watch", {"ema": {"decay": 0.9}}]
    train = {**FLOAT64, "sync_batch_norm": True, "batches": "joint"}
    train_as_one(with_all_tricks(tricks=tricks, train=train), batch=4)


# --- resuming ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_two_processes_stopped_broken_off_and_killed_end_as_if_they_never_were(
    with_all_tricks, tmp_path, two, same_end, state_of
):
    recipe = with_all_tricks(
        evaluators=[{"where": {"every": 4}}],
        observers=[{"samples": {"every": 4, "count": 4}}, {"progress": {"seconds": 0.01}}],
        without=[],
        train={"steps": 18, "batch_size": 4},
    )
    recipe["tricks"] = [*recipe["tricks"], "watch"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    code, output = two(recipe, whole)
    assert code == 0, output
    assert output.count("evaluated by rank 0") == 5, "one process evaluates while the other waits"
    assert "evaluated by rank 1" not in output
    assert output.count("finished: 18 steps") == output.count(f"run: {whole}") // 2 == 1, "one process speaks"
    assert [json.loads(line)["step"] for line in (whole / "metrics.jsonl").read_text().splitlines()] == [
        4,
        8,
        12,
        16,
        18,
    ]
    assert json.loads((whole / "versions.json").read_text())["processes"] == 2
    _, tensors = state_of(whole)
    assert "/components/0/tricks.2.replay-buffer/adversarial.0/stored/0" in tensors
    assert not any("replay-buffer" in name for name in tensors if name.startswith("/components/1/")), (
        "all have one pool"
    )

    code, output = two(recipe, parts, moment="term:4:1")
    assert code != 0
    stopped = re.search(r"interrupted after (\d+) of 18 steps", output)
    assert stopped is not None, "they agree on a step to stop at, whichever was asked"
    assert 5 <= int(stopped[1]) <= 9
    assert "torchrun --nproc_per_node 2 -m ganrun recipe" in output
    code, output = two(recipe, parts, "--resume", moment="fail:10:1")
    assert code != 0, "an error in one process ends both"
    assert "broken on purpose" in output
    code, output = two(recipe, parts, "--resume", moment="kill:13:1")
    assert code != 0
    assert re.search(r"process 1 \(pid \d+ on \S+\) was killed, such as .*; process 0 ends, too", output)
    assert "continue with: ACCELERATE_USE_CPU=true torchrun --nproc_per_node 2 -m ganrun recipe" in output
    code, output = two(recipe, parts, "--resume")
    assert code == 0, output
    same_end(whole, parts)

    with pytest.raises(UserError, match=r"takes 8 samples, and would take 4 now .*--set train.batch_size=8 leaves it"):
        train(load_recipe(parts / "recipe.yaml", catalog=catalog()), catalog(), parts, resume=True)


@pytest.mark.slow
def test_a_run_goes_on_in_two_processes_and_in_one_again(with_all_tricks, tmp_path, two, same_within_rounding, capsys):
    tricks = [trick for trick in with_all_tricks()["tricks"] if "generator-dropout" not in trick]
    tricks[1] = {"instance-noise": {"sigma": {"linear": [0.2, 0.05], "until": 6}}}

    def recipe(steps, batch):
        train = {**FLOAT64, "sync_batch_norm": True, "steps": steps, "batch_size": batch}
        return with_all_tricks(tricks=[*tricks, "watch"], train=train)

    def as_one(steps, folder, **options):
        train(load_recipe(recipe(steps, 8), catalog=catalog()), catalog(), folder, **options)

    whole, parts = tmp_path / "whole", tmp_path / "parts"
    as_one(12, whole)
    as_one(4, parts)
    code, output = two(recipe(8, 4), parts, "--resume")
    assert code == 0, output
    assert "1 process(es) with batch_size 8 and accumulate 1 before, 2 with 4 and 1 now: the same 8 samples" in output
    capsys.readouterr()
    as_one(12, parts, resume=True)
    assert "running statistics that each process had become their mean" in capsys.readouterr().out
    same_within_rounding(whole, parts)


# --- starting ---------------------------------------------------------------------------------------------------


def test_processes_that_accelerate_does_not_know_of_are_refused(monkeypatch):
    Processes("cpu")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(
        UserError, match=r"WORLD_SIZE is 2, but Accelerate started 1 process.*torchrun --nproc_per_node N"
    ):
        Processes("cpu")


def test_processes_that_cannot_find_each_other_are_refused(tiny, tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text(dump(load_recipe(tiny(), catalog=Catalog()).resolved))
    environment = {
        name: value for name, value in os.environ.items() if name not in ("MASTER_ADDR", "MASTER_PORT", "RANK")
    }
    words = [sys.executable, "-m", "ganrun", "recipe", str(file), "--output", str(tmp_path / "run")]
    done = subprocess.run(
        words, capture_output=True, text=True, env=environment | {"WORLD_SIZE": "2"}, timeout=LIMIT, check=False
    )
    assert done.returncode == 2
    assert "WORLD_SIZE is 2, but the processes did not find each other" in done.stderr
    assert "torchrun" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


def test_one_gpu_for_several_processes_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="cuda:0 names one GPU, but there are several processes"):
        Processes("cuda:0")


def test_a_recipe_refused_by_the_processes_ends_with_code_2(tiny, tmp_path, monkeypatch, capsys):
    file = tmp_path / "recipe.yaml"
    file.write_text(dump(load_recipe(tiny(), catalog=Catalog()).resolved))
    Processes("cpu")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SystemExit) as ended:
        main(["recipe", str(file), "--output", str(tmp_path / "run")])
    assert ended.value.code == 2
    assert "WORLD_SIZE is 2" in capsys.readouterr().err


# --- averages ---------------------------------------------------------------------------------------------------


@pytest.fixture
def pair():
    """A process of two whose partner holds the tensors that a test says."""

    def make(partner):
        processes = Processes("cpu")
        processes.world = 2
        processes.accelerator = types.SimpleNamespace(reduce=lambda tensor, how: (tensor + partner.pop(0)) / 2)
        return processes

    return make


def parameters(*grads):
    made = [nn.Parameter(torch.zeros(2)) for _ in grads]
    for parameter, grad in zip(made, grads):
        parameter.grad = None if grad is None else torch.tensor(grad)
    return made


def test_gradients_are_averaged_and_a_missing_one_counts_as_zero(pair):
    ours = parameters([1.0, 2.0], None, [3.0, 5.0])
    theirs = torch.tensor([3.0, 4.0, 2.0, 6.0, 0.0, 0.0, 1.0, 1.0, 0.0])  # gradients, then which of them are there
    pair([theirs]).average_gradients(ours)
    assert [parameter.grad.tolist() for parameter in ours] == [[2.0, 3.0], [1.0, 3.0], [1.5, 2.5]]


def test_a_gradient_that_no_process_has_stays_missing(pair):
    ours = parameters([1.0, 2.0], None)
    pair([torch.tensor([3.0, 4.0, 0.0, 0.0, 1.0, 0.0])]).average_gradients(ours)
    assert ours[0].grad.tolist() == [2.0, 3.0]
    assert ours[1].grad is None, "an optimiser would move it by its momentum, as one process would not"


def test_averaged_gradients_keep_the_memory_format(pair):
    weight = nn.Parameter(torch.zeros(2, 3, 2, 2).to(memory_format=torch.channels_last))
    weight.grad = torch.arange(24.0).view(2, 3, 2, 2).to(memory_format=torch.channels_last)
    pair([torch.cat([torch.zeros(24), torch.ones(1)])]).average_gradients([weight])
    assert torch.equal(weight.grad, torch.arange(24.0).view(2, 3, 2, 2) / 2)
    assert weight.grad.is_contiguous(memory_format=torch.channels_last)


def test_buffers_are_averaged_only_for_a_while(pair):
    norm = nn.BatchNorm1d(2)
    norm.running_mean.copy_(torch.tensor([1.0, 3.0]))
    with pair([torch.tensor([3.0, 3.0]), torch.tensor([0.0, 1.0])]).averaged_buffers([norm]):
        assert norm.running_mean.tolist() == [2.0, 3.0]
        assert norm.running_var.tolist() == [0.5, 1.0]
    assert norm.running_mean.tolist() == [1.0, 3.0]
    assert norm.running_var.tolist() == [1.0, 1.0]
