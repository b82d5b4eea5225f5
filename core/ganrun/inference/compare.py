"""Scores of runs, or of folders of pictures, side by side: only like is set beside like."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ganrun.catalog.catalog import Catalog
from ganrun.data.download import data_cache
from ganrun.data.image_folder import FileReading, folder_splits
from ganrun.errors import UserError
from ganrun.evaluation.evaluation import Evaluation
from ganrun.evaluation.feature_store import write_tensors
from ganrun.evaluation.provenance import Measured, differences, keep, measure, named, versions
from ganrun.evaluation.scores import Score
from ganrun.evaluation.sources import Generated, Stored
from ganrun.inference.trained import Trained
from ganrun.recipe import EvaluatorPart, Part, describe_parameters, load_evaluators
from ganrun.training.build import Diagnostic, RefusedError, label
from ganrun.training.located import located
from ganrun.training.opened import recipe_of
from ganrun.words.spaces import Refusal


@dataclass(frozen=True)
class Column:
    """Scores that may be compared: who -> score.

    name: the score's; provenance: of the first; unlike: how it differs from the column before it of this name.

    steps: who -> after how many steps of training.
    """

    name: str
    scores: dict[str, Score]
    provenance: Mapping[str, Any]
    unlike: tuple[str, ...] = ()
    steps: dict[str, int] = field(default_factory=dict)


def entries(
    names: Sequence[str], catalog: Catalog, options: Mapping[str, Any], *, samples: int | None = None
) -> list[dict[str, Any]]:
    """Evaluators by name as a recipe writes them, each with those of the options (``features``, ``split``) that it has.

    Raises:
        UserError: for an option that none of them has.
    """
    found, used = [], set()
    for name in names:
        known = {row.name for row in describe_parameters(catalog.load("evaluator", name))}
        mine = {key: value for key, value in options.items() if key in known}
        used |= set(mine)
        found.append({name: mine | ({} if samples is None else {"samples": samples})})
    for key in options:
        if key not in used:
            raise UserError(
                f"--{key}: none of {', '.join(names)} has this parameter; leave it out, or ask for another metric"
            )
    return found


def evaluate_run(
    folder: Path,
    evaluators: Sequence[Any] | None,
    catalog: Catalog,
    *,
    checkpoint: str = "last",
    device: str = "auto",
    options: Mapping[str, Any] | None = None,
    samples: int | None = None,
) -> list[Measured]:
    """Score a run's checkpoint, and keep the scores with it.

    evaluators: as a recipe writes them; None: the run's own, with those of the options that each has, and on so many
    samples.

    Raises:
        UserError: if there is no such run or checkpoint, or an evaluator cannot score it.
    """
    folder = located(folder)
    if evaluators is None:
        recipe = recipe_of(folder, catalog, {"train.device": device}, to_train=False, to_score=True)
        if not recipe.evaluators:
            raise UserError(f"{folder}: its recipe has no evaluators; name some with --metrics")
        changes = entries([part.name for part in recipe.evaluators], catalog, options or {}, samples=samples)
        changed = [
            {part.name: part.as_recipe()[part.name] | change[part.name]}
            for part, change in zip(recipe.evaluators, changes)
        ]
        recipe = dataclasses.replace(
            recipe, evaluators=load_evaluators(changed, catalog=catalog, origin=f"{folder}/recipe.yaml")
        )
    else:
        parts = load_evaluators(evaluators, catalog=catalog, origin="--metrics")
        recipe = dataclasses.replace(
            recipe_of(folder, catalog, {"train.device": device}, to_train=False), evaluators=parts
        )
    try:
        trained = Trained(folder, recipe, checkpoint)
    except RefusedError as error:
        raise _unscored(folder, error.refusals) from error
    processes = trained.experiment.processes
    source = Generated(trained.sample_maker, trained.dataset, recipe.train.seed)
    evaluation = Evaluation(
        source,
        trained.dataset,
        data_cache(),
        seed=recipe.train.seed,
        folder=folder,
        base=recipe.base,
        processes=processes,
    )
    evaluation.step = trained.step
    with evaluation.together() as leading:
        pairs = list(zip(recipe.evaluators, trained.experiment.evaluators))
        return list(_measured(evaluation, pairs, catalog, folder)) if leading else []


def evaluate_folders(
    real: Path,
    fake: Path,
    evaluators: Sequence[Any],
    catalog: Catalog,
    *,
    side: int | None = None,
    reading: FileReading = "plain",
) -> list[Measured]:
    """Score the pictures of a folder against those of another.

    reading: see :class:`PictureFolder`.

    Raises:
        UserError: for folders that cannot be read or compared, or an evaluator that needs a generator.
    """
    with warnings.catch_warnings(action="ignore"):  # they come when the folders are opened for good
        opened = [folder_splits(path, side=side, reading=reading)("test") for path in (real, fake)]
    channels = max(data.spaces["x"].shape[0] for data in opened)
    truth = folder_splits(real, side=side, channels=channels, reading=reading)
    made = folder_splits(fake, side=side, channels=channels, reading=reading)("test")
    if truth("test").spaces != made.spaces:
        shapes = [str(data.spaces["x"].shape) for data in (truth("test"), made)]
        raise UserError(f"{real} holds images of shape {shapes[0]}, {fake} of {shapes[1]}; add --size N to scale both")
    evaluation = Evaluation(Stored(made, str(fake)), truth, data_cache(), data={"folder": str(real)})
    pairs: list[tuple[EvaluatorPart, Any]] = []
    for part in load_evaluators(evaluators, catalog=catalog, origin="--metrics"):
        try:
            pairs.append((part, part.part.make()))
        except Refusal as refusal:
            raise _unscored(fake, [Diagnostic(label(part.part), *refusal.reason)]) from refusal
    return list(_measured(evaluation, pairs, catalog, None))


def write_reference(
    path: Path, features: Part, source: Stored, evaluation: Evaluation, split: str, n: int | None, catalog: Catalog
) -> int:
    """Write mean and covariance of real features to a file that stands for the real samples.

    Returns how many samples it holds.
    """
    name = evaluation.output
    found = evaluation.statistics_of(features, name, split, n)
    extract = evaluation.features(features, name)
    about = {
        "extractor": extract.fingerprint(),
        "shape": list(source.spaces[name].shape),
        "split": split,
        "rows": found.count,
        "of": len(evaluation.dataset(split)),
        "data": evaluation.hash_of(evaluation.dataset(split)),
        "features": features.as_recipe(),
        "preprocessing": getattr(extract, "preprocessing", ""),
        "preparation": getattr(evaluation.dataset(split), "preparation", ""),
        "departs": getattr(evaluation.dataset(split), "departs", False),
        "versions": versions(features, catalog),
    }
    write_tensors(path, found.tensors(), about)
    return found.count


def columns(measured: Mapping[str, Iterable[Measured]]) -> list[Column]:
    """Who -> what was measured, as columns.

    Unlike scores of one name get columns of their own, which say what differs.
    """
    found: dict[tuple[str, str], Column] = {}
    for who, several in measured.items():
        for one in several:
            for name, score in one.scores.items():
                key = (name, one.kind)
                if key not in found:
                    before = next((column for (other, _), column in found.items() if other == name), None)
                    unlike = () if before is None else unlike_in(before.provenance, one.provenance)
                    found[key] = Column(name, {}, one.provenance, unlike)
                found[key].scores[who] = score
                found[key].steps[who] = one.provenance["step"]
    return sorted(found.values(), key=lambda column: list(dict.fromkeys(name for name, _ in found)).index(column.name))


def unlike_in(one: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[str, ...]:
    """Where two provenances differ in what must agree, in words; of unlike data also in which parameters, if known."""
    found = differences(one["alike"], other["alike"])
    if any(line.startswith("real.") and ".data: " in line for line in found):
        found += differences(one.get("data", {}), other.get("data", {}), "data.")
    return tuple(found)


def _unscored(what: Any, refusals: Sequence[Diagnostic]) -> UserError:
    """Why there is no score: what evaluators refuse, said of samples and not of a recipe to train."""
    return UserError(f"{what} cannot be scored in this way:\n  " + "\n  ".join(map(str, refusals)))


def _measured(
    evaluation: Evaluation, pairs: Sequence[tuple[EvaluatorPart, Any]], catalog: Catalog, folder: Path | None
) -> Iterator[Measured]:
    evaluation.evaluators = [evaluator for _, evaluator in pairs]
    for name, part, evaluator in named(pairs):
        try:
            found = measure(evaluation, name, part, evaluator, catalog)
        except Refusal as refusal:
            raise _unscored(
                folder or evaluation.source.describe().get("folder", ""),
                [Diagnostic(f"evaluator {name}", *refusal.reason)],
            ) from refusal
        if folder is not None:
            try:
                keep(folder, found)
            except OSError as error:
                warnings.warn(f"{folder}: the scores cannot be kept there ({error.strerror or error})", stacklevel=2)
        yield found
