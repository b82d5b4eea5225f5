"""``ganrun recipe``: train a recipe, or check it first."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ganrun.cli.completion import recipe_names
from ganrun.cli.loading import load_torch
from ganrun.cli.output import outliving_readers, print_table
from ganrun.cli.plugins import catalog_with
from ganrun.errors import UserError, shortened
from ganrun.progress import message_if_slow

if TYPE_CHECKING:
    from ganrun.catalog.catalog import Catalog
    from ganrun.recipe import Recipe
    from ganrun.training.run import Run

INTERRUPTED = 130  # what shells call a program ended by Ctrl-C
_SEEDS = re.compile(r"([0-9]{1,300})(?:-([0-9]{1,300}))?")  # one seed, or a range of them
_LARGEST_SEED = 2**63  # the first number that is no seed
_MOST_RUNS = 100_000  # runs of one command, which are more than anybody waits for

RECIPE = typer.Argument(
    metavar="RECIPE", help="A file, the name of a shipped recipe, or a run's folder.", autocompletion=recipe_names
)


def command(
    recipe: Annotated[str, RECIPE],
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a value. Can be repeated.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="The run's folder; runs/NAME by default.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in the folder.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run in the folder.")] = False,
    force: Annotated[bool, typer.Option("--force", help="With --resume: accept a changed recipe.")] = False,
    plugin: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A plugin file that is not installed. Can be repeated.")
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Print the resolved recipe with the origin of each value, and stop.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Build everything, print networks and shapes or the problems, and stop.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Try everything once on real data, estimate time and memory, and stop.")
    ] = False,
    seeds: Annotated[
        str | None, typer.Option(metavar="LIST", help="Run several seeds, a folder each: 0-4, or 1,3,7.")
    ] = None,
) -> None:
    """Train a recipe. Ctrl-C saves and stops; --resume continues."""
    refuse_together(resume=resume, overwrite=overwrite)
    refuse_together(explain=explain, check=check, dry_run=dry_run, seeds=seeds is not None)
    refuse_without_use(force and not resume, seeds, changes or ())
    load_torch()
    with message_if_slow(f"reading {shortened(recipe, 200)}, loading plugins"):
        from ganrun.api import folder_for, is_run, open_recipe

        catalog, sets = catalog_with(plugin), list(changes or ())
        found = open_recipe(recipe, catalog, sets)
    if explain or check or dry_run:
        print_only(found, catalog, explain=explain, check=check)
        return
    folder = folder_for(recipe, found, output)
    with outliving_readers():
        if seeds is None:
            train_in(folder, found, catalog, resume=resume, overwrite=overwrite, force=force)
            return
        runs = {}
        for seed in parse_seeds(seeds):
            place = folder / f"seed-{seed}"
            seeded = open_recipe(recipe, catalog, [*sets, f"train.seed={seed}"])
            runs[seed] = train_in(
                place, seeded, catalog, resume=resume and is_run(place), overwrite=overwrite, force=force
            )
        if is_main():
            print_scores({seed: run.scores for seed, run in runs.items()})
        print_line(f"runs: {folder}")


def refuse_without_use(forced: bool, seeds: str | None, changes: Sequence[str]) -> None:
    """Raise UserError for --force without --resume, and for two options that set the seed."""
    if forced:
        raise UserError(
            "--force needs --resume: it continues a run with a changed recipe; to replace a run, use --overwrite"
        )
    if seeds is not None and any(change.partition("=")[0].strip() == "train.seed" for change in changes):
        raise UserError("--seeds and --set train.seed both set the seed; leave out one")


def train_in(folder: Path, recipe: Recipe, catalog: Catalog, *, resume: bool, overwrite: bool, force: bool) -> Run:
    """Train in a folder, which is printed first and last. Exits with 130 if interrupted."""
    from ganrun.training.start import train

    print_line(f"run: {folder}")
    run = train(recipe, catalog, folder, resume=resume, overwrite=overwrite, force=force)
    print_line(f"run: {run.folder}")
    if run.step < run.steps:
        raise typer.Exit(INTERRUPTED)
    return run


def refuse_together(**given: bool) -> None:
    """Raise UserError if more than one of these options was given."""
    names = [f"--{name.replace('_', '-')}" for name, there in given.items() if there]
    if len(names) > 1:
        raise UserError(f"{' and '.join(names)} cannot go together; leave out all but one")


def is_main() -> bool:
    """Whether this is the main process, which prints, among those torchrun started."""
    return os.environ.get("RANK", "0") == "0"


def print_line(line: str) -> None:
    """Print a line, in the main process only."""
    if is_main():
        print(line, flush=True)


def parse_seeds(text: str) -> list[int]:
    """``0-4`` or ``1,3,7-9`` as numbers, in that order, each once. Raises UserError if it is neither."""
    seeds: list[int] = []
    for word in text.split(","):
        match = _SEEDS.fullmatch(word.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if last < first:
            raise UserError(
                f"--seeds {shortened(text)}: {shortened(repr(word.strip()))} is not a seed or a range of seeds; "
                "write 0-4, or 1,3,7"
            )
        if last >= _LARGEST_SEED:
            raise UserError(
                f"--seeds {shortened(text)}: a seed is less than {_LARGEST_SEED}, which is 2 to the power of 63"
            )
        if len(seeds) + last - first >= _MOST_RUNS:
            raise UserError(f"--seeds {shortened(text)}: these are more than {_MOST_RUNS:,} runs; give a shorter range")
        seeds += range(first, last + 1)
    return list(dict.fromkeys(seeds))


def print_scores(scores: dict[int, dict[str, float]]) -> None:
    """A table of the final scores of several seeds: mean, standard deviation over the seeds, each seed's value."""
    from statistics import mean, stdev

    names = list(dict.fromkeys(name for values in scores.values() for name in values))
    if not names:
        print("no scores: the recipe has no evaluators")
        return
    rows = []
    for name in names:
        values = [values[name] for values in scores.values() if name in values]
        spread = f"{stdev(values):.4g}" if len(values) > 1 else ""
        rows.append(
            (name, f"{mean(values):.4g}", spread, *(f"{scores[seed].get(name, float('nan')):.4g}" for seed in scores))
        )
    columns = ("score", "mean", "sd", *(f"seed {seed}" for seed in scores))
    print_table(columns, rows if sys.stdout.isatty() else [columns, *rows])


def print_only(recipe: Recipe, catalog: Catalog, *, explain: bool, check: bool) -> None:
    """What --explain, --check and --dry-run print."""
    if explain:
        from ganrun.recipe import explain as explained

        print(explained(recipe), end="")
        return
    with message_if_slow("preparing the check"):
        from ganrun.cli import check_tables

    lines: Sequence[tuple[str, str]] = check_tables.check(recipe) if check else check_tables.dry_run(recipe, catalog)
    if is_main():
        print_table(("what", "found"), lines)
