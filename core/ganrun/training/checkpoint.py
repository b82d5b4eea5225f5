"""Checkpoints: atomic, verified when read, and without pickle (safetensors and JSON).

A checkpoint is a folder ``step-0001000`` with ``tensors.safetensors``, ``state.json`` and ``manifest.json``, which
holds size and SHA-256 of the others and is written last. The folder gets its name only when all of it is on disk.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ganrun.engine.boundaries import shown
from ganrun.errors import UserError

_FORMAT = 1
FILES = ("tensors.safetensors", "state.json")


class CheckpointError(UserError):
    """A checkpoint that is missing, damaged, or of another experiment."""


def flatten(tree: Any, tensors: dict[str, Tensor], path: str = "") -> Any:
    """A JSON-ready copy of a tree of dicts, lists, tuples, tensors and plain values; tensors go to ``tensors``.

    Raises:
        TypeError: for a value of any other type, naming its place.
    """
    if isinstance(tree, Tensor):
        # safetensors takes contiguous tensors that share no storage
        tensors[path] = tree.detach().to("cpu", copy=True).contiguous()
        return {"$tensor": path}
    if isinstance(tree, dict):
        items = [[key, flatten(value, tensors, f"{path}/{key}")] for key, value in tree.items()]
        plain = all(isinstance(key, str) and not key.startswith("$") for key in tree)
        return dict(items) if plain else {"$items": [[flatten(key, {}), value] for key, value in items]}
    if isinstance(tree, list | tuple):
        entries = [flatten(value, tensors, f"{path}/{i}") for i, value in enumerate(tree)]
        return entries if isinstance(tree, list) else {"$tuple": entries}
    if isinstance(tree, float) and not math.isfinite(tree):
        return {"$float": repr(tree)}
    if tree is None or isinstance(tree, bool | int | float | str):
        return tree
    raise TypeError(
        f"{path or 'the state'} holds a {type(tree).__name__}, which a checkpoint cannot keep; "
        "use tensors, numbers and strings"
    )


def unsavable(tree: Any, path: str = "") -> str:
    """The first value of a tree that :func:`flatten` would refuse, with its place; empty if it takes all of them."""
    if isinstance(tree, dict | list | tuple):
        items = tree.items() if isinstance(tree, dict) else enumerate(tree)
        return next(filter(None, (unsavable(value, f"{path}[{key!r}]") for key, value in items)), "")
    if tree is None or isinstance(tree, Tensor | bool | int | float | str):
        return ""
    return f"{shown(tree)} at {path or 'its top'}"


def unflatten(tree: Any, tensors: dict[str, Tensor]) -> Any:
    """The inverse of :func:`flatten`."""
    if isinstance(tree, list):
        return [unflatten(value, tensors) for value in tree]
    if not isinstance(tree, dict):
        return tree
    if "$tensor" in tree:
        return tensors[tree["$tensor"]]
    if "$tuple" in tree:
        return tuple(unflatten(value, tensors) for value in tree["$tuple"])
    if "$items" in tree:
        return {unflatten(key, tensors): unflatten(value, tensors) for key, value in tree["$items"]}
    if "$float" in tree:
        return float(tree["$float"])
    return {key: unflatten(value, tensors) for key, value in tree.items()}


def write(folder: Path, step: int, state: dict[str, Any]) -> Path:
    """Write a checkpoint of ``step`` into ``folder`` and return its path. It is there wholly, or not at all."""
    final = folder / f"step-{step:07d}"
    temporary = folder / f".writing-{step:07d}"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    tensors: dict[str, Tensor] = {}
    tree = flatten(state, tensors)
    save_file(tensors, temporary / FILES[0])
    (temporary / FILES[1]).write_text(json.dumps(tree, allow_nan=False))
    manifest = {"format": _FORMAT, "step": step, "files": {name: _fingerprint(temporary / name) for name in FILES}}
    (temporary / "manifest.json").write_text(json.dumps(manifest, indent=1))
    for name in (*FILES, "manifest.json"):
        _sync(temporary / name)
    _sync(temporary)
    aside = folder / f".replaced-{step:07d}"
    if final.exists():
        shutil.rmtree(aside, ignore_errors=True)
        os.replace(final, aside)
    os.replace(temporary, final)
    _sync(folder)
    shutil.rmtree(aside, ignore_errors=True)
    return final


def recover(folder: Path) -> None:
    """Put back checkpoints that were about to be replaced when the process was killed."""
    for aside in folder.glob(".replaced-*"):
        final = folder / f"step-{aside.name.removeprefix('.replaced-')}"
        if final.exists():
            shutil.rmtree(aside)
        else:
            os.replace(aside, final)


def read(path: Path) -> tuple[int, dict[str, Any]]:
    """The step and the state of a checkpoint.

    Raises:
        CheckpointError: if a file is missing or is not what was written.
    """
    manifest = verify(path)
    try:
        tensors = load_file(path / FILES[0])
        return manifest["step"], unflatten(json.loads((path / FILES[1]).read_text()), tensors)
    except (OSError, KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path} is not a whole checkpoint ({error})") from error


def verify(path: Path) -> dict[str, Any]:
    """The manifest of a checkpoint, whose files are read and compared with it, but not loaded.

    Raises:
        CheckpointError: if a file is missing or is not what was written.
    """
    try:
        manifest: dict[str, Any] = json.loads((path / "manifest.json").read_text())
        expected = manifest["files"]
        if manifest["format"] != _FORMAT:
            raise CheckpointError(
                f"{path} has checkpoint format {manifest['format']}, but this ganrun reads format {_FORMAT}"
            )
        for name in FILES:
            if _fingerprint(path / name) != expected[name]:
                raise CheckpointError(f"{path / name} is damaged: its size or SHA-256 is not what was written")
        return manifest
    except (OSError, KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path} is not a whole checkpoint ({error})") from error


def listing(folder: Path) -> list[tuple[int, Path]]:
    """(step, path) of every checkpoint in a folder, oldest first. Unfinished ones are not listed."""
    found = []
    for path in folder.glob("step-*"):
        number = path.name.removeprefix("step-")
        if number.isdigit() and path.is_dir():
            found.append((int(number), path))
    return sorted(found)


def newest_intact(folder: Path) -> tuple[Path, int, dict[str, Any], list[str]]:
    """Path, step and state of the newest checkpoint that can be read, and a line for each newer one that cannot.

    Raises:
        CheckpointError: if there is none.
    """
    damaged: list[str] = []
    for _, path in reversed(listing(folder)):
        try:
            return path, *read(path), damaged
        except CheckpointError as error:
            damaged.append(str(error))
    raise CheckpointError(
        "\n".join(
            [
                f"{folder} holds no checkpoint that can be read; only a new training, with --overwrite, gives one",
                *damaged,
            ]
        )
    )


def newest_verified(folder: Path, up_to: int) -> int | None:
    """The step of the newest checkpoint of a step up to ``up_to`` that can be read, None if there is none."""
    for step, path in reversed(listing(folder)):
        if step <= up_to:
            try:
                verify(path)
            except CheckpointError:
                continue
            return step
    return None


def prune(folder: Path, keep: int, protect: set[int]) -> None:
    """Remove all but the newest ``keep`` checkpoints and those of the steps in ``protect``."""
    for step, path in listing(folder)[:-keep]:
        if step not in protect:
            shutil.rmtree(path)


def discard_after(folder: Path, step: int) -> None:
    """Remove checkpoints of later steps, and unfinished ones: a resumed run writes its own."""
    for later, path in listing(folder):
        if later > step:
            shutil.rmtree(path)
    for path in folder.glob(".writing-*"):
        shutil.rmtree(path)


def optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """An optimiser's state, parameters numbered in their order, without its settings: those come from the recipe."""
    return {"state": optimizer.state_dict()["state"]}


def restore_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Put a state back, each tensor in the memory format of its parameter.

    A fused Adam on a CPU computes wrong updates, without a word, from a contiguous state beside a channels_last weight.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    restored = {}
    for number, entries in state["state"].items():
        parameter = parameters[int(number)]
        restored[int(number)] = {
            name: _like(value, parameter) if isinstance(value, Tensor) else value for name, value in entries.items()
        }
    optimizer.load_state_dict({"state": restored, "param_groups": optimizer.state_dict()["param_groups"]})


def _like(value: Tensor, parameter: Tensor) -> Tensor:
    if value.shape != parameter.shape:
        return value
    return torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)


def _fingerprint(path: Path) -> dict[str, Any]:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in _blocks(file):
            digest.update(block)
    return {"bytes": path.stat().st_size, "sha256": digest.hexdigest()}


def _blocks(file: Any) -> Iterator[bytes]:
    while block := file.read(1 << 20):
        yield block


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
