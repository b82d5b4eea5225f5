"""Checkpoints: atomic, verified when read, and without pickle (safetensors and JSON).

A checkpoint is a folder ``step-0001000`` with ``tensors.safetensors``, ``state.json`` and ``manifest.json``, which
holds size and SHA-256 of the others and is written last. The folder gets its name only when all of it is on disk.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ganrun import files
from ganrun.engine.boundaries import shown
from ganrun.errors import UserError
from ganrun.training.contents import STEP
from ganrun.training.stored import StoredManifest, checked

_FORMAT = 1
FILES = ("tensors.safetensors", "state.json")
MANIFEST = "manifest.json"


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
    """Write a checkpoint of ``step`` into ``folder`` and return its path. It is there wholly, or not at all.

    ``folder`` is made in one that is there. Raises OSError with the path of what cannot be written.
    """
    final = files.below(folder.parent, f"{folder.name}/step-{step:07d}") if not folder.is_dir() else _free(folder, step)
    temporary = folder / f".writing-{step:07d}"
    try:
        _remove(temporary)
        temporary.mkdir()
        tensors: dict[str, Tensor] = {}
        tree = flatten(state, tensors)
        _save(tensors, temporary / FILES[0])
        files.write(temporary / FILES[1], json.dumps(tree, allow_nan=False))
        manifest = {"format": _FORMAT, "step": step, "files": {name: _fingerprint(temporary / name) for name in FILES}}
        files.write(temporary / MANIFEST, json.dumps(manifest, indent=1))
        for name in (*FILES, MANIFEST):
            _sync(temporary / name)
        _sync(temporary)
        _take_place(temporary, final)
    except OSError as error:
        with suppress(OSError):
            _remove(temporary)  # which makes room on a full disk
        raise OSError(error.errno, error.strerror or str(error), str(final)) from error
    return final


def _free(folder: Path, step: int) -> Path:
    """The path of a checkpoint to be written, at which there is a folder, or nothing. A link there is removed."""
    if folder.is_symlink():
        files.below(folder.parent, folder.name)
    final = folder / f"step-{step:07d}"
    if final.is_symlink():
        final.unlink()
    elif final.exists() and not final.is_dir():
        raise OSError(errno.EEXIST, "there is a file of that name; move it away", str(final))
    return final


def _save(tensors: dict[str, Tensor], path: Path) -> None:
    try:
        save_file(tensors, path)
    except SafetensorError as error:  # which holds the system's error in words
        number = re.search(r"os error (\d+)", str(error))
        code = int(number[1]) if number else errno.EIO
        raise OSError(code, os.strerror(code) if number else str(error), str(path)) from error


def _take_place(temporary: Path, final: Path) -> None:
    """Rename a whole checkpoint to its name. One that is there already is put aside until then.

    What others put into that one comes back into its place.
    """
    aside = final.with_name(f".replaced-{final.name.removeprefix('step-')}")
    replaces = final.exists()
    if replaces:
        _remove(aside)
        os.replace(final, aside)
    os.replace(temporary, final)
    _sync(final.parent)
    if replaces:
        for path in aside.iterdir():
            if path.name not in (*FILES, MANIFEST):
                os.replace(path, final / path.name)
        _remove(aside)


def recover(folder: Path) -> None:
    """Put back checkpoints that were about to be replaced when the process was killed."""
    for _, aside in _numbered(folder, ".replaced-"):
        final = folder / f"step-{aside.name.removeprefix('.replaced-')}"
        if final.exists() or final.is_symlink():
            _remove(aside)
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
        state = unflatten(files.read_json(path / FILES[1]), tensors)
    except (OSError, KeyError, TypeError, ValueError, RecursionError, SafetensorError) as error:
        raise CheckpointError(f"{path} is not a whole checkpoint ({_in_short(error)})") from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path} is not a whole checkpoint (its state is no mapping)")
    return manifest["step"], state


def verify(path: Path) -> dict[str, Any]:
    """The manifest of a checkpoint, whose files are read and compared with it, but not loaded.

    Raises:
        CheckpointError: if a file is missing or is not what was written.
    """
    try:
        written = files.read_json(path / MANIFEST)
        if isinstance(written, dict) and written.get("format", _FORMAT) != _FORMAT:
            raise CheckpointError(
                f"{path} has checkpoint format {shown(written['format'])}, but this ganrun reads format {_FORMAT}"
            )
        manifest = checked(StoredManifest, written)
        for name in FILES:
            if _fingerprint(path / name) != manifest["files"].get(name):
                raise CheckpointError(f"{path / name} is damaged: its size or SHA-256 is not what was written")
        named = re.fullmatch(f"step-{STEP}", path.name)
        if named and int(named["step"]) != manifest["step"]:
            raise CheckpointError(f"{path} is the checkpoint of step {manifest['step']} under another name")
        return manifest
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} is not a whole checkpoint ({_in_short(error)})") from error


def _in_short(error: BaseException) -> str:
    """An error in a line, without the path that is named before it."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
    if isinstance(error, KeyError):
        text = f"{text} is missing"
    line = " ".join(text.split())
    return line if len(line) <= 200 else f"{line[:200]}..."


