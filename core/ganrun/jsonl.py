"""Files of one JSON object a line, each with a step: a resumed run removes the lines of steps that it takes again."""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from ganrun import files


def append(path: Path, line: Mapping[str, Any]) -> None:
    """Add a line. A number that is not finite becomes null: JSON has none.

    A last line that was torn when a process was killed is removed first, with a warning; a whole one that only lacks
    its end gets it.
    """
    with files.appending(path) as file:
        _mend_end(path, file)
        file.write((json.dumps(plain(line), allow_nan=False) + "\n").encode())


def _mend_end(path: Path, file: BinaryIO) -> None:
    """Make an open file, at its end, ready for a new line."""
    size = file.seek(0, os.SEEK_END)
    if size == 0 or _byte(file, size - 1) == b"\n":
        return
    start = size
    while start > 0 and _byte(file, start - 1) != b"\n":
        start -= 1
    file.seek(start)
    if _whole(file.read().decode(errors="replace")):
        file.write(b"\n")
        return
    file.truncate(start)
    file.seek(start)
    warnings.warn(f"{path}: its last line was torn when a process was killed; it is removed", stacklevel=3)


def _byte(file: BinaryIO, place: int) -> bytes:
    file.seek(place)
    return file.read(1)


def plain(value: Any) -> Any:
    """The value with null for every number that JSON cannot express."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read(path: Path) -> list[dict[str, Any]]:
    """All whole lines, oldest first; empty if there is no file."""
    if not path.exists():
        return []
    lines = _text(path).split("\n")
    return [json.loads(line) for line in lines if _whole(line)]


def truncate(path: Path, step: int) -> None:
    """Keep the lines up to ``step``; a later line goes, and one that was torn when a process was killed."""
    if not path.exists():
        return
    text = _text(path)
    kept = "".join(f"{line}\n" for line in text.split("\n") if _whole(line) and json.loads(line)["step"] <= step)
    if kept != text:
        files.write(path, kept)


def _text(path: Path) -> str:
    return files.read_bytes(path).decode(errors="replace")


def _whole(line: str) -> bool:
    try:
        return isinstance(json.loads(line)["step"], int)
    except (ValueError, KeyError, TypeError, RecursionError):
        return False
