"""Two machines train one run: here two network namespaces with an address of their own, and one folder in common."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from prerequisites import needs, network_namespaces, permitted

from ganrun.catalog.catalog import Catalog
from ganrun.recipe import dump, load_recipe
from ganrun.training.start import train

BREAKS = Path(__file__).parent / "scripts" / "breaks.py"
LIMIT = 180  # seconds for one start, far more than it takes
ADDRESSES = ("10.213.0.1", "10.213.0.2")


@pytest.fixture
def machines():
    """The names of two namespaces that are joined by a cable, ``eth0`` in each."""
    names = [f"ganrun-{os.getpid()}-{number}" for number in range(2)]
    ip("link", "add", "eth0", "netns", make(names[0]), "type", "veth", "peer", "name", "eth0", "netns", make(names[1]))
    for name, address in zip(names, ADDRESSES):
        ip("-n", name, "address", "add", f"{address}/24", "dev", "eth0")
        for device in ("eth0", "lo"):
            ip("-n", name, "link", "set", device, "up")
    yield names
    for name in names:
        ip("netns", "delete", name)


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True)


def make(name):
    ip("netns", "add", name)
    return name


@pytest.fixture
def two_machines(machines, tmp_path):
    """A function: torchrun on both machines, as docs/processes.md has it. Exit codes and outputs of both."""

    def start(recipe, folder, *options, moment="never:0:0"):
        file = tmp_path / "recipe.yaml"
        file.write_text(dump(load_recipe(recipe, catalog=Catalog()).resolved))
        variables = {
            "ACCELERATE_USE_CPU": "true",
            "OMP_NUM_THREADS": "1",
            "GLOO_SOCKET_IFNAME": "eth0",
            "BREAK": moment,
        }
        running = []
        for number, machine in enumerate(machines):
            words = ["ip", "netns", "exec", machine, sys.executable, "-m", "torch.distributed.run", "--nnodes", "2"]
            words += ["--nproc_per_node", "1", "--node_rank", str(number), "--master_addr", ADDRESSES[0]]
            words += ["--master_port", "29501", "-m", "ganrun", "recipe", str(file), "--output", str(folder)]
            process = subprocess.Popen(
                [*words, "--plugin", str(BREAKS), *options],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env=os.environ | variables,
            )
            running.append(process)
        try:
            outputs = [process.communicate(timeout=LIMIT)[0] for process in running]
        finally:
            for process in running:
                process.kill()
        return [process.returncode for process in running], outputs

    return start


@pytest.mark.slow
@needs(shutil.which("ip") is not None, "the command ip (iproute2)")
@permitted(
    network_namespaces(), "network namespaces, for hosts of their own (root, outside a container that forbids them)"
)
def test_two_machines_train_as_one_process_and_go_on_after_one_was_lost(
    with_all_tricks, tmp_path, two_machines, state_of
):
    tricks = [trick for trick in with_all_tricks()["tricks"] if "generator-dropout" not in trick]

    def recipe(batch):
        train = {"steps": 9, "precision": "float64", "sync_batch_norm": True, "batch_size": batch}
        return with_all_tricks(tricks=tricks, train=train)

    train(load_recipe(recipe(8), catalog=Catalog()), Catalog(), tmp_path / "one")
    codes, outputs = two_machines(recipe(4), tmp_path / "two")
    assert codes == [0, 0], outputs

    codes, outputs = two_machines(recipe(4), tmp_path / "lost", moment="host:7:1")
    assert 0 not in codes
    assert re.search(
        r"process 0 ends, because process 1 \(pid \d+ on \S+\) was killed, .* or its machine is gone", outputs[0]
    )
    assert "--resume" in outputs[0]
    codes, outputs = two_machines(recipe(4), tmp_path / "lost", "--resume")
    assert codes == [0, 0], outputs

    _, one = state_of(tmp_path / "one")
    for folder in ("two", "lost"):
        _, other = state_of(tmp_path / folder)
        names = [name for name in one if name.startswith(("/modules/", "/optimizers/"))]
        assert len(names) > 20
        assert {name: gap for name in names if (gap := (one[name] - other[name]).abs().max().item()) > 1e-8} == {}
    whole, lost = (state_of(tmp_path / folder)[1] for folder in ("two", "lost"))
    assert [name for name in whole if not torch.equal(whole[name], lost[name])] == []
