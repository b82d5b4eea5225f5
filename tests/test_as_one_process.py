"""Every part, alone: two processes with half of the batch each train what one does with all of it, or warn."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from examples import EXAMPLES

from ganrun.catalog.catalog import Catalog
from ganrun.testing import Example, Plugin

SCRIPT = Path(__file__).parent / "scripts" / "trains_each.py"
KINDS = ("variant", "loss", "trick", "sampler", "optimizer")
PARTS = [entry.qualified for entry in Catalog(disabled=()).entries() if entry.kind in KINDS]
LIMIT = 900  # seconds for all of them together
# float64; with BatchNorm over both processes, so that the part alone decides
TRAIN = {"steps": 6, "device": "cpu", "precision": "float64", "sync_batch_norm": True}


@pytest.fixture(scope="module")
def ends(tmp_path_factory):
    """Name of a part -> what its smallest recipe ends with, in one process and in two."""
    folder, recipes = tmp_path_factory.mktemp("ends"), {}
    for name in PARTS:
        recipe = Plugin(name, example=EXAMPLES.get(name, Example())).recipe
        recipes[name] = {**recipe, "without": ["progress", "samples", "metrics-log", "health", "checkpoints"]}
    for processes in (1, 2):
        (folder / str(processes)).mkdir()
        trains = {
            name: {**r, "train": {**r["train"], **TRAIN, "batch_size": 8 // processes}} for name, r in recipes.items()
        }
        file = folder / f"{processes}.json"
        file.write_text(json.dumps(trains))
        torchrun = ["-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1", "--nproc_per_node", "2"]
        words = [
            sys.executable,
            *(torchrun if processes > 1 else []),
            str(SCRIPT),
            str(file),
            str(folder / str(processes)),
        ]
        environment = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
        subprocess.run(words, env=environment, timeout=LIMIT, check=True)
    return lambda name: [torch.load(folder / str(n) / f"{name}.pt", weights_only=True) for n in (1, 2)]


@pytest.mark.slow
@pytest.mark.parametrize("name", PARTS)
def test_a_part_trains_in_two_processes_as_in_one_or_warns(ends, name):
    """What a network drops is drawn in each process, so dropout alone differs without a warning."""
    one, two = ends(name)
    assert isinstance(one, dict), one
    assert isinstance(two, dict), two
    gap = max((tensor - two["tensors"][key]).abs().max().item() for key, tensor in one["tensors"].items())
    warned = set(two["warnings"]) - set(one["warnings"])
    if warned or one["dropout"]:
        assert gap > 1e-8, f"it trains as in one process, in spite of {warned or 'dropout'}"
    else:
        assert gap < 1e-8
