"""Which tricks find the modes of a ring: rows differ in the loss's and the tricks' own parameters alone.

    python benchmarks/ordering.py                      # all, seeds 0 to 2, two at a time; prints a table of RESULTS.md
    python benchmarks/ordering.py --rows r1 --seeds 7  # some of them

A row counts if at least 20 % of the samples lie within 3 standard deviations of a mode. `modes` are those with at least
20 of 2,500 samples.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def adam(lr: float) -> dict[str, object]:
    """Adam whose rate falls to 0 in the second half of the run."""
    return {"adam": {"lr": {"linear": [lr, 0.0], "from": "50%"}, "betas": [0.5, 0.9]}}


CONFIGURATION = {
    "variant": {"gan": {"latent": 8}},
    "dataset": {"ring": {"radius": 2, "sd": 0.02}},
    "generator": {"mlp": {"widths": [128, 128, 128], "norm": "none", "activation": "relu"}},
    "discriminator": {"mlp": {"widths": [128, 128, 128]}},
    "players": {
        "generator": {"optimizer": adam(1e-3), "init": {"scheme": "kaiming"}},
        "discriminator": {"optimizer": adam(3e-4), "init": {"scheme": "kaiming"}},
    },
    "evaluators": [{"mode-coverage": {"samples": 2500}}],
    "without": ["progress", "samples", "metrics-log", "health", "checkpoints"],
    "train": {"steps": 10000, "batch_size": 256, "device": "cpu"},
}
ROWS = {
    "non-saturating": {},
    "packing, m = 4": {"tricks": [{"packing": {"m": 4}}]},
    "r1": {"tricks": [{"r1": {"gamma": 0.1}}]},
    "wgan-gp": {"loss": "wasserstein", "tricks": [{"gradient-penalty": {"weight": 0.1}}]},
    "relativistic + r1 + r2": {"loss": "relativistic", "tricks": [{"r1": {"gamma": 0.1}}, {"r2": {"gamma": 0.1}}]},
    "unrolling, 5 steps": {"tricks": [{"unrolling": {"steps": 5, "objective": "saddle"}}]},
}


def train(row: str, seed: int, changes: list[str]) -> dict[str, float]:
    """Train one row with one seed in this process. Returns its scores and the CPU seconds it took."""
    import ganrun

    recipe = {**CONFIGURATION, **ROWS[row]}
    started = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        run = ganrun.run(recipe, [f"train.seed={seed}", *changes], Path(folder) / "run")
    return {
        **{name.partition(".")[2]: value for name, value in run.scores.items()},
        "cpu-minutes": (time.process_time() - started) / 60,
    }


def start(row: str, seed: int, changes: list[str]) -> subprocess.Popen[str]:
    """The same in a process of its own, with one thread."""
    command = [
        sys.executable,
        __file__,
        "--one",
        row,
        "--seeds",
        str(seed),
        *(word for change in changes for word in ("--set", change)),
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def collect(rows: list[str], seeds: list[int], changes: list[str], jobs: int) -> dict[str, list[dict[str, float]]]:
    """Row -> the scores of each seed, ``jobs`` processes at a time."""
    waiting = [(row, seed) for seed in seeds for row in sorted(rows, key=lambda row: "unrolling" not in row)]
    running: dict[tuple[str, int], subprocess.Popen[str]] = {}
    found: dict[str, list[dict[str, float]]] = {row: [] for row in rows}
    while waiting or running:
        while waiting and len(running) < jobs:
            row, seed = waiting.pop(0)
            running[row, seed] = start(row, seed, changes)
        row, seed = wait_for_one(running)
        printed, _ = running.pop((row, seed)).communicate()
        scores = json.loads(printed.splitlines()[-1])
        found[row].append({**scores, "seed": seed})
        print(f"{row}, seed {seed}: {scores}", file=sys.stderr, flush=True)
    return found


def wait_for_one(running: dict[tuple[str, int], subprocess.Popen[str]]) -> tuple[str, int]:
    """The first that has ended."""
    while True:
        for key, process in running.items():
            if process.poll() is not None:
                return key
        time.sleep(0.2)


def table(found: dict[str, list[dict[str, float]]]) -> str:
    """The medians, and the values of each seed in their order."""
    lines = [
        "| row | modes (>= 20) | % within 3 sd | reverse KL, median | reverse KL of the seeds | CPU minutes a seed |",
        "|---|---|---|---|---|---|",
    ]
    for row, scores in found.items():
        by_seed = sorted(scores, key=lambda score: score["seed"])
        modes = ", ".join(f"{score['modes-with-20']:.0f}" for score in by_seed)
        within = ", ".join(f"{score['percent-within']:.1f}" for score in by_seed)
        kl = [score["reverse-kl"] for score in by_seed]
        minutes = statistics.mean(score["cpu-minutes"] for score in by_seed)
        lines.append(
            f"| {row} | {modes} | {within} | {statistics.median(kl):.3f} | "
            f"{', '.join(f'{value:.3f}' for value in kl)} | {minutes:.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="*", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--set", dest="changes", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--one", choices=list(ROWS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(train(arguments.one, arguments.seeds[0], arguments.changes)))
        return
    print(table(collect(arguments.rows, arguments.seeds, arguments.changes, arguments.jobs)))


if __name__ == "__main__":
    main()
