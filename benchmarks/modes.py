"""Which methods find the modes of a ring and of a grid, next to the rows that VEEGAN and PacGAN published.

    python benchmarks/modes.py --estimate                          # CPU minutes of what is not there yet
    python benchmarks/modes.py                                     # all rows, seeds 0 to 2; prints tables of RESULTS.md
    python benchmarks/modes.py --data ring --methods r1 --seeds 7  # some of them

The ring has the configuration of ordering.py. 2,500 samples; a mode is found with at least 1, or at least 20, samples
within 3 standard deviations, which 98.9 % of exact samples are. The reverse KL is that of those samples' shares to
uniform, in nats.
"""

from __future__ import annotations

import argparse
from typing import Any

from _runs import Line, Method, collect, kept, of, parser, spread, table, trained
from ordering import CONFIGURATION, ROWS

METHODS = {
    "non-saturating": Method(ROWS["non-saturating"], 6.2),
    "least-squares": Method({"loss": "least-squares"}, 6.2),
    "unrolling, 5 steps": Method(ROWS["unrolling, 5 steps"], 69),
    "packing, m = 2": Method({"tricks": [{"packing": {"m": 2}}]}, 6.2),
    # 256 is no whole number of packs
    "packing, m = 3": Method({"tricks": [{"packing": {"m": 3}}], "train": {"batch_size": 255}}, 5.0),
    "packing, m = 4": Method(ROWS["packing, m = 4"], 4.3),
    "wgan-gp": Method(ROWS["wgan-gp"], 10.3),
    "r1": Method(ROWS["r1"], 9.8),
    "relativistic + r1 + r2": Method(ROWS["relativistic + r1 + r2"], 13.4),
}
DATA: dict[str, dict[str, Any]] = {
    "ring": {},
    # PacGAN's latents; with 8 numbers fewer samples lay within in trials
    "grid": {"dataset": {"grid": {}}, "variant": {"gan": {"latent": 2}}},
}
STEPS = {"ring": 10_000, "grid": 4_000}
SHARES = {("grid", "unrolling, 5 steps"): 0.25}  # of those steps, where a step costs ten of the others
SCORES = {"modes": 1, "modes-with-20": 1, "percent-within": 1, "reverse-kl": 3}  # digits to print
HEAD = ["row", "steps", "modes (>= 1)", "modes (>= 20)", "% within 3 sd", "reverse KL", "CPU minutes a seed"]

# Srivastava et al. 2017, "VEEGAN", table 1: means of 5 runs. Lin et al. 2018, "PacGAN", table 1: 10 runs, +- the
# standard error.
PUBLISHED = {
    "ring": [
        ("VEEGAN's: GAN", "", "1", "99.3", ""),
        ("VEEGAN's: ALI", "", "2.8", "0.13", ""),
        ("VEEGAN's: unrolled GAN", "25,000", "7.6", "35.6", ""),
        ("VEEGAN's: VEEGAN", "", "8", "52.9", ""),
        ("PacGAN's: GAN", "400,000", "6.3 +- 0.5", "98.2 +- 0.2", "0.45 +- 0.09"),
        ("PacGAN's: ALI", "400,000", "6.6 +- 0.3", "97.6 +- 0.4", "0.36 +- 0.04"),
        ("PacGAN's: packing of 2", "400,000", "7.9 +- 0.1", "95.6 +- 2.0", "0.07 +- 0.03"),
        ("PacGAN's: packing of 3", "400,000", "7.8 +- 0.1", "97.7 +- 0.3", "0.10 +- 0.02"),
        ("PacGAN's: packing of 4", "400,000", "7.8 +- 0.1", "95.9 +- 1.4", "0.07 +- 0.02"),
    ],
    "grid": [
        ("VEEGAN's: GAN", "", "3.3", "0.5", ""),
        ("VEEGAN's: ALI", "", "15.8", "1.6", ""),
        ("VEEGAN's: unrolled GAN", "", "23.6", "16", ""),
        ("VEEGAN's: VEEGAN", "", "24.6", "40", ""),
        ("PacGAN's: GAN", "400,000", "17.3 +- 0.8", "94.8 +- 0.7", "0.70 +- 0.07"),
        ("PacGAN's: ALI", "400,000", "24.1 +- 0.4", "95.7 +- 0.6", "0.14 +- 0.03"),
        ("PacGAN's: packing of 2", "400,000", "23.8 +- 0.7", "91.3 +- 0.8", "0.13 +- 0.04"),
        ("PacGAN's: packing of 3", "400,000", "24.6 +- 0.4", "94.2 +- 0.4", "0.06 +- 0.02"),
        ("PacGAN's: packing of 4", "400,000", "24.8 +- 0.2", "93.6 +- 0.6", "0.04 +- 0.01"),
    ],
}


def recipe_of(data: str, method: str) -> dict[str, Any]:
    """The recipe of a row; its ``train`` is joined, everything else it names replaces the configuration's."""
    added = METHODS[method].recipe
    common = {**CONFIGURATION, **DATA[data]}
    return {**common, **added, "train": {**common["train"], **added.get("train", {})}}


def train(run: Line) -> dict[str, float]:
    """Train one run in this process: its scores and CPU minutes."""
    done, minutes = trained(
        recipe_of(run["data"], run["method"]),
        [f"train.seed={run['seed']}", f"train.steps={run['steps']}", *run["changes"]],
    )
    return {**{name: float(done.scores[f"mode-coverage.{name}"]) for name in SCORES}, "cpu-minutes": minutes}


def wanted(arguments: argparse.Namespace, data: str, method: str) -> list[Line]:
    """The runs of a row."""
    steps = round((arguments.steps or STEPS[data]) * SHARES.get((data, method), 1.0))
    return [
        {"data": data, "method": method, "seed": seed, "steps": steps, "changes": arguments.changes}
        for seed in arguments.seeds
    ]


def rows(arguments: argparse.Namespace, data: str, lines: list[Line]) -> list[list[str]]:
    """The rows of one table: ours, then the published ones."""
    ours = []
    for method in arguments.methods:
        runs = wanted(arguments, data, method)
        found = [line for run in runs if (line := of(run, lines))]
        scores = [spread([line[name] for line in found], digits) for name, digits in SCORES.items()]
        minutes = spread([line["cpu-minutes"] for line in found], 1).partition(" ")[0]
        ours.append([method, f"{runs[0]['steps']:,}" if runs else "", *scores, minutes])
    return ours + [[row, steps, modes, "", within, kl, ""] for row, steps, modes, within, kl in PUBLISHED[data]]


def main() -> None:
    options = parser(__doc__, list(METHODS), f"ring {STEPS['ring']:,}, grid {STEPS['grid']:,}", "runs/modes.jsonl")
    options.add_argument("--data", nargs="*", default=list(DATA), choices=list(DATA))
    arguments = options.parse_args()
    runs = [
        run
        for seed in range(len(arguments.seeds))
        for data in arguments.data
        for method in arguments.methods
        for run in wanted(arguments, data, method)[seed : seed + 1]
    ]
    if arguments.estimate:
        lines = kept(arguments.out)
        left = [METHODS[run["method"]].milliseconds * run["steps"] / 60_000 for run in runs if not of(run, lines)]
        print(f"{len(left)} runs, about {sum(left):.0f} CPU minutes on one core")
        return
    if not arguments.table:
        collect(runs, train, arguments.out)
    for data in arguments.data:
        print(f"\n{data.capitalize()}, mean and standard deviation of {len(arguments.seeds)} seeds:\n")
        print(table(HEAD, rows(arguments, data, kept(arguments.out))))


if __name__ == "__main__":
    main()
