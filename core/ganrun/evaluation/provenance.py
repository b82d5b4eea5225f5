"""Running evaluators: when they are due, what their scores are called, and where each score is from."""

from __future__ import annotations

import json
import math
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganrun import jsonl
from ganrun.engine.boundaries import check_mapping, shown
from ganrun.errors import PluginError, UserError, WrongResult
from ganrun.evaluation.evaluation import Evaluation
from ganrun.evaluation.features import levels
from ganrun.evaluation.requested import Requested
from ganrun.evaluation.scores import Score
from ganrun.recipe import EvaluatorPart, Part
from ganrun.recipe.parameters import former_names

if TYPE_CHECKING:
    from ganrun.catalog.catalog import Catalog

FILE = "evaluations.jsonl"  # in a run's folder: one line an evaluator, with the provenance of its scores


@dataclass(frozen=True)
class Measured:
    """One evaluator at one moment: name of each score -> the score, and the provenance they share."""

    evaluator: str
    scores: dict[str, Score]
    provenance: dict[str, Any]

    @property
    def kind(self) -> str:
        """Equal for scores that may stand in one column: what was measured, on which data, how, on how many samples."""
        return json.dumps(self.provenance["alike"], sort_keys=True)


def named(evaluators: Iterable[tuple[EvaluatorPart, Any]]) -> Iterator[tuple[str, EvaluatorPart, Any]]:
    """Evaluators with the names of their scores: the second of a name is NAME-2."""
    seen: Counter[str] = Counter()
    for part, evaluator in evaluators:
        seen[part.name] += 1
        yield part.name if seen[part.name] == 1 else f"{part.name}-{seen[part.name]}", part, evaluator


def measure(evaluation: Evaluation, name: str, part: EvaluatorPart, evaluator: Any, catalog: Catalog) -> Measured:
    """Run one evaluator, and note where its scores are from."""
    evaluation.evaluator, evaluation.samples, evaluation.requested = name, part.samples, Requested()
    with evaluation.source.settings():
        found: Mapping[str, Any] = evaluator.evaluate(evaluation)
    check_mapping(evaluator, "evaluate", found, "key -> number or Score")
    scores = {joined(name, key): _score(evaluator, key, value) for key, value in found.items()}
    return Measured(name, scores, provenance(evaluation, part.part, catalog))


def _score(evaluator: Any, key: str, value: Any) -> Score:
    """What an evaluator gave for a key, as a Score. Raises WrongResult for what is no number."""
    try:
        return value if isinstance(value, Score) else Score(float(value))
    except (TypeError, ValueError, RuntimeError) as error:  # torch's, of a tensor of several numbers
        raise WrongResult(evaluator, "evaluate", f"a number or a Score as {key!r}", shown(value)) from error


def joined(name: str, key: str) -> str:
    """The name of a score: ``NAME[features].key`` or ``NAME.key``."""
    return name + key if not key or key.startswith("[") else f"{name}.{key}"


# --- where a score is from --------------------------------------------------------------------------------------


def provenance(evaluation: Evaluation, part: Part, catalog: Catalog) -> dict[str, Any]:
    """Everything that decided an evaluator's scores.

    ``alike`` is the part that must agree where scores are compared.
    """
    requested = evaluation.requested
    space = evaluation.spaces[evaluation.output]
    alike: dict[str, Any] = {
        "evaluator": _recorded(part.component.factory, part.as_recipe(), space.shape),
        "features": requested.features,
        "samples": sorted(requested.fakes),
        "quantisation": levels(evaluation.source, evaluation.output),
        "shape": list(space.shape),
        "real": requested.real or _data(evaluation),
    }
    if sum(other.kind == space.kind for other in evaluation.spaces.values()) > 1:
        alike["entry"] = evaluation.output  # a translation, of which there is one the other way round
    if made_from := requested.made_from():
        alike["made_from"] = made_from
    return {
        "alike": alike,
        "step": evaluation.step,
        "data": evaluation.data,
        "preparation": requested.preparation(),
        **evaluation.source.describe(),
        "versions": versions(part, catalog),
    }


def _recorded(factory: Any, part: Mapping[str, Any], shape: Sequence[int]) -> dict[str, Any]:
    """An evaluator as a recipe writes it; if it has ``as_recorded``, with one set of parameters for like scores."""
    if not hasattr(factory, "as_recorded"):
        return dict(part)
    return {name: factory.as_recorded(parameters, shape) for name, parameters in part.items()}


def _data(evaluation: Evaluation) -> dict[str, dict[str, Any]]:
    """What scores that asked for no real samples are about: the data of the test split, or of the only one there is."""
    for split in ("test", "train"):
        try:
            return {split: {"data": evaluation.mark_of(split)}}
        except UserError:
            continue
    return {}


def versions(part: Part, catalog: Catalog) -> dict[str, str]:
    """Versions of what computed a score: the libraries, and the distributions of the plugins."""
    found = {name: metadata.version(name) for name in ("ganrun", "torch", "torchvision", "numpy")}
    for inner in (part, *(value for value in part.parameters.values() if isinstance(value, Part))):
        about = catalog.provenance(inner.kind, inner.name)
        found[f"{inner.kind}.{inner.name}"] = str(about.get("version") or about.get("sha256") or "")
    return found


def differences(one: Mapping[str, Any], other: Mapping[str, Any], path: str = "") -> list[str]:
    """Where two provenances differ, in words: ``samples: 898, and 500``."""
    found = []
    for key in sorted({*one, *other}):
        here, there, place = one.get(key), other.get(key), f"{path}{key}"
        if isinstance(here, Mapping) and isinstance(there, Mapping):
            found += differences(here, there, f"{place}.")
        elif here != there:
            found.append(f"{place}: {json.dumps(here)}, and {json.dumps(there)}")
    return found


