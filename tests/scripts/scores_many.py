"""Scores 50,000 samples on 2,048 features against as many real ones, and prints what it took: a line of JSON.

    python scores_many.py CACHE EVALUATOR...

The samples are pictures of 8 x 8 that are made when they are asked for, and the features random waves of their pixels.
"""

import json
import resource
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import torch

from ganrun.catalog.catalog import Catalog
from ganrun.evaluation.evaluation import Evaluation
from ganrun.evaluation.provenance import measure
from ganrun.evaluation.sources import Stored
from ganrun.recipe import load_evaluators
from ganrun.words.hooks import Component, hookimpl
from ganrun.words.spaces import Space

COUNT, SIZE, SIDE = 50_000, 2048, 8


class Noise:
    """Pictures of noise, each a function of its number. ``least``: the darkest grey there is."""

    in_memory = False
    classes = ()
    spaces = {"x": Space("image", (1, SIDE, SIDE))}

    def __init__(self, least):
        self.least = least

    def __len__(self):
        return COUNT

    def batch(self, indices, draws):
        generator = torch.Generator().manual_seed(int(indices[0]) + 10**6 * self.least)
        return {
            "x": torch.randint(self.least, 256, (len(indices), 1, SIDE, SIDE), generator=generator, dtype=torch.uint8)
        }

    def fingerprint(self):
        return f"noise {self.least}"


class Waves:
    """(B, 1, 8, 8) -> (B, 2048)."""

    size = SIZE

    def __init__(self, context):
        generator = torch.Generator().manual_seed(0)
        self.directions = torch.randn(SIDE * SIDE, SIZE, generator=generator)

    def __call__(self, x):
        return (x.flatten(1) @ self.directions).cos_()

    def fingerprint(self):
        return "waves"


@hookimpl
def ganrun_components():
    yield Component("features", "waves", Waves)


def peak():
    """The most memory that this process had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(cache, *names):
    torch.set_num_threads(1)
    catalog = Catalog(
        modules=[SimpleNamespace(__name__="waves", __doc__="Waves.", ganrun_components=ganrun_components)]
    )
    before = peak()
    real = Noise(0)
    evaluation = Evaluation(Stored(Noise(1), "noise"), lambda split: real, Path(cache))
    rows = {"before": before}
    for part in load_evaluators(
        [{name: {"features": "waves", "samples": COUNT}} for name in names], catalog=catalog, origin="scores_many.py"
    ):
        started = time.perf_counter()
        measured = measure(evaluation, part.name, part, part.part.make(), catalog)
        rows[part.name] = {
            "seconds": time.perf_counter() - started,
            "peak": peak(),
            **{name: score.value for name, score in measured.scores.items()},
        }
    print(json.dumps({**rows, "samples": max(evaluation.requested.fakes), "peak": peak(), "cpu": time.process_time()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
