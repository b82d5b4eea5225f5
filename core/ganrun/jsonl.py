"""Files of one JSON object a line, each with a step: a resumed run removes the lines of steps that it takes again."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def append(path: Path, line: Mapping[str, Any]) -> None:
    """Add a line. A number that is not finite becomes null: JSON has none."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(plain(line), allow_nan=False) + "\n")


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
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    return [json.loads(line) for line in lines if _whole(line)]


def truncate(path: Path, step: int) -> None:
    """Keep the lines up to ``step``; a later line goes, and one that was torn when a process was killed."""
    if not path.exists():
        return
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    kept = [line for line in lines if _whole(line) and json.loads(line)["step"] <= step]
    if kept != lines:
        temporary = path.with_name(f".{path.name}.writing")
        temporary.write_text("".join(kept), encoding="utf-8")
        os.replace(temporary, path)


def _whole(line: str) -> bool:
    try:
        return line.endswith("\n") and isinstance(json.loads(line)["step"], int)
    except (ValueError, KeyError, TypeError):
        return False
