"""What each score notices: real images, spoilt in one known way after the other, and how every evaluator reacts.

    python benchmarks/notices.py --out notices.jsonl    # digits, three splits: two minutes on one core
    python benchmarks/notices.py --features classifier pixels random-conv --out notices.jsonl
    python benchmarks/notices.py --data mnist --root FOLDER --out notices-mnist.jsonl  # 2,000 in each part

After Xu et al., "An empirical study on evaluation metrics of generative adversarial networks" (2018). Nothing is
trained: the "samples" are real images of one part of the data, scored against a second part (the test split); a third
part (the train split) is what may be memorised. No image is in two parts, all of equally many images, drawn at
random and not class by class: parts with equal shares of the classes would be more alike than a perfect generator's
samples are to data, by as much as the kernel distance is below 0 then.

The split is drawn again for each seed: tables are of the first, and verdicts of all, because one split may be uneven by
bad luck.

Without change the samples are as good as samples can be. Then some of them, or all, are changed: uniform noise in their
place, classes left out, images of the train split in their place, a Gaussian blur, a shift to the right. A score
**notices** a change if its interval at the largest strength has nothing in common with its interval without change.
Where dropped classes leave fewer samples than there were (digits have no others), the comparison is with equally few
samples of all classes instead.

What has been scored is read from --out, so a run that was broken off continues. Delete the file after an evaluator has
changed.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _changed_pictures import CHANGES, SIDE, UNCHANGED, Parts, State, control, made, parts

from ganrun.catalog.catalog import Catalog
from ganrun.data.download import data_cache
from ganrun.errors import UserError
from ganrun.evaluation.evaluation import Evaluation
from ganrun.evaluation.provenance import measure
from ganrun.evaluation.scores import Score
from ganrun.evaluation.sources import Stored
from ganrun.inference.compare import entries
from ganrun.recipe import load_evaluators

DISTANCES = (
    "frechet-distance",
    "kernel-distance",
    "kernel-mmd",
    "wasserstein-distance",
    "precision-recall",
    "density-coverage",
    "one-nearest-neighbour",
    "nearest-neighbours",
    "diversity",
)
# these take class probabilities, which only a classifier has
CLASSIFYING = ("inception-score", "mode-score", "class-share")
PICTURES = ("parzen-likelihood",)  # no features
AGAINST_TRAIN = ("frechet-distance", "one-nearest-neighbour")  # also scored against what may be memorised


# --- scores -----------------------------------------------------------------------------------------------------


def wanted_evaluators(features: Sequence[str], catalog: Catalog) -> list[tuple[str, Any, Any]]:
    """(what is added to the names of its scores, its part, the evaluator), for each features extractor."""
    written: list[tuple[str, Any]] = []
    for name in features:
        names = DISTANCES + (CLASSIFYING if name == "classifier" else ())
        written += [("", entry) for entry in entries(names, catalog, {"features": name})]
        written += [
            (" against train", entry) for entry in entries(AGAINST_TRAIN, catalog, {"features": name, "split": "train"})
        ]
    written += [("", entry) for entry in entries(PICTURES, catalog, {})]
    found = load_evaluators([entry for _, entry in written], catalog=catalog, origin="notices.py")
    return [(suffix, part, part.part.make()) for (suffix, _), part in zip(written, found, strict=True)]


def score(
    of: Parts, state: State, evaluators: Sequence[tuple[str, Any, Any]], kept: Kept, catalog: Catalog
) -> dict[str, Score | str]:
    """Name of each score -> the score of the samples of a state, or why there is none."""
    evaluation: Evaluation | None = None
    found: dict[str, Score | str] = {}
    for suffix, part, evaluator in evaluators:
        key = {"evaluator": part.part.as_recipe(), "change": state[0], "strength": state[1]}
        if kept.find(key) is None:
            if evaluation is None:
                evaluation = Evaluation(Stored(made(of, state), f"{state[0]} {state[1]:g}"), of.split, data_cache())
            started = time.perf_counter()
            try:
                scores = measure(evaluation, part.name, part, evaluator, catalog).scores
                line: dict[str, Any] = {"scores": {name: plain(one) for name, one in scores.items()}}
            except UserError as error:
                line = {"refused": str(error)}
            kept.add(key, line | {"seconds": round(time.perf_counter() - started, 2)})
        line = kept.find(key) or {}
        for name, one in line.get("scores", {}).items():
            found[name + suffix] = Score(**{key: unplain(value) for key, value in one.items()})
        if "refused" in line:
            found[part.name + suffix] = line["refused"]
    return found


def plain(one: Score) -> dict[str, Any]:
    """A score for JSON, which has no infinity."""
    return {
        key: repr(value) if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in vars(one).items()
    }


def unplain(value: Any) -> Any:
    """The inverse, for one value."""
    return float(value) if value in ("inf", "-inf", "nan") else value


class Kept:
    """Lines of a file that belong to these data; without a file they are kept in memory."""

    def __init__(self, path: Path | None, about: Mapping[str, Any]) -> None:
        self.path = path
        self.about = dict(about)
        self.lines: dict[str, dict[str, Any]] = {}
        whole = (
            [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
            if path and path.exists()
            else []
        )
        if path is not None and path.exists():
            path.write_text("".join(whole))  # a line that was broken off is removed
        for line in map(json.loads, whole):
            if line["about"] == self.about:
                self.lines[json.dumps(line["key"])] = line

    def find(self, key: Mapping[str, Any]) -> dict[str, Any] | None:
        """What was kept under a key."""
        return self.lines.get(json.dumps(key))

    def add(self, key: Mapping[str, Any], line: Mapping[str, Any]) -> None:
        """Keep a line."""
        self.lines[json.dumps(key)] = {"about": self.about, "key": key, **line}
        if self.path is not None:
            with self.path.open("a") as file:
                file.write(json.dumps(self.lines[json.dumps(key)]) + "\n")


# --- tables -----------------------------------------------------------------------------------------------------

Found = Mapping[State, Mapping[str, Score | str]]


def apart(one: Score | str | None, other: Score | str | None) -> int | None:
    """-1 or 1 if the interval of one is below or above that of the other, 0 if they meet, None if either has none."""
    if not isinstance(one, Score) or not isinstance(other, Score) or None in (one.low, one.high, other.low, other.high):
        return None
    if math.isnan(one.value) or math.isnan(other.value):
        return None
    return (one.low > other.high) - (one.high < other.low)  # type: ignore[operator]


def verdict(found: Found, name: str, states: Sequence[State], control_of: Callable[[State], State]) -> str:
    """Whether a score notices a change, and from which strength on: ``up from 0.2``."""
    reactions = [(state, apart(found[state].get(name), found[control_of(state)].get(name))) for state in states]
    if any(reaction is None for _, reaction in reactions):
        return "no interval"
    seen = [(state, reaction) for state, reaction in reactions if reaction]
    if not seen:
        return "no"
    (_, strength), reaction = seen[0]
    word = "up" if reaction > 0 else "down"
    if not reactions[-1][1]:
        return f"no ({word} at {strength:g})"
    last = "" if reactions[-1][1] == reaction else f", then {'up' if reaction < 0 else 'down'}"
    return f"{word} from {strength:g}{last}"


def cell(one: Score | str | None) -> str:
    """``0.51 [0.48, 0.54]``."""
    if not isinstance(one, Score):
        return "refused" if one else ""
    return f"{one.value:.3g}" + ("" if one.low is None or one.high is None else f" [{one.low:.3g}, {one.high:.3g}]")


def moving(found: Found) -> tuple[list[str], list[str]]:
    """The scores that differ between states, and those that are about real images alone, and so never do."""
    names = list(dict.fromkeys(name for scores in found.values() for name in scores))
    still = [name for name in names if len({cell(scores.get(name)) for scores in found.values()}) == 1]
    return [name for name in names if name not in still], still


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows))


@dataclass(frozen=True)
class Scored:
    """All scores of one split: state -> name -> score. controls: what each state is compared with."""

    of: Parts
    found: Found
    controls: Mapping[State, State]

    def verdict(self, name: str, change: str) -> str:
        """Whether a score notices a change."""
        return verdict(
            self.found, name, [state for state in self.controls if state[0] == change], self.controls.__getitem__
        )


def score_split(
    of: Parts, changes: Sequence[str], evaluators: Sequence[tuple[str, Any, Any]], kept: Kept, catalog: Catalog
) -> Scored:
    """Score all states of a split."""
    controls = {
        (change, strength): control(of, (change, strength))
        for change in changes
        for strength in CHANGES[change].strengths
    }
    found = {}
    for state in dict.fromkeys([UNCHANGED, *controls.values(), *controls]):
        started = time.perf_counter()
        found[state] = score(of, state, evaluators, kept, catalog)
        print(f"{state[0]} {state[1]:g}: {time.perf_counter() - started:.1f} s", file=sys.stderr, flush=True)
    return Scored(of, found, controls)


def tables(splits: Sequence[Scored], changes: Sequence[str]) -> str:
    """One table a change for the first split, then who notices what on all of them.

    A table has a score a row and a strength a column.
    """
    found, controls, n = splits[0].found, splits[0].controls, splits[0].of.n
    names, still = moving(found)
    few = {name for name in names if isinstance(one := found[UNCHANGED].get(name), Score) and one.enough > n}
    shown = {name: f"{name} \\*" if name in few else name for name in names}
    pieces = []
    for change in changes:
        states = [state for state in controls if state[0] == change]
        columns = [(UNCHANGED, "0"), *((state, f"{state[1]:g}") for state in states)]
        columns += [
            (controls[state], f"0, {controls[state][1]:g} samples") for state in states if controls[state] != UNCHANGED
        ]
        rows = [[shown[name], *(cell(found[state].get(name)) for state, _ in columns)] for name in names]
        pieces += [f"### {change}: {CHANGES[change].unit}", markdown(["score", *(title for _, title in columns)], rows)]
    verdicts = [
        [shown[name], *(agreed([one.verdict(name, change) for one in splits]) for change in changes)] for name in names
    ]
    pieces += ["### Who notices what", markdown(["score", *changes], verdicts)]
    pieces.append(
        f"\\* {n} samples are fewer than this score takes. The same whatever the samples: {', '.join(still) or 'none'}."
    )
    reasons = dict.fromkeys(
        f"{name}: {why}" for scores in found.values() for name, why in scores.items() if isinstance(why, str)
    )
    return "\n\n".join(pieces + list(reasons))


def agreed(verdicts: Sequence[str]) -> str:
    """The verdict of all splits, or that of each."""
    return verdicts[0] if len(set(verdicts)) == 1 else "; ".join(verdicts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=("digits", "mnist"), default="digits")
    parser.add_argument("--root", help="folder of the data's own files, for mnist")
    parser.add_argument("--samples", type=int, help="images in each part; by default 449 of digits, 2,000 of mnist")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="splits into parts")
    parser.add_argument("--features", nargs="+", default=["classifier"])
    parser.add_argument("--changes", nargs="+", choices=list(CHANGES), default=list(CHANGES))
    parser.add_argument("--out", type=Path, help="a file of JSON lines, to which scores are added")
    arguments = parser.parse_args()
    catalog = Catalog()
    evaluators = wanted_evaluators(arguments.features, catalog)
    splits = []
    for seed in arguments.seeds:
        of = parts(arguments.data, arguments.root, arguments.samples, seed)
        kept = Kept(arguments.out, {"data": arguments.data, "side": SIDE, "samples": of.n, "seed": seed})
        splits.append(score_split(of, arguments.changes, evaluators, kept, catalog))
    n = splits[0].of.n
    print(
        f"{arguments.data}, {n} samples of {SIDE} x {SIDE}, {n} images in the test and in the train split; "
        f"{len(splits)} splits.\n"
    )
    print(tables(splits, arguments.changes))


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
