"""What a run writes in its folder: names and patterns, what they match, and what is removed.

A name stands for a file, or for a folder with everything in it. In a pattern, ``{step}`` stands for the number of a
step as ``step-0001000`` has it, and ``*`` for anything within one name: ``samples/step-{step}.png``. Nothing else in
the folder is ever touched.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from ganrun import jsonl

# seven digits, or more without a zero in front: the names that f"{step:07d}" gives
STEP = r"(?P<step>[0-9]{7}|[1-9][0-9]{7,})"


class Found(NamedTuple):
    """Something that a pattern matches, and the step in its name, None if the pattern has none."""

    path: Path
    step: int | None


def is_inside(name: Any) -> bool:
    """Whether a value is a relative path that names something within a folder."""
    if not isinstance(name, str) or "\0" in name:
        return False
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def matching(folder: Path, pattern: str) -> Iterator[Found]:
    """What is there of a pattern, in the order of names. Links on the way are not followed."""
    yield from _matching(Found(folder, None), PurePosixPath(pattern).parts)


def _matching(place: Found, parts: tuple[str, ...]) -> Iterator[Found]:
    if not parts:
        yield place
        return
    first, rest = parts[0], parts[1:]
    expression = _expression(first)
    names = [first] if expression is None else _names(place.path)
    for name in names:
        inner = place.path / name
        match = None if expression is None else expression.fullmatch(name)
        if (match is None and expression is not None) or not (inner.exists() or inner.is_symlink()):
            continue
        if rest and (inner.is_symlink() or not inner.is_dir()):
            continue
        number = match.groupdict().get("step") if match else None
        yield from _matching(Found(inner, place.step if number is None else int(number)), rest)


def _expression(part: str) -> re.Pattern[str] | None:
    """What a name has to look like, None if only ``part`` itself will do."""
    pieces = re.split(r"(\{step\}|\*)", part)
    if len(pieces) == 1:
        return None
    first = pieces.index("{step}") if "{step}" in pieces else -1
    return re.compile(
        "".join(
            STEP
            if number == first
            else r"[0-9]{7,}"
            if piece == "{step}"
            else ".*"
            if piece == "*"
            else re.escape(piece)
            for number, piece in enumerate(pieces)
        ),
        re.DOTALL,
    )


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def holding(folder: Path, patterns: Iterable[str]) -> list[str]:
    """The names of what is there of patterns; an empty folder holds nothing of anybody."""
    found = (path for pattern in patterns for path, _ in matching(folder, pattern))
    return [
        str(path.relative_to(folder)) for path in found if path.is_symlink() or not path.is_dir() or any(path.iterdir())
    ]


def is_within(name: str, others: Iterable[str]) -> bool:
    """Whether a name or pattern is one of some others, or lies in one of them that is a folder."""
    known = {str(PurePosixPath(other)) for other in others}
    path = PurePosixPath(name)
    return str(path) in known or any(str(parent) in known for parent in path.parents)


def without_covered(kept: Iterable[str], declared: Iterable[str]) -> list[str]:
    """The kept names and patterns without the folders of which only patterns are declared now."""
    parents = {str(parent) for pattern in declared for parent in PurePosixPath(pattern).parents}
    return [name for name in kept if str(PurePosixPath(name)) not in parents]


def remove_all(folder: Path, patterns: Iterable[str]) -> None:
    """Remove what is there of patterns, and the folders on the way that are empty then."""
    for pattern in patterns:
        for path, _ in list(matching(folder, pattern)):
            remove(path)
        for parent in list(PurePosixPath(pattern).parents)[:-1]:
            for path, _ in list(matching(folder, str(parent))):
                with suppress(OSError):  # it is not empty, or no folder
                    path.rmdir()


def remove_later(folder: Path, step: int, patterns: Iterable[str]) -> None:
    """Remove what is of later steps, which a run takes again.

    These are lines of JSON with a step, what has a number in its name where the pattern says ``{step}``, and in a
    folder whatever is called ``step-0001000``, with any ending.
    """
    for pattern in patterns:
        for path, number in list(matching(folder, pattern)):
            if number is not None:
                if number > step:
                    remove(path)
            elif path.name.endswith(".jsonl") and path.is_file() and not path.is_symlink():
                jsonl.truncate(path, step)
            elif path.is_dir() and not path.is_symlink():
                for inner in path.glob("step-*"):
                    name = inner.stem.removeprefix("step-")
                    if name.isdecimal() and int(name) > step:
                        remove(inner)


def remove(path: Path) -> None:
    """Remove a file or a folder that may not be there; of a link, the link."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
