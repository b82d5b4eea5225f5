"""Reads YAML with the position of every key and value.

The grammar is PyYAML's; the scalars are YAML 1.2's, so that ``2e-4`` is a number and ``no`` is text. What a recipe has
no use for is refused: tags (they could run code), anchors, merge keys, several documents, tabs, duplicate keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from ganrun.recipe.errors import Problem, RecipeError, show
from ganrun.recipe.nodes import DEPTH, Key, Keys, Node, Origin

LARGEST = 1 << 20  # bytes: a recipe is a page; whatever is larger is another kind of file
_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")  # what PyYAML counts as the end of a line
_INT = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"[-+]?\.inf|\.nan", re.IGNORECASE)

# PyYAML's message -> ours. The first that occurs in the message is taken.
_MENDING = (
    (
        "mapping values are not allowed",
        'a ":" is not expected here; write one key a line, and quote text that contains ": "',
    ),
    ("could not find expected ':'", 'a key without ":"; write key: value'),
    (
        "expected <block end>, but found '-'",
        'this "-" is not indented like the items above; align the items of one list',
    ),
    (
        "expected <block end>",
        "this line's indentation fits no line above; align the keys of one mapping, and indent with spaces",
    ),
    ("expected ',' or ']'", 'a "," or "]" is missing in the list that was opened with "["'),
    ("expected ',' or '}'", 'a "," or "}" is missing in the mapping that was opened with "{"'),
    (
        "sequence entries are not allowed",
        'a list item ("- ...") is not expected here; put it on a line of its own, below its key',
    ),
    ("but found '<stream end>'", 'the text ends in the middle of a value; a "]" or "}" may be missing'),
    ("expected the node content", "a value is missing or has a stray character"),
    ("unexpected end of stream", "a quotation mark is opened here and never closed"),
    (
        "expected <document start>",
        "text is not expected here; a recipe is one mapping of keys such as variant: and dataset:",
    ),
    ("unknown escape character", r"unknown escape in double quotes; write \\ for a backslash, or use single quotes"),
    (
        "escape sequence",
        "broken escape in double quotes; use single quotes to take backslashes as they are, and / between folders",
    ),
    ("incompatible YAML", "this version of YAML is not supported; remove the %YAML line"),
)


def read_file(path: Path, label: str) -> Node:
    """The nodes of one file. Raises :class:`RecipeError` with every problem of the file's form."""

    def refuse(message: str, line: int = 0, column: int = 0) -> RecipeError:
        return RecipeError([Problem(label, line, column, "", message)])

    try:
        if path.is_dir():
            raise refuse("this is a directory; name a recipe file in it")
        if not path.exists():
            raise refuse("no such file; `ganrun list-recipes` shows the recipes that are shipped")
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except RecipeError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL character
        raise refuse(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(data) > LARGEST:
        raise refuse("is larger than 1 MiB, so it is not a recipe")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise refuse("is UTF-16 text; save it as UTF-8", 1, 1)
    if b"\0" in data:
        raise refuse("is a binary file, not a recipe")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig", "replace")
        message = (
            f"byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8, "
            "if it is a recipe and not a binary file"
        )
        raise refuse(message, *_position(before)) from error
    root = read_text(text, Origin(label, 1, 1))
    if root.empty:
        raise refuse("is empty; a recipe needs at least variant: and dataset:", 1, 1)
    return root


def read_text(text: str, start: Origin, path: Keys = ()) -> Node:
    """The nodes of a YAML text. Without a line in ``start`` (as for ``--set``), all nodes have the origin ``start``.

    Raises:
        RecipeError: with every problem of the text's form. The values are validated later.
    """
    reader = _Reader(text, start)
    if not reader.problems:
        root = reader.read(path)
        if not reader.problems:
            return root
    raise RecipeError(reader.problems)


def scalar(text: str) -> Any:
    """The value of a plain (unquoted) scalar. Raises ValueError for a number that is too long to be one."""
    if text in ("", "~", "null"):
        return None
    if text in ("true", "false"):
        return text == "true"
    if _INT.fullmatch(text):
        if len(text) > 300:
            raise ValueError("a number with more than 300 digits")
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _INFINITE.fullmatch(text):
        return float(text.replace(".", ""))
    return text


class _Reader:
    """Turns PyYAML's events into nodes, and continues after a problem where it can."""

    def __init__(self, text: str, start: Origin) -> None:
        self.text = text
        self.start = start
        self.lines = _BREAK.split(text)
        self.problems: list[Problem] = []
        for number, line in enumerate(self.lines):
            indent = line[: len(line) - len(line.lstrip())]
            if "\t" in indent:
                self.refuse("a tab in the indentation; use spaces", self.origin(number, indent.index("\t")))

    def origin(self, line: int, column: int) -> Origin:
        return Origin(self.start.label, line + 1, column + 1) if self.start.line else self.start

    def refuse(self, message: str, at: Origin, path: Keys = ()) -> None:
        self.problems.append(Node(0, at, path).problem(message))

    def read(self, path: Keys) -> Node:
        """The one document of the text."""
        nothing = Node(None, self.start, path, self.start)
        root = nothing
        try:
            events = yaml.parse(self.text, Loader=yaml.SafeLoader)
            documents = 0
            for event in events:
                if isinstance(event, yaml.DocumentStartEvent):
                    documents += 1
                    if documents > 1:
                        self.refuse("a second document; a recipe is one document, so remove the ---", self.at(event))
                        break
                    if event.tags:
                        self.refuse("%TAG is not part of recipes; remove it", self.at(event))
                elif isinstance(event, yaml.NodeEvent):
                    root = self.node(event, events, path, None)
        except yaml.MarkedYAMLError as error:
            self.syntax(error)
        except yaml.reader.ReaderError as error:
            line, column = _position(self.text[: error.position])
            character = error.character if isinstance(error.character, int) else ord(error.character[:1] or "\0")
            self.refuse(
                f"control character U+{character:04X}; remove it, if this is a text file at all",
                self.origin(line - 1, column - 1),
            )
        return root

    def at(self, event: Any) -> Origin:
        return self.origin(event.start_mark.line, event.start_mark.column)

    def syntax(self, error: yaml.MarkedYAMLError) -> None:
        """Report what PyYAML stumbled over."""
        message = error.problem or error.context or "not understood"
        mark = error.problem_mark or error.context_mark
        if error.context_mark and ("unexpected end of stream" in message or "expected ',' or" in message):
            mark = error.context_mark  # where it was opened helps more than where the file ended
        line, column = (mark.line, mark.column) if mark else (0, 0)
        character = self.lines[line][column : column + 1] if line < len(self.lines) else ""
        if character == "\t":
            text = "a tab; use spaces"
        elif "cannot start any token" in message:
            text = f"a value cannot start with {character}; put it in quotes"
        else:
            text = next((ours for theirs, ours in _MENDING if theirs in message), f"this is not YAML: {message}")
        self.refuse(text, self.origin(line, column))

    def node(self, event: Any, events: Iterator[Any], path: Keys, key: Origin | None) -> Node:
        """The node that begins with ``event``."""
        at = self.at(event)
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            sign = "*" if isinstance(event, yaml.AliasEvent) else "&"
            self.refuse(
                f"anchors and aliases ({sign}{event.anchor}) are not part of recipes; "
                "write the value out, or use extends",
                at,
                path,
            )
        if getattr(event, "tag", None) is not None:
            self.refuse(
                f"tags ({show(event.tag)}) are not part of recipes; remove it, a recipe holds plain data only", at, path
            )
        if len(path) > DEPTH:
            self.refuse(f"nested deeper than {DEPTH} levels", at)
            raise RecipeError(self.problems)
        if isinstance(event, yaml.MappingStartEvent):
            return Node(self.mapping(events, path), at, path, key)
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Node] = []
            while not isinstance(item := next(events), yaml.SequenceEndEvent):
                items.append(self.node(item, events, (*path, len(items)), None))
            return Node(items, at, path, key)
        return Node(self.value(event, at, path), at, path, key)

    def mapping(self, events: Iterator[Any], path: Keys) -> dict[Key, Node]:
        found: dict[Key, Node] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            at = self.at(event)
            simple = isinstance(event, yaml.ScalarEvent)
            read = self.node(event, events, path, None)
            key: Key = read.value if isinstance(read.value, str | int) and not isinstance(read.value, bool) else ""
            if not simple:
                self.refuse("a key must be one word, not a list, a mapping or an alias", at, path)
            elif key == "<<" and event.style is None:
                self.refuse("merge keys (<<) are not part of recipes; use extends", at, path)
            elif isinstance(read.value, bool | float) or read.value is None:
                self.refuse(f"a key must be text, got {show(read.value)}; put it in quotes if it is a name", at, path)
            elif key in found:
                first = found[key].key
                where = f" (first on line {first.line})" if first and first.line else ""
                self.refuse(f"duplicate key{where}; remove one of the two", at, (*path, key))
            value = self.node(next(events), events, (*path, key), at)
            if key not in found:
                found[key] = value
        return found

    def value(self, event: Any, at: Origin, path: Keys) -> Any:
        text = getattr(event, "value", None)
        if text is None:
            return None
        if any("\ud800" <= character <= "\udfff" for character in text):
            self.refuse("half of a surrogate pair is not a character; write the character itself", at, path)
            return ""
        if "\0" in text:
            self.refuse("a NUL character (\\0) is part of no name and no path; remove it", at, path)
            return ""
        if event.style is not None:
            return text
        try:
            return scalar(text)
        except ValueError as error:
            self.refuse(str(error), at, path)
            return 0


def _position(before: str) -> tuple[int, int]:
    """Line and column, from 1, of what follows a text."""
    lines = _BREAK.split(before)
    return len(lines), len(lines[-1]) + 1
