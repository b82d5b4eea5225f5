"""Writes plain data as YAML that :mod:`ganrun.recipe.yaml` reads back to the same values."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

from ganrun.recipe.nodes import Keys
from ganrun.recipe.yaml import scalar

_PLAIN = re.compile(r"[A-Za-z_./0-9]([A-Za-z0-9_./%+ -]*[A-Za-z0-9_./%+-])?")
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")


def dump(data: Any) -> str:
    """YAML text of a resolved recipe, or of any plain data."""
    return "".join(f"{line}\n" for line, _ in lines(data))


def lines(data: Any, path: Keys = ()) -> Iterator[tuple[str, Keys]]:
    """Lines of YAML, each with the path of what it writes."""
    if isinstance(data, dict) and data:
        for key, value in data.items():
            here = (*path, key)
            if _short(value):
                yield f"{flow(key)}: {flow(value)}", here
            else:
                yield f"{flow(key)}:", here
                for line, below in lines(value, here):
                    yield f"  {line}", below
    elif isinstance(data, list) and not _short(data):
        for index, item in enumerate(data):
            here = (*path, index)
            if _short(item):
                yield f"- {flow(item)}", here
                continue
            for number, (line, below) in enumerate(lines(item, here)):
                yield f"{'  ' if number else '- '}{line}", below
    else:
        yield flow(data), path


def _short(value: Any) -> bool:
    """Whether a value goes on the line of its key: scalars, lists of them, empty mappings."""
    if isinstance(value, dict):
        return not value
    return not isinstance(value, list) or not any(isinstance(item, dict | list) and item for item in value)


def flow(value: Any) -> str:
    """A value on one line."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(map(flow, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{flow(key)}: {flow(item)}' for key, item in value.items())}}}"
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else repr(value).replace("inf", ".inf").replace("nan", ".nan")
    if not isinstance(value, str):
        return str(value)
    if _PLAIN.fullmatch(value) and isinstance(scalar(value[:300]), str) and value != "...":
        return value
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(value, ensure_ascii=False))
