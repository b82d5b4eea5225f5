"""Trains a run again from its folder, and holds every checkpoint that it kept against the new one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ganrun.catalog.catalog import Catalog
from ganrun.errors import UserError
from ganrun.recipe import Recipe
from ganrun.training import checkpoint
from ganrun.training.changed import made_otherwise
from ganrun.training.run import Run
from ganrun.training.start import train
from ganrun.training.versions import read_versions, versions_of
from ganrun.words.hooks import hookimpl

# How a state was made, not what it is: named before training, as far as it differs.
HOW = ("threads", "world", "steps")


class Comparison:
    """Listens to the new run: has it save where the old one did, and compares each checkpoint before it is pruned.

    compared: step -> how its checkpoints differ, empty if they do not, of those that were reached. made_otherwise: what
    differs in how the two runs are made.
    """

    def __init__(self, folder: Path) -> None:
        self.compared: dict[int, str] = {}
        self.made_otherwise: list[str] = []
        self._versions = read_versions(folder)
        self._kept = dict(checkpoint.listing(folder / "checkpoints"))
        if not self._kept:
            raise UserError(f"{folder} holds no checkpoint to compare with")

    @property
    def steps(self) -> list[int]:
        """The steps to compare, oldest first."""
        return sorted(self._kept)

    @property
    def missing(self) -> list[int]:
        """The steps that were not compared."""
        return [step for step in self.steps if step not in self.compared]

    def check_processes(self) -> None:
        """Raise UserError if another number of processes trained the old run: a step of it has another batch."""
        here = int(os.environ.get("WORLD_SIZE", "1"))
        then = self._versions.get("processes", here)
        if then != here:
            start = "ganrun" if then == 1 else f"torchrun --nproc_per_node {then} -m ganrun"
            raise UserError(f"{then} process(es) trained that run, and here are {here}; use: {start} reproduce ...")

    @hookimpl(tryfirst=True)
    def run_start(self, run: Run) -> None:
        if not run.is_main:
            return
        then = [
            f"resumed at step {e['step']} with {'; '.join(e['changed'])}" for e in self._versions.get("resumed", ())
        ]
        self.made_otherwise = [*then, *made_otherwise(self._versions, versions_of(run))]
        for line in self.made_otherwise:
            print(f"made otherwise: {line}", flush=True)
        for step in set(run.checkpoints.steps()) & self._kept.keys() if run.resumed_from is not None else ():
            assert run.folder is not None
            self._compare(step, dict(checkpoint.listing(run.folder / "checkpoints"))[step])

    @hookimpl
    def step_end(self, run: Run) -> None:
        if run.step in self._kept:
            run.save()

    @hookimpl(tryfirst=True)
    def checkpoint(self, run: Run, path: Path | None) -> None:
        if run.step in self._kept and path is not None:
            self._compare(run.step, path)
            if run.step == self.steps[-1] < run.steps and run.step in self.compared:
                run.stop("the last checkpoint is compared")

    def _compare(self, step: int, path: Path) -> None:
        """Compare one checkpoint, unless the old run went back from that step later: then the new one will, too."""
        try:
            (_, kept), (_, made) = checkpoint.read(self._kept[step]), checkpoint.read(path)
        except checkpoint.CheckpointError as error:
            self.compared[step] = str(error)
        else:
            if kept.get("attempt") != made["attempt"]:
                return
            self.compared[step] = difference(kept, made)
        print(f"step {step}: {self.compared[step] or 'equal'}", flush=True)


def reproduce(
    folder: Path, recipe: Recipe, catalog: Catalog, output: Path, *, resume: bool = False, overwrite: bool = False
) -> tuple[Run, Comparison]:
    """Train the run in a folder again, in ``output``, up to its last checkpoint, and compare.

    recipe: that of the folder, :func:`ganrun.inference.trained.recipe_of`.

    Raises:
        UserError: if the folder holds no checkpoint, or another number of processes trained it.
    """
    comparison = Comparison(folder)
    comparison.check_processes()
    run = train(recipe, catalog, output, resume=resume, overwrite=overwrite, watch=[comparison])
    return run, comparison


def difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """How two states of a run differ, in words; empty if they hold the same bits."""
    tensors: tuple[dict[str, Tensor], dict[str, Tensor]] = ({}, {})
    trees = [
        checkpoint.flatten({key: value for key, value in state.items() if key not in HOW}, found)
        for state, found in zip((one, other), tensors)
    ]
    return _of_tensors(*tensors) or ("" if trees[0] == trees[1] else f"differs in {_first(trees[0], trees[1])}")


def _of_tensors(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> str:
    """How tensors by name differ, in words; empty if they are the same bits (NaN equals NaN)."""
    if one.keys() != other.keys():
        return f"only one of them has {min(one.keys() ^ other.keys()).lstrip('/')}"
    wrong = [name for name in one if not _same(one[name], other[name])]
    if not wrong:
        return ""
    first = wrong[0]
    if one[first].shape != other[first].shape:
        how = f"has the shape {list(one[first].shape)} and {list(other[first].shape)}"
    else:
        how = f"by up to {(one[first].double() - other[first].double()).abs().max().item():.3g}"
    return f"{len(wrong)} of {len(one)} tensors differ, the first is {first.lstrip('/')}, {how}"


def _same(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return torch.equal(one, other) or bool(((one == other) | ((one != one) & (other != other))).all())


def _first(one: Any, other: Any, path: str = "") -> str:
    """The first place at which two trees of plain values differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted({*one, *other}, key=str):
            if one.get(key) != other.get(key):
                return _first(one.get(key), other.get(key), f"{path}.{key}" if path else str(key))
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        place = next(place for place, (a, b) in enumerate(zip(one, other)) if a != b)
        return _first(one[place], other[place], f"{path}.{place}" if path else str(place))
    return f"{path}: {one!r:.60} and {other!r:.60}"
