"""Labels requested of a generator, as users write them.

``label=3``, ``label=bold``, ``attributes=1,0,1``, one attribute by its name, ``Smiling=1``, or a text, ``text="a bold
seven"``.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ganrun.errors import UserError, some
from ganrun.words.spaces import Space

LISTED = 20  # classes that are listed
YES_NO = {"no": 0, "yes": 1}
WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")  # letters and digits, an apostrophe within a word


def class_number(names: Sequence[str], wanted: str | int) -> int | None:
    """The number of a class that is asked for: the one of that name, else that place from 0 on; None if there is none.

    So a number that is the name of a class, such as of a folder 10, or 010, stands for that class.
    """
    text = str(wanted).strip()
    if text in names:
        return list(names).index(text)
    if not (text.isdecimal() and text.isascii()):
        return None
    same = [place for place, name in enumerate(names) if is_number(name) and int(name) == int(text)]
    if len(same) == 1:
        return same[0]
    return int(text) if int(text) < len(names) else None


def is_number(name: str) -> bool:
    """Whether a name is a whole number."""
    return name.isdecimal() and name.isascii()


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

    asked: name -> a class by number or name, one for each of several labels (a sequence, or text with commas), or, of
    an entry whose values are words, a text. The name of a column, such as an attribute's, asks for that one; those of
    its entry that are not named are 0.
    codes: what can be requested. names: entry -> the names of its values, or of its columns if there are several.

    Raises:
        UserError: with the labels there are.
    """
    known = {name: space for name, space in codes.items() if space.kind == "labels"}
    columns = {
        str(column): (entry, number)
        for entry, space in known.items()
        if space.shape and len(names.get(entry, ())) == space.size
        for number, column in enumerate(names[entry])
    }
    found = {
        name: _of(name, value, known[name], [str(each) for each in names.get(name, ())])
        for name, value in asked.items()
        if name in known
    }
    for name, value in asked.items():
        if name in known:
            continue
        if name not in columns:
            every = [*known, *columns]
            there = f"there {'is' if len(every) == 1 else 'are'} {', '.join(every)}" if every else "there are none"
            raise UserError(f"the generator takes no label {name!r}; {there}")
        entry, number = columns[name]
        if entry in asked:
            raise UserError(f"{name} is one of {entry}, which is asked for, too; leave one of the two out")
        row = found.setdefault(entry, torch.zeros(known[entry].shape, dtype=torch.int64))
        row.view(-1)[number] = _number(name, value, known[entry].classes, YES_NO if known[entry].classes == 2 else {})
    return found


def labels_in_words(labels: Mapping[str, Tensor], names: Mapping[str, Sequence[str]]) -> str:
    """What labels () or (A,) stand for, such as ``label bold`` or ``attributes Smiling 1, Male 0``."""
    words = []
    for entry, label in labels.items():
        called = [str(each) for each in names.get(entry, ())]
        values = label.reshape(-1).tolist()
        if label.dim() and len(called) == len(values):
            said = ", ".join(f"{name} {value}" for name, value in zip(called, values))
        else:
            said = " ".join(called[value] if value < len(called) else str(value) for value in values).strip()
        words.append(f"{entry} {said}")
    return "; ".join(words)


def label_counts(dataset: Any) -> dict[str, str]:
    """Entry of labels -> its classes, or its columns, in words, with how many items there are of each.

    Counts are of data sets that know all labels without reading items (``known_labels``).
    """
    names = label_names(dataset)
    known = dataset.known_labels() if hasattr(dataset, "known_labels") else {}
    found = {}
    for entry, space in dataset.spaces.items():
        called = names.get(entry, [])
        if space.kind != "labels" or len(called) not in ((space.size,) if space.shape else (space.classes,)):
            continue
        kind = f"{len(called):,} {'labels' if space.shape else 'classes'}" if len(called) > 1 else "1 class"
        if entry not in known:
            found[entry] = f"{kind}: {some(called, LISTED)}"
            continue
        labels = known[entry].cpu()
        counts = (labels > 0).sum(0).tolist() if space.shape else labels.bincount(minlength=len(called)).tolist()
        of = f" of {len(labels):,}" if space.shape else ""
        said = [f"{name} ({count:,}{of})" for name, count in zip(called, counts)]
        between = f", of {min(counts):,} to {max(counts):,} items each" if len(called) > LISTED else ""
        found[entry] = f"{kind}{between}: {some(said, LISTED)}"
    return found


