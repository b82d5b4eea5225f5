"""Does the observer ``health`` find what is wrong, by its right name, and nothing where nothing is wrong?

    .venv/bin/python benchmarks/doctor.py --seeds 0-9 [--jobs 2] [--only collapse rate] [--output doctor.jsonl]
    .venv/bin/python benchmarks/doctor.py --cost

Five recipes are built to fail, each in a way of its own; the healthy ones are all shipped offline recipes, shortened,
and checked as often. Thresholds were chosen on seeds 0 to 9; seeds 10 to 19 are for the proof. A run takes at most a
minute on one core. Each is one line of the output file: an interrupted benchmark continues where it was. A hit is a run
whose first finding has the expected name. ``--cost`` measures, in one run, the share of the processor's time that the
observer takes.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from statistics import median
from typing import Any

import torch

from ganrun import jsonl
from ganrun.catalog.catalog import Catalog
from ganrun.recipe import find_recipe, load_recipe
from ganrun.training.run import Run

QUIET = ["progress", "samples", "metrics-log", "health", "checkpoints"]
SMALL = {
    "variant": "dcgan",
    "dataset": {"digits": {"size": 16}},
    "generator": {"dcgan": {"width": 16}},
    "discriminator": {"dcgan": {"width": 16}},
    "train": {"steps": 500, "batch_size": 64},
}


def adam(lr: float, first: float = 0.5, second: float = 0.999) -> dict[str, Any]:
    return {"adam": {"lr": lr, "betas": [first, second]}}


def players(
    discriminator: dict[str, Any], generator: dict[str, Any], init: tuple[Any, Any] = (None, None)
) -> dict[str, Any]:
    made = {"discriminator": {"optimizer": discriminator}, "generator": {"optimizer": generator}}
    for player, how in zip(made.values(), init):
        if how is not None:
            player["init"] = how
    return made


# name -> (steps between two checks, expected finding, recipe). A finding has to come before the recipe's last step.
FAILING: dict[str, tuple[int, str, dict[str, Any]]] = {
    # A generator of small weights makes one point of all latents, and plain descent is too slow to unfold it: the point
    # hops after the discriminator from mode to mode.
    "collapse": (
        25,
        "mode-collapse",
        {
            "variant": {"gan": {"latent": 2}},
            "dataset": {"ring": {"radius": 2, "sd": 0.02}},
            "generator": {"mlp": {"widths": [128, 128], "norm": "none", "activation": "relu"}},
            "discriminator": {"mlp": {"widths": [128, 128], "norm": "none"}},
            "players": players(
                adam(1e-3, 0.5, 0.9), {"sgd": {"lr": 0.01}}, ({"scheme": "kaiming"}, {"scheme": "normal", "gain": 0.02})
            ),
            "evaluators": [{"mode-coverage": {"samples": 2500}}],
            "train": {"steps": 800, "batch_size": 128},
        },
    ),
    # 0.02 in place of DCGAN's 0.0002, for both.
    "rate": (25, "exploding", {**SMALL, "players": players(adam(2e-2), adam(2e-2))}),
    # The loss that the theorems are about, and a discriminator that learns 20 times as fast.
    "saturated": (
        25,
        "saturated-discriminator",
        {**SMALL, "loss": "minimax", "players": players(adam(1e-3), adam(5e-5))},
    ),
    # Fifty images: the discriminator sees each of them once in less than two steps.
    "few": (
        25,
        "overfitting-discriminator",
        {**SMALL, "dataset": {"digits": {"size": 16, "limit": 50}}, "train": {"steps": 800, "batch_size": 32}},
    ),
    # Simultaneous descent on an unbounded critic turns around the solution (Mescheder et al. 2018, the Dirac-GAN). With
    # torch's own initialisation half of the generators make one point of all latents first, which is found as what it
    # is.
    "oscillating": (
        40,
        "oscillation",
        {
            "variant": {"gan": {"latent": 2}},
            "loss": "wasserstein",
            "dataset": {"ring": {"modes": 1, "radius": 2, "sd": 0.5}},
            "generator": {"mlp": {"widths": [8], "norm": "none"}},
            "discriminator": {"mlp": {"widths": [8], "norm": "none"}},
            "players": players(
                {"sgd": {"lr": 0.01}}, {"sgd": {"lr": 0.01}}, ({"scheme": "kaiming"}, {"scheme": "kaiming"})
            ),
            "train": {"steps": 2400, "batch_size": 64},
        },
    ),
}

# shipped recipe -> (steps between two checks, steps)
HEALTHY = {
    "gan_ring": (25, 1500),
    "lsgan_ring": (25, 1500),
    "gan_digits": (20, 1000),
    "dcgan_digits": (10, 300),
    "lsgan_digits": (10, 300),
    "cyclegan_restyled_digits": (10, 300),
}


def loaded(name: str, seed: int, catalog: Catalog) -> Any:
    """The recipe of a benchmark run."""
    if name in FAILING:
        every, _, plain = FAILING[name]
        recipe = {**plain, "observers": [{"health": {"every": every}}], "without": QUIET}
        return load_recipe(recipe, catalog=catalog, overrides={"train.seed": seed, "train.device": "cpu"})
    every, steps = HEALTHY[name]
    recipe = {"extends": str(find_recipe(name)), "observers": [{"health": {"every": every}}], "without": QUIET}
    found = load_recipe(
        recipe, catalog=catalog, overrides={"train.seed": seed, "train.device": "cpu", "train.steps": steps}
    )
    # scores of the others are of no use here
    found.evaluators[:] = [e for e in found.evaluators if e.part.name == "mode-coverage"]
    return found


def one(name: str, seed: int) -> dict[str, Any]:
    """Train a recipe with a seed. Returns what was found."""
    torch.set_num_threads(1)
    catalog = Catalog()
    recipe = loaded(name, seed, catalog)
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        run = Run(recipe, catalog, Path(folder))
        reason = run.train()
        stated = jsonl.read(Path(folder) / "health.jsonl")
    found = [
        {key: line[key] for key in ("finding", "step", "since", "evidence")} for line in stated if "finding" in line
    ]
    return {
        "recipe": name,
        "seed": seed,
        "expected": FAILING[name][1] if name in FAILING else "",
        "first": found[0]["finding"] if found else "",
        "step": found[0]["step"] if found else None,
        "steps": run.step,
        "found": found,
        "reason": reason,
        "scores": {key: float(value) for key, value in run.scores.items()},
        "seconds": round(time.process_time() - began, 1),
    }


def table(results: list[dict[str, Any]]) -> str:
    """Hits, false alarms and steps of detection by recipe, as Markdown."""
    rows = ["| recipe | expected | runs | first finding right | step of detection (median, range) | other names |"]
    rows.append("|---|---|---|---|---|---|")
    for name in (*FAILING, *HEALTHY):
        mine = [r for r in results if r["recipe"] == name]
        if not mine:
            continue
        hits = [r for r in mine if r["first"] == r["expected"]]
        steps = [r["step"] for r in hits if r["step"] is not None]
        span = f"{median(steps):.0f} ({min(steps)} to {max(steps)})" if steps else ""
        others = sorted({f["finding"] for r in mine for f in r["found"]} - {mine[0]["expected"]})
        rows.append(
            f"| {name} | {mine[0]['expected'] or 'nothing'} | {len(mine)} | {len(hits)} | {span} | "
            f"{', '.join(others)} |"
        )
    return "\n".join(rows)


def cost(name: str, blocks: int) -> None:
    """The share of the observer in the processor's time of a recipe, with its default stride."""
    catalog = Catalog()
    recipe = load_recipe(
        {"extends": str(find_recipe(name)), "observers": [{"health": {}}], "without": QUIET}, catalog=catalog
    )
    recipe.evaluators.clear()
    spent = 0.0

    def timed(method: Any) -> Any:
        def call(**payload: Any) -> None:
            nonlocal spent
            start = time.process_time()
            method(**payload)
            spent += time.process_time() - start

        return call

    run = Run(recipe, catalog)
    with run.experiment.settings():
        run.experiment.hooks.run_start(run=run)
        health = run.experiment.observers[-1]
        heard = [getattr(run.experiment.hooks, event) for event in ("gradients", "updated", "step_end")]
        for implementation in (i for event in heard for i in event.get_hookimpls()):
            if implementation.plugin is health:
                function, names = implementation.function, implementation.argnames
                implementation.function = lambda *values, function=function, names=names: timed(function)(
                    **dict(zip(names, values))
                )
        for block in range(blocks + 1):  # the first one warms up
            spent, start = 0.0, time.process_time()
            for _ in range(health._facts.every):
                run.engine.step(run.step)
                run.step += 1
                run.experiment.hooks.step_end(run=run)
            total = time.process_time() - start
            if block:
                share = f"{total:.2f} s, of which the observer {1000 * spent:.0f} ms: {100 * spent / total:.2f}%"
                print(f"{name}, {health._facts.every} steps and a check: {share}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0-9", help="such as 0-9 or 3")
    parser.add_argument("--only", nargs="+", choices=[*FAILING, *HEALTHY], help="these recipes alone")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path("doctor.jsonl"))
    parser.add_argument(
        "--cost", nargs="*", choices=HEALTHY, help="measure what the observer costs, in dcgan_digits by default"
    )
    parser.add_argument("--blocks", type=int, default=3)
    options = parser.parse_args()
    if options.cost is not None:
        torch.set_num_threads(1)
        for name in options.cost or ["dcgan_digits"]:
            cost(name, options.blocks)
        return
    first, _, last = options.seeds.partition("-")
    known = {(r["recipe"], r["seed"]) for r in rows_of(options.output)}
    wanted = [(n, s) for s in range(int(first), int(last or first) + 1) for n in options.only or (*FAILING, *HEALTHY)]
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(options.jobs) as pool:
        futures = [pool.submit(one, *key) for key in wanted if key not in known]
        for future in as_completed(futures):
            result = future.result()
            jsonl.append(options.output, result)
            outcome = (
                f"{result['first'] or 'nothing'} at step {result['step']}, expected {result['expected'] or 'nothing'}"
            )
            print(f"{result['recipe']} seed {result['seed']}: {outcome} ({result['seconds']} s)", flush=True)
    print(table([r for r in rows_of(options.output) if (r["recipe"], r["seed"]) in wanted]))


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The runs that are done."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


if __name__ == "__main__":
    main()