def few(score: Score, provenance: Mapping[str, Any]) -> str:
    """A word for a score of fewer samples than it takes, made or real.

    Empty if there are enough, or it is not known how many it takes.
    """
    alike = provenance["alike"]
    real = max((real["samples"] for real in alike["real"].values() if "samples" in real), default=score.enough)
    least = min([*alike["samples"], real])
    return f"{least:,} samples, where this score takes {score.enough:,}" if least < score.enough else ""


def keep(folder: Path, measured: Measured) -> None:
    """Add an evaluator's scores and their provenance to a run's folder."""
    scores = {name: _written(score) for name, score in measured.scores.items()}
    line = {
        "step": measured.provenance["step"],
        "time": round(time.time(), 2),
        "evaluator": measured.evaluator,
        "scores": scores,
    }
    jsonl.append(folder / FILE, line | {"provenance": measured.provenance})


def kept(folder: Path, catalog: Catalog) -> list[Measured]:
    """The scores of the latest step that a run's folder holds, under the names that they have now.

    For each evaluator and each way it was asked: features, numbers of samples. Warns of lines that are left out.

    Raises UserError if the file cannot be read.
    """
    newest: dict[tuple[str, str], Measured] = {}
    try:
        lines = jsonl.read(folder / FILE)
    except OSError as error:
        raise UserError(f"{folder / FILE}: cannot be read: {error.strerror or error}") from error
    read = [found for line in lines if (found := _read(line)) is not None]
    if len(read) < len(lines):
        warnings.warn(
            f"{folder / FILE}: {len(lines) - len(read)} of {len(lines)} lines are left out: they are damaged, or "
            "another version wrote them in another way",
            stacklevel=2,
        )
    for found in read:
        found = _under_new_names(found, catalog)
        before = newest.get((found.evaluator, found.kind))
        # an older checkpoint may have been scored since
        if before is None or before.provenance["step"] <= found.provenance["step"]:
            newest[found.evaluator, found.kind] = found
    return list(newest.values())


def _read(line: Mapping[str, Any]) -> Measured | None:
    """What :func:`keep` wrote, None for a line that another version wrote in another way."""
    try:
        scores = {
            name: Score(**{key: _number(value) for key, value in score.items()})
            for name, score in line["scores"].items()
        }
        found = Measured(line["evaluator"], scores, line["provenance"] | {"step": line["step"]})
        return found if isinstance(found.evaluator, str) and _is_whole(found) else None
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _is_whole(measured: Measured) -> bool:
    """Whether what was read holds what is shown of a score, in the types that it has.

    Raises AttributeError, KeyError, TypeError or ValueError if it has another shape.
    """
    alike = measured.provenance["alike"]
    ((name, parameters),) = alike["evaluator"].items()
    described = [(found["hash"], found["preprocessing"]) for found in alike["features"].values()]
    numbers = [number for s in measured.scores.values() for number in (s.value, *_bounds(s))]
    counts = [*alike["samples"], *(real["samples"] for real in alike["real"].values() if "samples" in real)]
    counts += [score.enough for score in measured.scores.values()]
    texts = [name, *(text for pair in described for text in pair)]
    texts += [text for score in measured.scores.values() for text in (score.method, score.called)]
    texts += [text for pair in measured.provenance.get("preparation", {}).items() for text in pair]
    return (
        isinstance(parameters, dict)
        and all(isinstance(text, str) for text in texts)
        and all(type(count) is int for count in counts)
        and all(isinstance(number, int | float) for number in numbers)
    )


def _bounds(score: Score) -> list[Any]:
    """The ends of a score's interval, none if it has none."""
    return [bound for bound in (score.low, score.high) if bound is not None]


def _under_new_names(measured: Measured, catalog: Catalog) -> Measured:
    """With new names for parameters and scores that an installed evaluator has renamed since."""
    ((name, parameters),) = measured.provenance["alike"]["evaluator"].items()
    if name not in catalog.names("evaluator"):
        return measured
    try:
        factory = catalog.load("evaluator", name).factory
        now = former_names(factory)
    except PluginError:  # a broken one keeps no score from being read
        return measured
    alike = measured.provenance["alike"]
    part = _recorded(factory, {name: {now.get(k, k): v for k, v in parameters.items()}}, alike.get("shape", ()))
    names = {key: _renamed(key, now) for key in measured.scores}
    if hasattr(factory, "names_now"):
        changed = factory.names_now(names.values(), part[name])
        names = {key: changed.get(new, new) for key, new in names.items()}
    scores = {names[key]: score for key, score in measured.scores.items()}
    provenance = measured.provenance | {"alike": alike | {"evaluator": part}}
    return replace(measured, scores=scores, provenance=provenance)


def _renamed(key: str, now: Mapping[str, str]) -> str:
    """The name of a score that ends in a former name of a parameter."""
    front, dot, last = key.rpartition(".")
    return f"{front}{dot}{now.get(last, last)}"


def _written(score: Score) -> dict[str, Any]:
    """A score without its defaults. JSON has no infinity and no NaN: they are written as words."""
    given = {key: value for key, value in vars(score).items() if value != getattr(Score, key, None)}
    return {
        key: repr(value) if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in given.items()
    }


def _number(value: Any) -> Any:
    return float(value) if value in ("inf", "-inf", "nan") else value
