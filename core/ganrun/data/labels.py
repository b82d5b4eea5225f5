"""Labels requested of a generator, as users write them: ``label=3``, ``label=bold`` or ``attributes=1,0,1``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ganrun.errors import UserError
from ganrun.words.spaces import Space

YES_NO = {"no": 0, "yes": 1}


def split_words(words: Iterable[str]) -> dict[str, str]:
    """``NAME=VALUE`` -> name -> value. Raises UserError for anything else, and for a name that comes twice."""
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not (equals and name and value):
            raise UserError(f"--ask {word}: write NAME=VALUE, such as label=3")
        if name in found:
            raise UserError(f"--ask {word}: {name} is given twice")
        found[name] = value
    return found


def asked_labels(
    asked: Mapping[str, Any], codes: Mapping[str, Space], names: Mapping[str, Sequence[str]]
) -> dict[str, Tensor]:
    """The requested labels: name -> () or (A,) int64.

    asked: name -> a class by number or name, or one for each of several labels (a sequence, or text with commas).
    codes: what can be requested. names: entry -> the names of its values, or of its columns if there are several.

    Raises:
        UserError: with the labels there are.
    """
    known = {name: space for name, space in codes.items() if space.kind == "labels"}
    for name in asked:
        if name not in known:
            there = f"there {'is' if len(known) == 1 else 'are'} {', '.join(known)}" if known else "there are none"
            raise UserError(f"the generator takes no label {name!r}; {there}")
    return {
        name: _of(name, value, known[name], [str(each) for each in names.get(name, ())])
        for name, value in asked.items()
    }


def check_labels(latents: Mapping[str, Tensor], codes: Mapping[str, Space]) -> None:
    """Raise UserError for a label (n,) or (n, A) among latents that is none of its values."""
    for name, space in codes.items():
        if space.kind == "labels" and name in latents:
            odd = latents[name][(latents[name] < 0) | (latents[name] >= space.classes)]
            if odd.numel():
                raise UserError(f"{name}: there is no {odd[0].item():g}; its values are 0 to {space.classes - 1}")


def label_names(dataset: Any) -> dict[str, list[str]]:
    """Entry of labels -> names of its values, or of its columns if there are several, as far as a data set has any."""
    known, classes = getattr(dataset, "label_names", {}), [str(name) for name in getattr(dataset, "classes", ())]
    found = {}
    for entry, space in dataset.spaces.items():
        if space.kind == "labels":
            count = space.size if space.shape else space.classes
            names = [str(name) for name in known.get(entry, ())] or classes
            if len(names) == count and (entry in known or not space.shape):
                found[entry] = names
    return found


def _of(name: str, value: Any, space: Space, names: Sequence[str]) -> Tensor:
    """The labels () or (A,) of one entry."""
    if not space.shape:
        return torch.tensor(_number(name, value, space.classes, {each: number for number, each in enumerate(names)}))
    values = value.split(",") if isinstance(value, str) else list(value)
    if len(values) != space.size:
        each = f", one for each of {', '.join(names)}" if len(names) == space.size else ""
        raise UserError(f"{name} needs {space.size} values{each}; {value!r} has {len(values)}")
    called = YES_NO if space.classes == 2 else {}
    return torch.tensor([_number(name, each, space.classes, called) for each in values]).reshape(space.shape)


def _number(name: str, value: Any, classes: int, called: Mapping[str, int]) -> int:
    """A class by its name or its number."""
    text = str(value).strip()
    number = called.get(text, int(text) if text.isdecimal() else -1)
    if not 0 <= number < classes:
        also = f", or {', '.join(called)}" if called else ""
        raise UserError(f"{name}: there is no {text!r}; its values are 0 to {classes - 1}{also}")
    return number