def check_labels(latents: Mapping[str, Tensor], codes: Mapping[str, Space]) -> None:
    """Raise UserError for a label (n,) or (n, A) among latents that is none of its values."""
    for name, space in codes.items():
        if space.kind == "labels" and name in latents:
            odd = latents[name][(latents[name] < 0) | (latents[name] >= space.classes)]
            if odd.numel():
                raise UserError(f"{name}: there is no {odd[0].item():g}; its values are 0 to {space.classes - 1}")


def label_names(dataset: Any) -> dict[str, list[str]]:
    """Entry of labels -> names of its values, or of its columns if there are several, as far as a data set has any."""
    known = getattr(dataset, "label_names", {})
    found = {}
    for entry, space in dataset.spaces.items():
        if space.kind == "labels":
            names = [str(name) for name in known.get(entry, ())] or [str(name) for name in _classes(dataset, space)]
            if len(names) in (space.size, space.classes) if space.shape else len(names) == space.classes:
                found[entry] = names
    return found


def _classes(dataset: Any, space: Space) -> Sequence[Any]:
    """The names of the classes, for a single label without names of its own."""
    return () if space.shape else getattr(dataset, "classes", ())


def _of(name: str, value: Any, space: Space, names: Sequence[str]) -> Tensor:
    """The labels () or (A,) of one entry."""
    if not space.shape:
        return torch.tensor(_number(name, value, space.classes, {each: number for number, each in enumerate(names)}))
    if len(names) == space.classes != space.size and isinstance(value, str):
        return _text(name, value, space, names)
    values = value.split(",") if isinstance(value, str) else list(value)
    if len(values) != space.size:
        each = f", one for each of {', '.join(names)}" if len(names) == space.size else ""
        raise UserError(f"{name} needs {space.size} values{each}; {value!r} has {len(values)}")
    called = YES_NO if space.classes == 2 else {}
    return torch.tensor([_number(name, each, space.classes, called) for each in values]).reshape(space.shape)


def _text(name: str, text: str, space: Space, words: Sequence[str]) -> Tensor:
    """A text as the numbers of its words, (T,); 0, the word without letters, fills it up.

    Raises UserError for words that the data do not have, and for more than there is room for.
    """
    numbers = {word: number for number, word in enumerate(words)}
    wanted = WORD.findall(text.lower())
    unknown = [word for word in wanted if word not in numbers]
    if unknown:
        raise UserError(f"{name}: the training texts have no {', '.join(map(repr, unknown))}{_near(unknown[0], words)}")
    if len(wanted) > space.size or not wanted:
        raise UserError(f"{name}: {text!r} has {len(wanted)} words; give 1 to {space.size}")
    row = torch.zeros(space.size, dtype=torch.int64)
    row[: len(wanted)] = torch.tensor([numbers[word] for word in wanted])
    return row.reshape(space.shape)


def _near(word: str, words: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, words, 1)
    shown = [each for each in words if WORD.fullmatch(each)]
    return f"; did you mean {close[0]!r}?" if close else f"; its words are {some(shown, 12)}"


def _number(name: str, value: Any, classes: int, called: Mapping[str, int]) -> int:
    """A class by its name or its number."""
    text = str(value).strip()
    number = called.get(text, class_number([*called] or [str(each) for each in range(classes)], text))
    if number is None:
        also = f", or {some(called, 20)}" if called else ""
        raise UserError(f"{name}: there is no {text!r}; its values are 0 to {classes - 1}{also}")
    return number
