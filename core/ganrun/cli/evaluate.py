"""``ganrun evaluate``: scores of runs, or of folders of images, side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ganrun.cli.loading import load_torch
from ganrun.cli.output import complain, outliving_readers, print_json, print_table
from ganrun.cli.plugins import catalog_with
from ganrun.cli.recipe import is_main
from ganrun.errors import DownloadError, UserError
from ganrun.paths import expanded, resolved

if TYPE_CHECKING:
    from ganrun.catalog.catalog import Catalog
    from ganrun.evaluation.provenance import Measured
    from ganrun.evaluation.scores import Score
    from ganrun.inference.compare import Column

# for folders, where no recipe names any
EVALUATORS = ("frechet-distance", "kernel-distance", "precision-recall", "density-coverage")
# for these: what published numbers are of; folders have no labels to train a classifier on
STANDARD = {"features": "inception"}
WITHOUT_WEIGHTS = {"features": "random-conv"}  # where the others' cannot be fetched


def command(
    runs: Annotated[list[Path] | None, typer.Argument(metavar="[RUN]...", help="Folders of runs.")] = None,
    folders: Annotated[
        tuple[Path, Path] | None,
        typer.Option("--folders", metavar="REAL FAKE", help="Two folders of images instead of runs."),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES", help=f"Evaluators, comma-separated; default: the recipe's, or {', '.join(EVALUATORS)}."
        ),
    ] = None,
    features: Annotated[
        str | None, typer.Option(metavar="NAME", help="The feature extractor of all evaluators that use one.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(metavar="SPLIT", help="The real samples to compare with: train or test.")
    ] = None,
    reference: Annotated[
        str | None, typer.Option(metavar="FILE", help="A file of `ganrun reference` instead of real samples.")
    ] = None,
    samples: Annotated[int | None, typer.Option(min=2, help="How many samples to score.")] = None,
    size: Annotated[int | None, typer.Option(min=4, help="With --folders: scale images to this side.")] = None,
    reading: Annotated[
        Literal["plain", "shown"] | None,
        typer.Option(
            help="With --folders: plain reads files as the code of FID does, shown turns them as EXIF says, lays "
            "transparent parts on white and scales 16 bits to 8. By default plain."
        ),
    ] = None,
    checkpoint: Annotated[str, typer.Option(metavar="WHICH", help="last, best or a step.")] = "last",
    stored: Annotated[bool, typer.Option("--stored", help="Only print scores already computed for the runs.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, provenance included.")] = False,
    plugin: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A plugin file that is not installed. Can be repeated.")
    ] = None,
) -> None:
    """Score runs or folders of images. Scores that may be compared are printed together."""
    load_torch()
    from ganrun.inference.compare import columns

    chosen = {"metrics": metrics, "features": features, "split": split, "reference": reference, "samples": samples}
    check_arguments(runs, folders, stored, size=size, reading=reading, **chosen)
    catalog = catalog_with(plugin)
    reference = str(resolved(expanded(reference))) if reference else None
    options = {"features": features, "split": split, "reference": reference}
    given = {key: value for key, value in options.items() if value is not None}
    with outliving_readers():
        settings = (checkpoint, stored, size, reading)
        found, failed = measured(runs or [], folders, catalog, (metrics, given, samples), settings)
        if not is_main():
            return
        for line in failed:
            complain(line)
        if as_json:
            print_json([as_dict(who, one) for who, several in found.items() for one in several])
        else:
            print_columns(columns(found))
    if failed:
        raise UserError(f"{len(failed)} of {len(found) + len(failed)} could not be scored; see the messages above")


def check_arguments(runs: Sequence[Path] | None, folders: Any, stored: bool, **given: Any) -> None:
    """Raise UserError for arguments that do not go together."""
    if bool(runs) == bool(folders):
        raise UserError(
            "give the folders of runs, or --folders REAL FAKE" if not runs else "give runs or --folders, not both"
        )
    if stored and (folders or any(value is not None for value in given.values())):
        raise UserError("--stored prints scores already computed; leave out --folders and the options of scoring")
    if given["size"] is not None and not folders:
        raise UserError("--size scales the images of --folders; a run's samples have the size it was trained on")
    if given["reading"] is not None and not folders:
        raise UserError("--reading is of the files of --folders; a run's data set reads its own as its parameters say")


def measured(
    runs: Sequence[Path],
    folders: tuple[Path, Path] | None,
    catalog: Catalog,
    wanted: tuple[str | None, dict[str, Any], int | None],
    settings: tuple[str, bool, int | None, Literal["plain", "shown"] | None],
) -> tuple[dict[str, list[Measured]], list[str]]:
    """Who -> what was measured, and a line for each run that could not be."""
    from ganrun.evaluation.provenance import kept
    from ganrun.inference.compare import entries, evaluate_run
    from ganrun.training.located import located

    metrics, options, samples = wanted
    checkpoint, stored, size, reading = settings
    names = (
        list(dict.fromkeys(name.strip() for name in metrics.split(",")))
        if metrics
        else list(EVALUATORS)
        if folders
        else None
    )
    if folders is not None:
        how = (catalog, size, reading or "plain")
        return {str(folders[1]): of_folders(folders, names or [], options, samples, how)}, []
    evaluators = None if names is None else entries(names, catalog, options, samples=samples)
    found: dict[str, list[Measured]] = {}
    failed = []
    for run in dict.fromkeys(runs):
        try:
            found[str(run)] = (
                kept(located(run), catalog)
                if stored
                else evaluate_run(run, evaluators, catalog, checkpoint=checkpoint, options=options, samples=samples)
            )
            if stored and not found[str(run)]:
                raise UserError(f"{run} has no stored scores; leave out --stored to compute them")
        except UserError as error:
            found.pop(str(run), None)
            failed.append(str(error))
    if failed and not found:
        raise UserError("\n".join(failed))
    return found, failed


def of_folders(
    folders: tuple[Path, Path],
    names: Sequence[str],
    options: dict[str, Any],
    samples: int | None,
    how: tuple[Catalog, int | None, Literal["plain", "shown"]],
) -> list[Measured]:
    """What is measured of two folders: on the features that are asked for, else on those of published numbers.

    Where the weights of these are not here and cannot be fetched, on others that need none, which is said.
    """
    from ganrun.inference.compare import entries, evaluate_folders
    from ganrun.recipe.parameters import describe_parameters

    catalog, size, reading = how

    def scored(more: dict[str, str]) -> list[Measured]:
        chosen = entries(names, catalog, more | options, samples=samples)
        return evaluate_folders(*folders, chosen, catalog, side=size, reading=reading)

    on_features = any(
        row.name == "features" for name in names for row in describe_parameters(catalog.load("evaluator", name))
    )
    if "features" in options or not on_features:
        return scored({})
    try:
        return scored(STANDARD)
    except DownloadError as error:
        complain(
            f"the weights of {STANDARD['features']} are not here, so {WITHOUT_WEIGHTS['features']} is taken, whose "
            f"scores compare with each other alone: {str(error).splitlines()[0]}"
        )
        return scored(WITHOUT_WEIGHTS)


def print_columns(found: Sequence[Column]) -> None:
    """A block for each score: what it was measured on, a line for each run, and warnings."""
    from ganrun.evaluation.provenance import few

    for column in found:
        called = next((score.called for score in column.scores.values() if score.called), "")
        print(f"{column.name}{f', which is {called}' if called else ''}")
        for line in conditions(column.provenance):
            print(f"  {line}")
        for line in column.unlike:
            print(f"  not comparable with those above: {line}")
        print_table(
            ("run", "score", "95% interval"),
            [
                (
                    f"    {who}{f' (step {column.steps[who]})' if column.steps[who] else ''}",
                    number(score.value),
                    interval(score),
                )
                for who, score in column.scores.items()
            ],
        )
        short = {few(score, column.provenance) for score in column.scores.values()} - {""}
        for line in sorted(short):
            print(f"  too few: {line}")
        print()


def conditions(provenance: Mapping[str, Any]) -> list[str]:
    """What a score was measured on: how many samples, and each feature extractor with its hash."""
    alike = provenance["alike"]
    against = [
        f"{real['samples']:,}{of(real)} real ones ({split})"
        for split, real in alike["real"].items()
        if "samples" in real
    ]
    made = " and ".join(f"{n:,} samples" for n in alike["samples"])
    if "entry" in alike:
        made += f" of {alike['entry']}"
    if "made_from" in alike:
        made += f", made from {alike['made_from']['samples']:,}{of(alike['made_from'])} real items,"
    found = [made + (f" against {' and '.join(against)}" if against else "")] if alike["samples"] or against else []
    found += [f"real ones ({split}): {words}" for split, words in provenance.get("preparation", {}).items()]
    found += [f"samples: {provenance['read']}"] if "read" in provenance else []
    for name, described in alike["features"].items():
        found.append(
            f"{name} {described['hash'][:8]}"
            + (f": {described['preprocessing']}" if described["preprocessing"] else "")
        )
    return found


def of(some: Mapping[str, Any]) -> str:
    """`` of 1,797``: how many there are, if only some of them were taken."""
    return f" of {some['of']:,}" if "of" in some else ""


def number(value: float) -> str:
    """Four significant digits."""
    return f"{value:.4g}"


def interval(score: Score) -> str:
    """``3.71 to 4.13 (method)``, empty if there is none."""
    if score.low is None or score.high is None or not math.isfinite(score.value):
        return ""
    return f"{number(score.low)} to {number(score.high)} ({score.method})"


def as_dict(who: str, measured: Measured) -> dict[str, Any]:
    """One evaluator's scores for ``--json``."""
    from ganrun.jsonl import plain

    scores = {name: vars(score) for name, score in measured.scores.items()}
    found: dict[str, Any] = plain(
        {"who": who, "evaluator": measured.evaluator, "scores": scores, "provenance": measured.provenance}
    )
    return found
