"""Checks thousands of mutants of the shipped recipes, and prints how each kind of ending came.

    python benchmarks/fuzz.py [--mutants 10000] [--seed 0]

Every mutant has to pass or to be refused (exit code 0 or 2) within a minute of the processor, with a place in the
recipe, no line of more than 1,000 characters and no traceback; tests/mutants.py makes and judges them. Those that do
not are printed.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from mutants import beside_the_recipes, checked, mutants, problem


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutants", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    ends: Counter[str] = Counter()
    texts: set[str] = set()
    longest = 0.0
    with tempfile.TemporaryDirectory(prefix="ganrun-fuzz-") as place:
        os.environ["GANRUN_DATA"] = str(Path(place) / "data")
        folder = beside_the_recipes(Path(place))

        @seeded(options.seed)
        @settings(
            max_examples=options.mutants,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(mutants())
        def each(mutant: tuple[str, str]) -> None:
            nonlocal longest
            name, text = mutant
            began = time.process_time()
            code, error = checked(text, folder)
            longest = max(longest, time.process_time() - began)
            texts.add(text)
            wrong = problem(code, error)
            ends["wrong" if wrong else "refused" if code else "passes"] += 1
            if wrong:
                print(f"--- a mutant of {name}: {wrong}\n{text}\n{error}", flush=True)

        each()
    print(
        f"{ends.total()} mutants, {len(texts)} of them different: {dict(ends)}; "
        f"the longest check {longest:.1f} s of the processor"
    )
    sys.exit(bool(ends["wrong"]))


if __name__ == "__main__":
    main()
