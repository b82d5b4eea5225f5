"""What each variant claims, shown: a recipe, what is changed in it for each row, and the scores at the end of the run.

    python benchmarks/claims.py --list                     # the claims and their rows
    python benchmarks/claims.py cgan acgan                 # these, seeds 0 to 2; prints tables of RESULTS.md
    python benchmarks/claims.py pix2pix --seeds 7 --jobs 1

Each run has one thread and a process of its own, and is kept as a line of JSON in runs/claims.jsonl: one that is there
is not trained again. Rows and what they are compared with stand in ``_claims.py``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from _claims import CLAIMS, Row
from _runs import Line, kept, of, spread, table, trained

RECIPES = Path(__file__).resolve().parent.parent / "recipes"


def identity(claim: str, row: str, seed: int) -> Line:
    """What names a run: its recipe and changes are in it, so that no run of another configuration is taken for it."""
    found = CLAIMS[claim].rows[row]
    return {"claim": claim, "row": row, "seed": seed, "recipe": found.recipe, "changes": list(found.changes)}


def run(claim: str, row: str, seed: int) -> dict[str, Any]:
    """Train one row with one seed in this process. Returns its scores and the CPU minutes it took."""
    found = CLAIMS[claim].rows[row]
    quiet = ["without=[progress, samples, metrics-log, health, checkpoints]"]
    ended, minutes = trained(
        str(RECIPES / f"{found.recipe}.yaml"), [*found.changes, *quiet, "train.device=cpu", f"train.seed={seed}"]
    )
    return {
        **identity(claim, row, seed),
        "steps": ended.steps,
        **numbers(ended.scores),
        "last": numbers(ended.metrics()),
        "cpu-minutes": minutes,
    }


def numbers(scores: Mapping[str, Any]) -> dict[str, float]:
    """Scores as plain numbers."""
    return {name: float(value) for name, value in scores.items()}


def start(claim: str, row: str, seed: int) -> subprocess.Popen[str]:
    """The same in a process of its own, with one thread."""
    command = [sys.executable, __file__, claim, "--row", row, "--seeds", str(seed), "--one"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def collect(claims: list[str], seeds: list[int], out: Path, jobs: int) -> None:
    """Train what is not there, ``jobs`` processes at a time, the first seed of all rows first."""
    waiting = [
        (claim, row, seed)
        for seed in seeds
        for claim in claims
        for row in CLAIMS[claim].rows
        if not of(identity(claim, row, seed), kept(out))
    ]
    running: list[tuple[tuple[str, str, int], subprocess.Popen[str]]] = []
    out.parent.mkdir(parents=True, exist_ok=True)
    while waiting or running:
        while waiting and len(running) < jobs:
            running.append((waiting[0], start(*waiting.pop(0))))
        (what, process), running = running[0], running[1:]
        printed, _ = process.communicate()
        if process.returncode:
            print(f"failed: {what}", file=sys.stderr, flush=True)
            continue
        line = printed.splitlines()[-1]
        with out.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        print(line, file=sys.stderr, flush=True)


def rows_of(claim: str, seeds: list[int], lines: list[Line]) -> list[list[str]]:
    """The rows of one claim's table: mean and standard deviation of each score, and the mean of the CPU minutes."""
    found = []
    for name, row in CLAIMS[claim].rows.items():
        mine = [line for seed in seeds if (line := of(identity(claim, name, seed), lines))]
        cells = [cell(row, score, digits, mine) for score, digits in CLAIMS[claim].scores.items()]
        steps = f"{mine[0]['steps']:,}" if mine else ""
        found.append(
            [name, steps, *cells, spread([line["cpu-minutes"] for line in mine], 1).partition(" ")[0], str(len(mine))]
        )
    return found


def cell(row: Row, score: str, digits: int, lines: list[Line]) -> str:
    """One score of one row, empty where the row has no such score."""
    values = [line[score] for line in lines if score in line]
    return spread(values, digits) if values else ""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument(
        "claims", nargs="*", choices=[*CLAIMS, []], metavar="CLAIM", help=f"all by default: {', '.join(CLAIMS)}"
    )
    options.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    options.add_argument("--jobs", type=int, default=2, help="processes at a time")
    options.add_argument("--out", type=Path, default=Path("runs/claims.jsonl"))
    options.add_argument("--table", action="store_true", help="print the tables of what is there, and stop")
    options.add_argument("--list", action="store_true", help="print the claims and their rows, and stop")
    options.add_argument("--row", help=argparse.SUPPRESS)
    options.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = options.parse_args()
    claims = arguments.claims or list(CLAIMS)
    if arguments.one:
        print(json.dumps(run(claims[0], arguments.row, arguments.seeds[0])))
        return
    if arguments.list:
        for claim in claims:
            print(f"{claim}: {CLAIMS[claim].sentence}")
            for name, row in CLAIMS[claim].rows.items():
                print(f"    {name}: {row.recipe} {' '.join(f'--set {change!r}' for change in row.changes)}")
        return
    if not arguments.table:
        collect(claims, arguments.seeds, arguments.out, arguments.jobs)
    lines = kept(arguments.out) if arguments.out.exists() else []
    for claim in claims:
        print(f"\n{CLAIMS[claim].sentence}\n")
        print(
            table(
                ["row", "steps", *CLAIMS[claim].scores, "CPU minutes a seed", "seeds"],
                rows_of(claim, arguments.seeds, lines),
            )
        )


if __name__ == "__main__":
    main()