def listing(folder: Path) -> list[tuple[int, Path]]:
    """(step, path) of every checkpoint in a folder, oldest first, damaged ones among them.

    Unfinished ones are not listed, nor is what has such a name and holds no file of a checkpoint.
    """
    return _numbered(folder, "step-")


def _numbered(folder: Path, prefix: str) -> list[tuple[int, Path]]:
    found = []
    for path in folder.glob(f"{prefix}*"):
        match = re.fullmatch(re.escape(prefix) + STEP, path.name)
        if match and _is_ours(path):
            found.append((int(match["step"]), path))
    return sorted(found)


def _is_ours(path: Path) -> bool:
    """Whether something is a folder with files of a checkpoint, or a link to one."""
    return path.is_dir() and any((path / name).is_file() for name in (*FILES, MANIFEST))


def _remove(path: Path) -> None:
    """Remove the files of a checkpoint, and its folder if nothing else is in it; of a link, the link."""
    if path.is_symlink():
        path.unlink()
    elif path.is_dir():
        # safetensors 0.8 gives a file a name of its own until it is whole, which a kill leaves
        unfinished = [inner.name for inner in path.glob(".tmp*") if re.fullmatch(r"\.tmp\w{6}", inner.name)]
        for name in (*FILES, *unfinished, *(f".{name}.writing" for name in (*FILES, MANIFEST)), MANIFEST):
            if (path / name).is_symlink() or not (path / name).is_dir():
                (path / name).unlink(missing_ok=True)
        with suppress(OSError):  # somebody put something else into it
            path.rmdir()


def load_newest(folder: Path, load: Callable[[dict[str, Any]], None]) -> tuple[Path, int, dict[str, Any], list[str]]:
    """Load the newest checkpoint that can be: ``load`` is handed its state, and fails if it does not fit.

    Returns path, step and state of it, and a line for each newer one that cannot be read, or does not fit.

    Raises:
        CheckpointError: if no checkpoint can be read. What ``load`` raised for the newest one, if none fits.
        UserError: at once, if ``load`` raises one that is no CheckpointError.
    """
    damaged: list[str] = []
    misfit: Exception | None = None
    for _, path in reversed(listing(folder)):
        try:
            step, state = read(path)
        except CheckpointError as error:
            damaged.append(str(error))
            continue
        try:
            load(state)
            return path, step, state, damaged
        except Exception as error:
            if isinstance(error, UserError) and not isinstance(error, CheckpointError):
                raise
            misfit = misfit or error
            own = isinstance(error, CheckpointError)
            damaged.append(f"{path}{'' if own else ' does not fit this run'}: {_in_short(error)}")
    if misfit is not None:
        raise misfit
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
            _remove(path)


def discard_after(folder: Path, step: int) -> None:
    """Remove checkpoints of later steps, and unfinished ones: a resumed run writes its own."""
    for later, path in listing(folder):
        if later > step:
            _remove(path)
    for path in folder.glob(".writing-*"):
        if re.fullmatch(r"\.writing-" + STEP, path.name):
            _remove(path)


def optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """An optimiser's state, parameters numbered in their order, without its settings: those come from the recipe."""
    return {"state": optimizer.state_dict()["state"]}


def restore_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Put a state back, each tensor in the memory format of its parameter.

    A fused Adam on a CPU computes wrong updates, without a word, from a contiguous state beside a channels_last weight.
    Raises CheckpointError for a state that is not of these parameters.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    kinds = {tuple(sorted((str(name), type(value)) for name, value in s.items())) for s in state["state"].values()}
    if len({str(kind) for kind in kinds}) > 1 or not set(state["state"]) <= set(range(len(parameters))):
        raise CheckpointError("the state of an optimiser is not that of these parameters")
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
    with os.fdopen(files.open_to_read(path), "rb") as file:
        for block in _blocks(file):
            digest.update(block)
        return {"bytes": file.tell(), "sha256": digest.hexdigest()}


def _blocks(file: Any) -> Iterator[bytes]:
    while block := file.read(1 << 20):
        yield block


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
