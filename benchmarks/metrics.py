"""What evaluators cost and whether they agree with well-known packages, on the same random features in one run.

    OMP_NUM_THREADS=1 python benchmarks/metrics.py [--samples 10000] [--features 2048] [--threads 1] [--repeats 2]

Seconds are of the processor, over all threads: on a machine that others use, too, they show more than the clock. The
better of ``repeats`` interleaved runs of each; ratios are their time over ours, so that more than 1 is faster. The
packages are those of the extra `test`: torch-fidelity (FID, KID, precision and recall) and prdc (which computes
precision, recall, density and coverage at once).
"""

from __future__ import annotations

import argparse
import contextlib
import io
import resource
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganrun.evaluation.statistics import Statistics
from ganrun_plugins.evaluators import density_coverage, precision_recall
from ganrun_plugins.evaluators._balls import Question, answers
from ganrun_plugins.evaluators._neighbours import radii
from ganrun_plugins.evaluators.frechet_distance import distance_between
from ganrun_plugins.evaluators.kernel_distance import distances_of_subsets
from ganrun_plugins.evaluators.one_nearest_neighbour import one_nearest_neighbour


def features(n: int, d: int) -> tuple[Tensor, Tensor]:
    """Real and fake features, positive and correlated as those of a rectified network are: (n, d) float32 each."""
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(64, d, generator=generator) / 8
    real, fake = (
        (torch.randn(n, 64, generator=generator) @ mix + 0.5 * torch.randn(n, d, generator=generator)).relu()
        for _ in range(2)
    )
    return real, fake * 1.05


def frechet(real: Tensor, fake: Tensor) -> dict[str, Callable[[], Any]]:
    """With known statistics of the real side, as every run after the first has them; and from nothing."""
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    known = Statistics.of(real)
    known.root  # noqa: B018 - kept on disk with the statistics
    theirs = fid_features_to_statistics(real)
    return {
        "ours, real side known": lambda: distance_between(known, Statistics.of(fake)),
        "torch-fidelity, real side known": lambda: fid_statistics_to_metric(
            theirs, fid_features_to_statistics(fake), False
        )["frechet_inception_distance"],
        "ours": lambda: distance_between(Statistics.of(real), Statistics.of(fake)),
        "torch-fidelity": lambda: fid_statistics_to_metric(
            fid_features_to_statistics(real), fid_features_to_statistics(fake), False
        )["frechet_inception_distance"],
    }


def kernel(real: Tensor, fake: Tensor) -> dict[str, Callable[[], Any]]:
    """100 subsets of 1,000, the same ones in both."""
    from torch_fidelity.metric_kid import kid_features_to_metric

    random = np.random.RandomState(2020)
    chosen = [
        tuple(torch.from_numpy(random.choice(len(real), 1000, replace=False)) for _ in range(2)) for _ in range(100)
    ]
    options = {"kid_subsets": 100, "kid_subset_size": 1000, "rng_seed": 2020, "verbose": False}
    return {
        "ours": lambda: float(np.mean(distances_of_subsets(real, fake, chosen))),
        "torch-fidelity": lambda: kid_features_to_metric(real, fake, **options)["kernel_inception_distance_mean"],
    }


def neighbours(real: Tensor, fake: Tensor) -> dict[str, Callable[[], Any]]:
    """Precision, recall, density and coverage with k = 5, from one product of the two sets, as two evaluators of one
    evaluation compute them; with known radii of the real side, as evaluators keep them, and from nothing.
    """
    from prdc import compute_prdc

    kept = radii(real, 5)
    questions = [Question(5, mutual=True), Question(5, mutual=False)]

    def ours(known: Callable[[int], Tensor] | None = None) -> list[float]:
        balls = answers(real, fake, questions, known)
        found = (*precision_recall.scores(balls[questions[0]]), *density_coverage.scores(balls[questions[1]], 5))
        return [float(score) for score in found]

    def theirs() -> list[float]:
        with contextlib.redirect_stdout(io.StringIO()):
            found = compute_prdc(real.numpy(), fake.numpy(), nearest_k=5)
        return [float(found[name]) for name in ("precision", "recall", "density", "coverage")]

    return {"ours, real radii known": lambda: ours(lambda k: kept), "ours": ours, "prdc": theirs}


def precision(real: Tensor, fake: Tensor) -> dict[str, Callable[[], Any]]:
    """Precision and recall with k = 3."""
    from torch_fidelity.metric_prc import prc_features_to_metric

    def theirs() -> list[float]:
        found = prc_features_to_metric(
            fake, real, prc_neighborhood=3, prc_batch_size=10000, verbose=False, save_cpu_ram=True
        )
        return [float(found["precision"]), float(found["recall"])]

    return {
        "ours": lambda: [float(score) for score in precision_recall.precision_recall(real, fake, 3).values()],
        "torch-fidelity": theirs,
    }


def one_nearest(real: Tensor, fake: Tensor) -> dict[str, Callable[[], Any]]:
    """1-NN accuracy; no package of the extra has it."""
    return {"ours": lambda: float(one_nearest_neighbour(real, fake)["accuracy"])}


def best_times(functions: dict[str, Callable[[], Any]], repeats: int) -> dict[str, tuple[float, Any]]:
    """Name -> (seconds of the fastest of interleaved calls, value)."""
    found: dict[str, tuple[float, Any]] = {}
    for _ in range(repeats):
        for name, function in functions.items():
            began = time.process_time()
            value = function()
            took = time.process_time() - began
            found[name] = (min(took, found.get(name, (took, None))[0]), value)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--features", type=int, default=2048)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--only", nargs="+", default=["frechet", "kernel", "neighbours", "precision", "one_nearest"])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    names = ("torch", "torch-fidelity", "prdc", "numpy")
    print(
        f"{options.samples} x {options.features} float32, {options.threads} threads; "
        + ", ".join(f"{n} {metadata.version(n)}" for n in names)
    )
    real, fake = features(options.samples, options.features)
    print("| metric | by | CPU seconds | value | times as fast as |\n|---|---|---|---|---|")
    for make in (frechet, kernel, neighbours, precision, one_nearest):
        if make.__name__ not in options.only:
            continue
        times = best_times(make(real, fake), options.repeats)
        for name, (seconds, value) in times.items():
            shown = ", ".join(f"{x:.10g}" for x in (value if isinstance(value, list) else [float(value)]))
            against = [
                f"{took / seconds:.2f} x {other}"
                for other, (took, _) in times.items()
                if name.startswith("ours")
                and not other.startswith("ours")
                and name.endswith("known") == other.endswith("known")
            ]
            print(f"| {make.__name__} | {name} | {seconds:.2f} | {shown} | {', '.join(against)} |", flush=True)
    print(f"peak resident memory of all of this: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    main()
