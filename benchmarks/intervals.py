"""How often the intervals of scores hold what they are about: the mean score of other samples of the same generator.

    OMP_NUM_THREADS=1 python benchmarks/intervals.py [--draws 300] [--only kernel frechet]

Every score is taken of ``--draws`` independent sets of samples of one generator, against one set of real samples. Of
two scores the interval is about something else, which is drawn again: the held-out items of ``memorised``, besides, and
the test samples of ``parzen-likelihood``, under windows around one set. An interval of 95% should hold the mean of all
those values in 95% of them. Beside that share stands how wide intervals are: the mean half width over 1.96 standard
deviations of the value, 1 if it is exactly right, and 1.15 for one that knows its deviation from ten groups. The
generators are normal in 8 dimensions as the data are: ``equal`` is the data's own distribution, ``near`` is moved by
0.1 and stretched by 1.1, ``far`` moved by 0.5 and stretched by 1.4.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from ganrun.evaluation.scores import Score, of_rows, share
from ganrun.evaluation.statistics import Statistics
from ganrun_plugins.evaluators.class_share import class_share
from ganrun_plugins.evaluators.density_coverage import density_coverage
from ganrun_plugins.evaluators.diversity import disjoint_pairs, distances
from ganrun_plugins.evaluators.frechet_distance import with_interval
from ganrun_plugins.evaluators.hidden_pairs import root
from ganrun_plugins.evaluators.inception_score import inception_score
from ganrun_plugins.evaluators.kernel_distance import kernel_distance
from ganrun_plugins.evaluators.kernel_mmd import kernel_mmd
from ganrun_plugins.evaluators.mode_coverage import coverage, good_samples
from ganrun_plugins.evaluators.mode_score import mode_score
from ganrun_plugins.evaluators.nearest_neighbours import nearest_neighbours
from ganrun_plugins.evaluators.one_nearest_neighbour import one_nearest_neighbour
from ganrun_plugins.evaluators.parzen_likelihood import parzen_likelihood
from ganrun_plugins.evaluators.precision_recall import precision_recall
from ganrun_plugins.evaluators.wasserstein_distance import sliced_distance, wasserstein_distance

SIZE, REAL, FAKE = 8, 500, 400  # features, real samples, made ones
GENERATORS = {"equal": (0.0, 1.0), "near": (0.1, 1.1), "far": (0.5, 1.4)}
Scores = Mapping[str, Score]
Measure = Callable[[Tensor, Tensor, int], Scores]  # of real samples, made ones and the number of the draw


def normal(n: int, *key: int, shift: float = 0.0, scale: float = 1.0) -> Tensor:
    """Samples (n, SIZE) of a generator, of a key."""
    random = np.random.default_rng(key)
    return torch.from_numpy(scale * random.standard_normal((n, SIZE)) + shift).float()


def logits(x: Tensor) -> Tensor:
    """Five classes of samples (n, SIZE): how far they are along five of the axes."""
    return 3 * x[:, :5]


def measures() -> Iterator[tuple[str, Measure]]:
    """The scores that have intervals, by name: functions of (real, fake, draw)."""
    yield "mean of rows", lambda real, fake, draw: {"": of_rows(fake.square().sum(1))}
    yield "share", lambda real, fake, draw: {"": share(int((fake[:, 0] > 1.5).sum()), len(fake))}
    yield "root of a mean", lambda real, fake, draw: {"": root(of_rows(fake.square().mean(1)))}
    yield "frechet-distance", lambda real, fake, draw: {"": with_interval(Statistics.of(real), fake, draw)}
    for subsets, size in ((100, 50), (50, 200), (100, 1000)):
        yield (
            f"kernel-distance, {subsets} subsets of {min(size, FAKE)}",
            lambda real, fake, draw, subsets=subsets, size=size: {  # type: ignore[misc]
                "": kernel_distance(real, fake, subsets=subsets, size=size, seed=draw)
            },
        )
    yield "kernel-mmd", lambda real, fake, draw: {"": kernel_mmd(real, fake)}
    yield "wasserstein-distance", lambda real, fake, draw: {"": wasserstein_distance(real, fake, seed=0)}
    yield "wasserstein-distance, sliced", lambda real, fake, draw: {"": sliced_distance(real, fake, projections=64)}
    yield "precision-recall", lambda real, fake, draw: precision_recall(real, fake)
    yield "density-coverage", lambda real, fake, draw: density_coverage(real, fake)
    yield "one-nearest-neighbour", lambda real, fake, draw: one_nearest_neighbour(real, fake, seed=0)
    yield (
        "memorised",
        lambda real, fake, draw: {"": nearest_neighbours(real, normal(REAL, 2, draw), fake)["memorised"]},
    )
    yield (
        "nearest-neighbours",
        lambda real, fake, draw: {
            key: score
            for key, score in nearest_neighbours(real, normal(REAL, 2), fake, seed=draw).items()
            if key != "memorised"
        },
    )
    yield "inception-score", lambda real, fake, draw: {"": inception_score(logits(fake))}
    yield "mode-score", lambda real, fake, draw: {"": mode_score(logits(real), logits(fake))}
    yield "class-share", lambda real, fake, draw: class_share(logits(real).argmax(1), logits(fake).argmax(1), 5)
    centres = 1.5 * torch.eye(SIZE)
    yield "mode-coverage", lambda real, fake, draw: coverage(good_samples(fake, centres, 3.0), len(fake), seed=draw)
    yield "parzen-likelihood", lambda real, fake, draw: {"": parzen_likelihood(fake, real, 0.5)}
    yield (
        "diversity",
        lambda real, fake, draw: {"distance": of_rows(distances(fake, disjoint_pairs(len(fake), 5000, draw)))},
    )


def held(measure: Measure, shift: float, scale: float, draws: int) -> Iterator[tuple[str, float, float]]:
    """(key, share of intervals that hold the mean, mean half width / 1.96 deviations) of each score with intervals."""
    real = normal(REAL, 0)
    found: dict[str, list[Score]] = {}
    for draw in range(draws):
        for key, score in measure(real, normal(FAKE, 1, draw, shift=shift, scale=scale), draw).items():
            found.setdefault(key, []).append(score)
    for key, scores in found.items():
        ends = [(score.low, score.high) for score in scores if score.low is not None and score.high is not None]
        values = np.array([score.value for score in scores])
        if len(ends) < draws or not values.std():
            continue
        low, high = np.array(ends).T
        whole = bool((values == values.round()).all())  # of numbers of modes the mean is none
        middle = values.mean().round() if whole else values.mean()
        inside = (low <= middle) & (middle <= high)
        yield key, float(inside.mean()), float((high - low).mean() / 2 / (1.96 * values.std(ddof=1)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=300, help="sets of samples of each generator")
    parser.add_argument("--only", nargs="*", default=[""], help="beginnings of names")
    arguments = parser.parse_args()
    print("| score | held: equal | near | far | width: equal | near | far |\n|---|---|---|---|---|---|---|")
    for name, measure in measures():
        if not name.startswith(tuple(arguments.only)):
            continue
        cells: dict[str, dict[str, tuple[float, float]]] = {}
        for generator, (shift, scale) in GENERATORS.items():
            for key, inside, width in held(measure, shift, scale, arguments.draws):
                cells.setdefault(key, {})[generator] = inside, width
        for key, found in cells.items():
            both = [
                [f"{found[g][i]:{form}}" if g in found else "" for g in GENERATORS]
                for i, form in ((0, ".1%"), (1, ".2f"))
            ]
            print(f"| {f'{name}: {key}' if key else name} | {' | '.join(both[0] + both[1])} |", flush=True)


if __name__ == "__main__":
    main()
