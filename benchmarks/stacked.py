"""Which methods find the 1,000 modes of stacked digits, beside rows published for stacked MNIST.

    python benchmarks/stacked.py --estimate                # CPU minutes of what is not there yet
    python benchmarks/stacked.py                           # all, seeds 0 to 2; prints the table of RESULTS.md
    python benchmarks/stacked.py --methods r1 --seeds 7    # some of them

26,000 samples; the digit of each channel is what the shipped classifier of digits reads. A mode is found with at least
one sample; KL is that of the 1,000 classes' shares to uniform, in nats. A classifier reads a digit in any smear, so
beside them stands the share of samples all three channels of which it reads with a probability of at least 0.9, which
real triples tell the meaning of.

The discriminator has a quarter of the generator's width, as in the hardest setting of Metz et al. 2016 and of PacGAN's
table 3: with equal widths no row lost many modes in so few steps. Networks are perceptrons, 4,000 updates at batch 64
against PacGAN's 100,000 at 64.
"""

from __future__ import annotations

import argparse
from functools import cache
from pathlib import Path
from typing import Any

import torch
from _runs import Line, Method, collect, kept, of, parser, spread, table, trained
from ordering import adam
from torch import Tensor

from ganrun.data.download import data_cache
from ganrun.data.reader import fingerprint
from ganrun.evaluation.evaluation import FeatureContext
from ganrun.words.spaces import DataFiles
from ganrun_plugins.datasets.digits import Digits
from ganrun_plugins.datasets.stacked_digits import StackedDigits
from ganrun_plugins.features.classifier import Classifier

SAMPLES = 26_000  # of both papers
SURE = 0.9
STEPS = 4000
SIZE = 8
CONFIGURATION = {
    "variant": {"gan": {"latent": 64}},
    "dataset": {"stacked-digits": {"size": SIZE}},
    "generator": {"mlp": {"widths": [256, 256]}},
    "discriminator": {"mlp": {"widths": [64, 64]}},
    "players": {"generator": {"optimizer": adam(1e-3)}, "discriminator": {"optimizer": adam(1e-3)}},
    "evaluators": [],
    "without": ["progress", "samples", "metrics-log", "health", "checkpoints"],
    "train": {"steps": STEPS, "batch_size": 64, "device": "cpu"},
}
METHODS = {
    "non-saturating": Method({}, 6.1),
    "unrolling, 5 steps": Method({"tricks": [{"unrolling": {"steps": 5, "objective": "saddle"}}]}, 60, share=0.25),
    "packing, m = 2": Method({"tricks": [{"packing": {"m": 2}}]}, 6.3),
    # 64 is no whole number of packs
    "packing, m = 3": Method({"tricks": [{"packing": {"m": 3}}], "train": {"batch_size": 63}}, 6.3),
    "packing, m = 4": Method({"tricks": [{"packing": {"m": 4}}]}, 6.3),
    "wgan-gp": Method({"loss": "wasserstein", "tricks": [{"gradient-penalty": {"weight": 10.0}}]}, 11.0),
    "r1": Method({"tricks": [{"r1": {"gamma": 0.1}}]}, 8.5),
    "relativistic + r1 + r2": Method(
        {"loss": "relativistic", "tricks": [{"r1": {"gamma": 0.1}}, {"r2": {"gamma": 0.1}}]}, 11.2
    ),
}
READING = 0.25  # CPU minutes to make and read the samples of a run
HEAD = ["row", "steps", "modes of 1,000", "KL", "% read surely", "CPU minutes a seed"]

# Srivastava et al. 2017, "VEEGAN", table 2: means of 5 runs. Lin et al. 2018, "PacGAN", tables 2 (10 runs) and 3 (50
# runs, a discriminator of a quarter of the generator's size, the smallest of Metz et al. 2016), +- the standard error.
# Stacked MNIST at 28 x 28, 128,000 triples.
PUBLISHED = [
    ("VEEGAN's: DCGAN", "", "99", "3.40"),
    ("VEEGAN's: ALI", "", "16", "5.40"),
    ("VEEGAN's: unrolled GAN", "", "48.7", "4.32"),
    ("VEEGAN's: VEEGAN", "", "150", "2.95"),
    ("PacGAN's: DCGAN", "100,000", "78.9 +- 6.5", "4.50 +- 0.13"),
    ("PacGAN's: packing of 2", "100,000", "1000 +- 0", "0.06 +- 0.003"),
    ("PacGAN's: packing of 3", "100,000", "1000", "0.06"),
    ("PacGAN's: packing of 4", "100,000", "1000", "0.07"),
    ("PacGAN's: DCGAN, small discriminator", "500,000", "78.5 +- 17.6", "5.21"),
    ("PacGAN's: packing of 2, small discriminator", "500,000", "484.5", "2.61"),
    ("PacGAN's: packing of 3, small discriminator", "500,000", "601.3", "2.00"),
    ("PacGAN's: packing of 4, small discriminator", "500,000", "667.4", "1.81"),
]


