"""Where a recipe is read from: a file with the bases it extends, or plain data; and the recipes that are shipped."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ganrun.errors import nearest
from ganrun.paths import expanded, resolved
from ganrun.recipe import layers
from ganrun.recipe.errors import Problem, RecipeError
from ganrun.recipe.known import Known
from ganrun.recipe.nodes import Node, Origin, from_plain
from ganrun.recipe.yaml import LARGEST, read_file


@dataclass(frozen=True)
class RecipeText:
    """What was read: the recipe's ``root``, which is the last of ``roots``, the lowest base first.

    ``name`` is empty for plain data. ``named_by``: the label of a base that was read -> the ``extends`` that names it.

    Not ``whole``, a base could not be read, so what seems to be missing may stand there.
    """

    name: str
    base: Path
    root: Node
    roots: list[Node]
    whole: bool = True
    named_by: Mapping[str, Node] = field(default_factory=dict)


def read_source(source: str | Path | Mapping[str, Any], problems: list[Problem]) -> RecipeText | None:
    """Read a recipe and its bases. None if it is too malformed to validate."""
    if isinstance(source, Mapping):
        root = from_plain(source, Origin("recipe"), (), problems)
        name, base = "", Path.cwd()
        seen: list[Path] = []
    else:
        path = Path(source)
        try:
            root = read_file(path, _label(path))
        except RecipeError as error:
            problems += error.problems
            return None
        name, base = path.stem, path.absolute().parent
        seen = [resolved(path)]
    if not isinstance(root.value, dict):
        layers.normalise(root, Known(), problems)  # reports it
        return None
    found = [root]
    folder, whole = base, True
    named_by: dict[str, Node] = {}
    while isinstance(found[0].value, dict) and isinstance(found[0].value.get("extends", root).value, str):
        node = found[0].value["extends"]
        path = folder / expanded(node.value)
        below = _read_base(node, path, seen, problems)
        if below is None:
            whole = False
            break
        named_by[below.origin.label] = node
        found.insert(0, below)
        folder = path.parent
    return RecipeText(name, base, root, found, whole, named_by)


def without_content(read: RecipeText, known: Known, problems: list[Problem]) -> list[Problem]:
    """The problems, those in a base that is no recipe replaced by one that shows nothing of what the file holds.

    Whoever writes a recipe chooses the base; the file may be one that only its reader may see.
    """
    strangers = {
        root.origin.label: read.named_by[root.origin.label]
        for root in read.roots
        if root.origin.label in read.named_by and not set(root.value) & set(known.keys)
    }
    kept = [problem for problem in problems if problem.file not in strangers]
    named = {problem.file for problem in problems}
    return kept + [node.problem(_no_recipe(label)) for label, node in strangers.items() if label in named]


def _no_recipe(label: str) -> str:
    return f"{label} is no recipe: it holds none of a recipe's keys, such as variant: or dataset:; name another base"


def _read_base(node: Node, path: Path, seen: list[Path], problems: list[Problem]) -> Node | None:
    """The file that ``extends`` names. A chain is followed, a cycle refused."""
    try:
        real = resolved(path)
        if real in seen:
            circle = " -> ".join(other.name for other in (*seen[seen.index(real) :], real))
            problems.append(node.problem(f"the bases form a cycle: {circle}; remove one extends"))
            return None
        if not path.is_file():
            there = "this is a directory" if path.is_dir() else f"{_label(path)} is no regular file"
            what = there if path.exists() else f"no such file: {_label(path)}"
            near = (
                nearest(path.name, (other.name for other in path.parent.glob("*.y*ml") if resolved(other) not in seen))
                if path.parent.is_dir()
                else ""
            )
            problems.append(node.problem(f"{what}{near or '; a base is named relative to the recipe that extends it'}"))
            return None
    except (OSError, ValueError) as error:  # a name with NUL, or too long
        problems.append(node.problem(f"cannot be read: {getattr(error, 'strerror', None) or error}"))
        return None
    seen.append(real)
    try:
        below = read_file(path, _label(path))
    except RecipeError as error:
        # what is wrong with its form may show its content
        shown = _resembles_a_recipe(path) or not any(problem.line for problem in error.problems)
        problems += error.problems if shown else [node.problem(_no_recipe(_label(path)))]
        return None
    if isinstance(below.value, dict):
        return below
    problems.append(node.problem(_no_recipe(_label(path))))
    return None


def _resembles_a_recipe(path: Path) -> bool:
    """Whether some line of a file that cannot be read as YAML begins with a key of recipes."""
    with path.open("rb") as file:
        text = file.read(LARGEST).decode("utf-8", "replace")
    return re.search(rf"^({'|'.join(Known().keys)})\s*:", text, re.MULTILINE) is not None


def _label(path: Path) -> str:
    """A path as messages show it: relative if it is below the working directory."""
    if not path.is_absolute():
        return os.path.normpath(path)
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


# --- shipped recipes ------------------------------------------------------------------------------------------


def recipes_folder() -> Path | None:
    """Where the shipped recipes are: in the installed package, or in the checkout of an editable install."""
    package = resolved(__file__).parents[1]
    for folder in (package / "_recipes", package.parents[1] / "recipes"):
        if folder.is_dir():
            return folder
    return None


def shipped_recipes() -> dict[str, Path]:
    """Name -> file of every shipped recipe, sorted by name."""
    folder = recipes_folder()
    files = sorted(folder.rglob("*.yaml")) if folder else []
    return {file.relative_to(folder).with_suffix("").as_posix(): file for file in files} if folder else {}


def find_recipe(name_or_path: str | Path) -> Path:
    """The file of a recipe, given as a path or as the name of a shipped one.

    Raises:
        RecipeError: if it is neither, with the nearest name.
    """
    text = str(name_or_path)
    path = Path(text)
    try:
        if path.is_file():
            return path
        shipped = shipped_recipes()
        if text in shipped:
            return shipped[text]
        if path.exists():
            return path  # a directory, or worse: reading it reports what is wrong
        names = (
            [*shipped, *(str(other) for other in path.parent.glob("*.y*ml"))] if path.parent.is_dir() else list(shipped)
        )
    except (OSError, ValueError) as error:
        raise RecipeError(
            [Problem(text, 0, 0, "", f"cannot be read: {getattr(error, 'strerror', None) or error}")]
        ) from error
    near = nearest(text, names) or nearest(path.stem, shipped)
    hint = near or "; `ganrun list-recipes` shows the shipped recipes"
    message = f"no such file or run, and no recipe of this name is shipped{hint}"
    raise RecipeError([Problem(text, 0, 0, "", message)])
