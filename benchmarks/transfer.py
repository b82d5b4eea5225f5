"""Does it help to start from trained networks? From digits to outlined digits, of which there are few or many.

    python benchmarks/transfer.py  # prints the tables of RESULTS.md; lines that are there are not trained again

Each row trains the recipe ``transfer_styled_digits`` on some of the outlined digits: from scratch, from the networks of
``transfer_digits`` (of the same seed, trained first), and so with the lowest layers of the discriminator frozen. The
Frechet distance is that of 898 samples of the averaged weights to the 898 outlined digits of the test split.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from _runs import Line, collect, kept, of, table

RECIPES = Path(__file__).resolve().parent.parent / "recipes"
ROWS = {"from scratch": (False, 0), "from digits": (True, 0), "1 layer frozen": (True, 1), "2 layers frozen": (True, 2)}
PICTURES = (100, 450, 899)  # the last is all
SCORE = "frechet-distance[random-conv]"
QUIET = ["progress", "samples", "metrics-log", "health"]
COMMON = {"train.device": "cpu", "train.threads": 1, "without": QUIET}


def source(seed: int, folder: Path) -> Path:
    """The folder of the run on digits with a seed; it is trained if it is not there."""
    import ganrun

    place = folder / f"digits-{seed}"
    if not (place / "recipe.yaml").exists():
        ganrun.run(
            str(RECIPES / "transfer_digits.yaml"),
            {**COMMON, "train.seed": seed, "without": [*QUIET, "frechet-distance"]},
            place,
        )
    return place


def train(run: Line, folder: Path, steps: int, every: int) -> Line:
    """Train one row with one seed. Returns the distances, {step: distance}, and the CPU minutes it took."""
    import ganrun

    transferred, frozen = ROWS[run["row"]]
    changes = {
        **COMMON,
        "train.seed": run["seed"],
        "train.steps": steps,
        "dataset.styled-digits.limit": run["pictures"],
        "evaluators.0.frechet-distance.every": every,
        "init": str(source(run["seed"], folder)) if transferred else None,
        "players.discriminator.freeze": frozen or None,
        "checkpoint.every": steps,
    }
    started = time.process_time()
    with tempfile.TemporaryDirectory() as made:
        ganrun.run(str(RECIPES / "transfer_styled_digits.yaml"), changes, Path(made) / "run")
        text = (Path(made) / "run" / "evaluations.jsonl").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    distances = {line["step"]: line["scores"][SCORE]["value"] for line in lines if SCORE in line["scores"]}
    return {"distances": distances, "cpu-minutes": (time.process_time() - started) / 60}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    options.add_argument("--steps", type=int, default=600)
    options.add_argument("--every", type=int, default=100, help="steps between two scores")
    options.add_argument("--out", default="runs/transfer.jsonl")
    options.add_argument("--table", action="store_true", help="print the table of what is there, and stop")
    arguments = options.parse_args()
    out = Path(arguments.out)
    runs = [
        {"row": row, "pictures": pictures, "seed": seed}
        for seed in arguments.seeds
        for pictures in PICTURES
        for row in ROWS
    ]
    if not arguments.table:
        collect(runs, lambda run: train(run, out.parent / "transfer", arguments.steps, arguments.every), out)
    lines = kept(out)
    moments = list(range(arguments.every, arguments.steps + 1, arguments.every))
    rows = []
    for pictures in PICTURES:
        for row in ROWS:
            found = [of(run, lines) for run in runs if run["row"] == row and run["pictures"] == pictures]
            curves = [{int(step): value for step, value in line["distances"].items()} for line in found if line]
            if curves:
                rows.append(
                    [str(pictures), row, str(len(curves)), *(spread([c[step] for c in curves]) for step in moments)]
                )
    print(table(["pictures", "start", "seeds", *(f"step {step}" for step in moments)], rows))


def spread(values: list[float]) -> str:
    """Mean and range of a score over the seeds."""
    if len(values) == 1:
        return f"{values[0]:.2f}"
    return f"{statistics.mean(values):.2f} ({min(values):.2f}-{max(values):.2f})"


if __name__ == "__main__":
    main()