@cache
def classifier() -> Classifier:
    """The classifier of digits that comes with ganrun, faster than as it is: with its weights in the order that suits
    the CPU.
    """
    files = DataFiles(Path(), data_cache())
    digits = Digits(files, "train", size=SIZE)
    made = Classifier(FeatureContext("x", digits.spaces["x"], digits, files.cache, torch.device("cpu")))
    assert made.shipped is not None, "no shipped weights fit the scans"
    made.network.to(memory_format=torch.channels_last)
    return made


def read(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Images (N, 1, S, S) in [-1, 1] -> the digit of each (N,), and how probable it is to the classifier (N,)."""
    with torch.no_grad():
        probable = torch.cat([classifier().logits(some).softmax(1) for some in pictures.split(64)])  # (N, 10)
    return probable.argmax(1), probable.amax(1)


def scores(digit: Tensor, probable: Tensor) -> dict[str, float]:
    """What stands in the table, from digits (N, 3) and their probabilities (N, 3)."""
    counts = (digit @ torch.tensor([100, 10, 1])).bincount(minlength=1000)
    share = counts.double() / counts.sum()
    kl = float(torch.special.xlogy(share, share * 1000).sum())
    return {
        "modes": float((counts > 0).sum()),
        "kl": kl,
        "sure": 100 * float((probable >= SURE).all(1).double().mean()),
    }


def scores_of_samples(x: Tensor) -> dict[str, float]:
    """The same of samples (N, 3, S, S) in [-1, 1]."""
    digit, probable = read(x.flatten(0, 1)[:, None])  # (3 N,)
    return scores(digit.reshape(-1, 3), probable.reshape(-1, 3))


def scores_of_scans(split: str) -> tuple[dict[str, float], float]:
    """The same of the first real triples of a split, and the accuracy on its scans.

    Each scan is read once: a triple has three of them.
    """
    files = DataFiles(Path(), data_cache())
    scans, triples = (
        Digits(files, split, size=SIZE).tensors,
        StackedDigits(files, split, size=SIZE, count=SAMPLES).tensors,
    )
    digit, probable = read(scans["x"] / 127.5 - 1)
    accuracy = 100 * float((digit == scans["label"]).double().mean())
    return scores(digit[triples["drawn"]], probable[triples["drawn"]]), accuracy


def recipe_of(method: str) -> dict[str, Any]:
    """The recipe of a row; its ``train`` is joined, everything else it names replaces the configuration's."""
    added = METHODS[method].recipe
    return {**CONFIGURATION, **added, "train": {**CONFIGURATION["train"], **added.get("train", {})}}  # type: ignore[dict-item]


def train(run: Line) -> dict[str, float]:
    """Train one run in this process: its scores and CPU minutes."""
    done, minutes = trained(
        recipe_of(run["method"]), [f"train.seed={run['seed']}", f"train.steps={run['steps']}", *run["changes"]]
    )
    torch.set_num_threads(1)
    return {**scores_of_samples(done.evaluation.fakes(n=SAMPLES)), "cpu-minutes": minutes}


def wanted(arguments: argparse.Namespace, method: str) -> list[Line]:
    """The runs of a row."""
    steps = METHODS[method].steps(arguments.steps or STEPS)
    mark = fingerprint(recipe_of(method))  # lines of another configuration are not taken for this one's
    return [
        {"method": method, "seed": seed, "steps": steps, "changes": arguments.changes, "recipe": mark}
        for seed in arguments.seeds
    ]


def rows(arguments: argparse.Namespace, lines: list[Line]) -> list[list[str]]:
    """The rows of the table: real triples, ours, the published ones."""
    found = []
    for split, name in (("train", "real triples, of training"), ("test", "real triples, held-out scans")):
        real, accuracy = scores_of_scans(split)
        found.append(
            [
                f"{name} (scans read right: {accuracy:.1f} %)",
                "",
                f"{real['modes']:.0f}",
                f"{real['kl']:.3f}",
                f"{real['sure']:.1f}",
                "",
            ]
        )
    for method in arguments.methods:
        runs = wanted(arguments, method)
        mine = [line for run in runs if (line := of(run, lines))]
        columns = [
            spread([line[name] for line in mine], digits)
            for name, digits in {"modes": 1, "kl": 3, "sure": 1, "cpu-minutes": 1}.items()
        ]
        found.append([method, f"{runs[0]['steps']:,}" if runs else "", *columns[:3], columns[3].partition(" ")[0]])
    return found + [[*published, "", ""] for published in PUBLISHED]


def main() -> None:
    arguments = parser(__doc__, list(METHODS), f"{STEPS:,}", "runs/stacked.jsonl").parse_args()
    runs = [
        run
        for place in range(len(arguments.seeds))
        for method in arguments.methods
        for run in wanted(arguments, method)[place : place + 1]
    ]
    if arguments.estimate:
        lines = kept(arguments.out)
        left = [
            METHODS[run["method"]].milliseconds * run["steps"] / 60_000 + READING for run in runs if not of(run, lines)
        ]
        print(f"{len(left)} runs, about {sum(left):.0f} CPU minutes on one core")
        return
    if not arguments.table:
        collect(runs, train, arguments.out)
    print(table(HEAD, rows(arguments, kept(arguments.out))))


if __name__ == "__main__":
    main()
