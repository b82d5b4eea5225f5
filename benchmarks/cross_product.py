"""Every variant with every loss and every trick: trained for some steps on a small experiment, or refused.

    python benchmarks/cross_product.py                # all; prints counts, and every failure
    python benchmarks/cross_product.py --part 0 --of 2  # the first half, for two processes

A run counts as trained if its terms and weights are finite, only the turn's player held gradients, and nothing raised
an error.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # the plugins' examples live with their tests

from covering import Base, Cover
from examples import EXAMPLES_EVERYWHERE

from ganrun.catalog.catalog import Catalog
from ganrun.recipe import load_recipe
from ganrun.testing import probe
from ganrun.testing.runs import assert_sound, new_run, probed, steps

STEPS = 3


def trained(cover: Cover, base: Base, trick: str) -> str:
    """Train one combination. Returns what went wrong, empty if nothing did."""
    try:
        assert_sound(
            steps(
                new_run(load_recipe(probed(cover.recipe(base, [trick])), catalog=cover.catalog), cover.catalog), STEPS
            )
        )
    except Exception as error:  # whatever it is, it came after the refusals
        return f"{type(error).__name__}: {error}"
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", type=int, default=0)
    parser.add_argument("--of", type=int, default=1)
    arguments = parser.parse_args()
    started = time.perf_counter()
    tricks = sorted(Catalog(disabled=()).names("trick"))
    cover = Cover(Catalog(modules=[probe], disabled=()), EXAMPLES_EVERYWHERE, tricks=tricks)
    variants = sorted({base.variant for base in cover.bases})
    triples = [(variant, loss, trick) for variant in variants for loss in cover.losses for trick in cover.tricks]
    counts: Counter[str] = Counter()
    for variant, loss, trick in triples[arguments.part :: arguments.of]:
        bases = [base for base in cover.bases if (base.variant, base.loss) == (variant, loss)]
        base = next((base for base in bases if not cover.why_not(base, [trick])), None)
        problem = trained(cover, base, trick) if base is not None else ""
        counts["refused" if base is None else "failed" if problem else "trained"] += 1
        if problem:
            print(f"failed: {variant} + {loss} + {trick}: {problem}", flush=True)
    total = sum(counts.values())
    print(
        f"{total} of {len(triples)} combinations of {len(variants)} variants, {len(cover.losses)} losses and "
        f"{len(cover.tricks)} tricks:"
    )
    print(
        f"{counts['trained']} trained {STEPS} steps, {counts['refused']} refused ({counts['refused'] / total:.1%}), "
        f"{counts['failed']} failed"
    )
    print(f"{time.perf_counter() - started:.0f} seconds")


if __name__ == "__main__":
    main()
