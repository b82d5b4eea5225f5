"""Does progressive growing jump when a level is added? Distances with levels faded in, and switched on at once.

    python benchmarks/growing.py  # both rows, seed 0, one run after the other; prints the table of RESULTS.md

The recipe ``progan_digits``: 4, 8, 16 and 32 pixels, each new level faded in for 700 steps after 300 steps of the one
before, so that a fade begins at steps 300, 1,300 and 2,300 and ends at 1,000, 2,000 and 3,000. In the other row a level
is there at once, at 1,000, 2,000 and 3,000. At each of these steps: the distance there, and 100 steps later. Beside
them the median size of all other changes within 100 steps.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from _runs import Line, collect, kept, of, table

# 16,000 images are 1,000 steps of 16
ROWS = {"faded in": (), "at once": ("variant.progan.stage=16 kimg", "variant.progan.fade=0 kimg")}
TRANSITIONS = (300, 1000, 1300, 2000, 2300, 3000)
SCORE = "frechet-distance[classifier]"


def train(run: Line) -> Line:
    """Train one row with one seed. Returns the distances, {step: distance}, and the CPU minutes it took."""
    import ganrun

    recipe = Path(__file__).resolve().parent.parent / "recipes" / "progan_digits.yaml"
    quiet = ["without=[progress, samples, metrics-log, health, checkpoints]", "train.device=cpu", "train.threads=1"]
    started = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        ganrun.run(str(recipe), [*run["changes"], *quiet, f"train.seed={run['seed']}"], Path(folder) / "run")
        lines = [
            json.loads(line)
            for line in (Path(folder) / "run" / "evaluations.jsonl").read_text(encoding="utf-8").splitlines()
        ]
    distances = {line["step"]: line["scores"][SCORE]["value"] for line in lines if SCORE in line["scores"]}
    return {"distances": distances, "cpu-minutes": (time.process_time() - started) / 60}


def cells(distances: dict[int, float]) -> list[str]:
    """before -> after at each transition, the usual change elsewhere, the last distance."""
    changes = {step: distances[step + 100] - value for step, value in distances.items() if step + 100 in distances}
    usual = statistics.median(abs(change) for step, change in changes.items() if step not in TRANSITIONS)
    found = [f"{distances[step]:.1f} -> {distances[step + 100]:.1f}" for step in TRANSITIONS]
    return [*found, f"{usual:.1f}", f"{distances[max(distances)]:.1f}"]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seeds", nargs="*", type=int, default=[0])
    options.add_argument("--out", default="runs/growing.jsonl")
    options.add_argument("--table", action="store_true", help="print the table of what is there, and stop")
    arguments = options.parse_args()
    runs = [
        {"row": row, "changes": list(changes), "seed": seed}
        for seed in arguments.seeds
        for row, changes in ROWS.items()
    ]
    if not arguments.table:
        collect(runs, train, Path(arguments.out))
    rows, lines = [], kept(Path(arguments.out))
    for run in runs:
        if line := of(run, lines):
            distances = {int(step): value for step, value in line["distances"].items()}
            rows.append([run["row"], str(run["seed"]), *cells(distances), f"{line['cpu-minutes']:.1f}"])
    print(
        table(
            ["row", "seed", *(f"{step:,}" for step in TRANSITIONS), "usual change", "at the end", "CPU minutes"], rows
        )
    )


if __name__ == "__main__":
    main()
