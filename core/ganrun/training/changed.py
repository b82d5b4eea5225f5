"""What changed since a run was last started: its length, and what is measured in it; the data; the threads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ganrun.catalog.catalog import Catalog
from ganrun.errors import UserError
from ganrun.recipe import Part, Recipe, diff, load_recipe
from ganrun.recipe.nodes import to_plain
from ganrun.schedule import Clock, Duration, Scheduled
from ganrun.training.build import clock_of
from ganrun.training.versions import read_versions, versions_of

if TYPE_CHECKING:
    from ganrun.training.run import Run


@dataclass(frozen=True)
class LastStart:
    """A run as it was last started: its recipe, and what ``versions.json`` held."""

    recipe: Recipe
    versions: Mapping[str, Any]

    @property
    def data(self) -> Mapping[str, Any]:
        """What was kept of the training data; earlier versions kept less."""
        found: Mapping[str, Any] = self.versions.get("data") or {}
        return found

    def clock(self, now: Clock) -> Clock:
        """What durations were measured against then. What was not kept is as it is now."""
        train, processes = self.recipe.train, self.versions.get("processes", 1)
        return clock_of(
            self.recipe, train.batch_size * train.accumulate * processes, self.data.get("items", now.dataset)
        )


def last_start(folder: Path, catalog: Catalog) -> LastStart | None:
    """How the run in a folder was last started.

    None if its recipe cannot be read here, such as one of a plugin that is gone.
    """
    try:
        recipe = load_recipe(folder / "recipe.yaml", catalog=catalog)
        versions = read_versions(folder)
    except UserError:
        return None
    return LastStart(recipe, versions)


def keeping_percentages(recipe: Recipe, started: LastStart) -> Recipe:
    """The recipe of a resumed run, with percentages of the length that they were of, unless it says what they are of.

    Else a longer run would stretch its schedules, and a rate would jump at the step from which it continues.
    """
    train, old = recipe.train, started.recipe.train
    kept = old.steps if old.percent_of is None else old.percent_of
    if train.percent_of is not None or (old.percent_of is None and train.steps == old.steps):
        return recipe
    resolved = {**recipe.resolved, "train": {**recipe.resolved["train"], "percent_of": to_plain(kept)}}
    return replace(recipe, train=train.model_copy(update={"percent_of": kept}), resolved=resolved)


def changed_lengths(started: LastStart, run: Run) -> list[str]:
    """What a run's new length changes: whose percentages are kept, and the value before and after of what is scheduled.

    Empty if its clock is that of before.
    """
    now = run.experiment.clock
    old = started.clock(now)
    if old == now or run.step == 0:
        return []
    then, full = _percent(old), _percent(now)
    lines = [f"train.steps: {old.total} before, {now.total} now"] if old.total != now.total else []
    if then != full:
        lines.append(f"percentages are of {full} steps now, of {then} before (train.percent_of)")
    elif full != now.total:
        lines.append(
            f"percentages stay those of {full} steps (train.percent_of): what ends at 100% keeps its last value, "
            f"which --set train.percent_of={now.total} changes"
        )
    return lines + [
        f"  {name}: {line}" for name, value in scheduled(run.recipe) if (line := _changed(value, old, now, run))
    ]


def _changed(value: Scheduled | Duration, old: Clock, now: Clock, run: Run) -> str:
    """What another clock makes of a value, empty if it makes nothing of it."""
    if isinstance(value, Duration):
        if value.unit == "minutes" or value.whole_steps(old) == value.whole_steps(now):
            return ""
        return f"{value} is {value.whole_steps(now)} steps, and was {value.whole_steps(old)}"
    done, last = run.step, now.total - 1
    clocks = (old, now, replace(now, percent_of=None))
    if all(len({value.at(step, clock) for clock in clocks}) == 1 for step in (done, last)):
        return ""
    before, following, end = value.at(done - 1, old), value.at(done, now), value.at(last, now)
    return f"{before:.4g} in step {done}; {following:.4g} in step {done + 1}, {end:.4g} in step {now.total}"


def changed_since(started: LastStart, run: Run) -> list[str]:
    """All that may have changed the bits of a run from here on, in words: the recipe, and how it is made.

    A longer run is no change while percentages are of what they were of.
    """
    now = run.experiment.clock
    lengths = {"train.steps"} | ({"train.percent_of"} if _percent(started.clock(now)) == _percent(now) else set())
    changes = diff(started.recipe.resolved, run.recipe.resolved)
    return [
        *(str(change) for change in changes if change.path not in lengths),
        *made_otherwise(started.versions, versions_of(run)),
    ]


def changed_threads(folder: Path) -> str:
    """Whether the run in a folder was trained with another number of threads, in words; empty if it was not."""
    try:
        then = read_versions(folder).get("threads")
    except UserError:
        return ""
    return threads_differ(then, torch.get_num_threads())


def threads_differ(then: int | None, now: int) -> str:
    """That sums round otherwise with another number of threads; empty if it is the same, or was not kept."""
    return "" if then in (None, now) else f"threads: {then} before, {now} now: sums may round otherwise"


def changed_data(started: LastStart, run: Run) -> str:
    """How the training data differ from those of before; empty if they do not, as far as was kept."""
    kept, items, found = started.data, len(run.experiment.dataset), []
    if kept.get("items", items) != items:
        found.append(f"{kept['items']} items then, {items} now")
    mark = run.evaluation.hash_of(run.experiment.dataset)
    if mark and kept.get("fingerprint", mark) != mark:
        found.append(f"fingerprint {str(kept['fingerprint'])[:12]} then, {mark[:12]} now")
    return "; ".join(found)


def scheduled(recipe: Recipe) -> Iterator[tuple[str, Scheduled | Duration]]:
    """Every schedule and duration of a recipe's parts, with its place."""
    for part in recipe.parts():
        yield from _within(part.parameters, part.path)
    yield "checkpoint.every", recipe.checkpoint.every
    for number, evaluator in enumerate(recipe.evaluators):
        if evaluator.every is not None:
            yield f"evaluators.{number}.{evaluator.name}.every", evaluator.every


def _within(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[str, Scheduled | Duration]]:
    if isinstance(value, Scheduled | Duration):
        yield ".".join(map(str, path)), value
    elif isinstance(value, Mapping | list | tuple):
        items = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, inner in items:
            if not isinstance(inner, Part):  # Recipe.parts() has those inside others
                yield from _within(inner, (*path, key))


def _percent(clock: Clock) -> int:
    return clock.total if clock.percent_of is None else clock.percent_of


def made_otherwise(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two contents of ``versions.json`` and may change bits: ``threads: 2 then, 1 now``.

    What one of them does not say is passed over.
    """
    found = []
    for key in ("threads", "processes", "device", "processor", "system", "python", "draws"):
        if key in then and key in now and then[key] != now[key]:
            found.append(f"{key}: {then[key]} then, {now[key]} now")
    for name, version in then.get("libraries", {}).items():
        if version != now["libraries"].get(name, version):
            found.append(f"{name}: {version} then, {now['libraries'][name]} now")
    for name, before in then.get("plugins", {}).items():
        after = now["plugins"].get(name, before)
        for key in ("version", "sha256"):
            if before.get(key) != after.get(key):
                found.append(f"{name}: {key} {str(before.get(key))[:12]} then, {str(after.get(key))[:12]} now")
    for key in ("items", "fingerprint"):
        before, after = (then.get("data") or {}).get(key), now["data"].get(key)
        if before and after and before != after:
            found.append(f"data: {key} {str(before)[:12]} then, {str(after)[:12]} now")
    return found
