"""Whether two runs left the same: what kill.py compares."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

# What differs between two runs of one recipe: when, where and with what they were made.
OF_THE_MOMENT = {"time", "seconds", "versions", "run", "folder", "output", "name"}


def differences(one: Path, other: Path, compared: Counter[str]) -> list[str]:
    """What differs between two folders of runs, one text each. Counts what was compared."""
    names, others = ({path.relative_to(folder).as_posix() for path in _files(folder)} for folder in (one, other))
    found = [f"{name} is {'missing' if name in names else 'too many'}" for name in sorted(names ^ others)]
    for name in sorted(names & others):
        found += [f"{name}: {text}" for text in _compared(one / name, other / name, compared)]
    shown, other_shown = _tensorboard(one), _tensorboard(other)
    compared["values"] += len(shown)
    if shown != other_shown:
        found.append(f"TensorBoard shows other values: {sorted(shown.items() ^ other_shown.items())[:4]}")
    return found


def _files(folder: Path) -> Iterator[Path]:
    """All files of a run but those that name the moment: locks, TensorBoard's (read by what they show)."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.name.startswith("events.out") and path.name not in (".lock", "versions.json"):
            yield path


def _compared(one: Path, other: Path, compared: Counter[str]) -> list[str]:
    if one.suffix == ".safetensors":
        tensors, others = load_file(one), load_file(other)
        compared["tensors"] += len(tensors)
        if tensors.keys() != others.keys():
            return [f"other tensors: {sorted(tensors.keys() ^ others.keys())[:4]}"]
        same = {name: torch.equal(_bytes(tensors[name]), _bytes(others[name])) for name in tensors}
        return [f"{name} differs" for name, equal in same.items() if not equal][:4]
    if one.suffix == ".jsonl":
        lines, others = _lines(one), _lines(other)
        compared["lines"] += len(lines)
        if len(lines) != len(others):
            return [f"{len(lines)} lines and {len(others)}"]
        return [f"line {n}: {a} is {b}" for n, (a, b) in enumerate(zip(lines, others), 1) if a != b][:2]
    if one.suffix == ".png":
        compared["pictures"] += 1
        a, b = (np.asarray(Image.open(path)) for path in (one, other))
        return [] if a.shape == b.shape and (a == b).all() else ["other pixels"]
    compared["files"] += 1
    if one.suffix == ".json":
        if one.name == "manifest.json":  # sizes and sums of the files that are compared themselves
            return []
        return [] if _reduced(json.loads(one.read_text())) == _reduced(json.loads(other.read_text())) else ["differs"]
    return [] if one.read_bytes() == other.read_bytes() else ["differs"]


def _bytes(tensor: torch.Tensor) -> torch.Tensor:
    """The bytes of a tensor, (N,) uint8, so that NaN equals itself."""
    return tensor.contiguous().flatten().view(torch.uint8) if tensor.numel() else tensor.flatten()


def _lines(path: Path) -> list[Any]:
    return [_reduced(json.loads(line)) for line in path.read_text().splitlines()]


def _reduced(value: Any) -> Any:
    """Plain data without what names the moment. NaN equals itself as text."""
    if isinstance(value, dict):
        return {key: _reduced(item) for key, item in value.items() if key not in OF_THE_MOMENT}
    if isinstance(value, list):
        return [_reduced(item) for item in value]
    return repr(value) if isinstance(value, float) else value


def _tensorboard(folder: Path) -> dict[tuple[str, int], Any]:
    """(tag, step) -> value, as TensorBoard shows them."""
    if not any(folder.rglob("events.out*")):
        return {}
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    reader = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    reader.Reload()
    tags = reader.Tags()
    found: dict[tuple[str, int], Any] = {(tag, e.step): e.value for tag in tags["scalars"] for e in reader.Scalars(tag)}
    return found | {(tag, e.step): e.encoded_image_string for tag in tags["images"] for e in reader.Images(tag)}
