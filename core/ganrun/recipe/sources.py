"""Where a recipe is read from: a file with the bases it extends, or plain data; and the recipes that are shipped."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganrun.errors import nearest
from ganrun.recipe import layers
from ganrun.recipe.errors import Problem, RecipeError
from ganrun.recipe.known import Known
from ganrun.recipe.nodes import Node, Origin, from_plain
from ganrun.recipe.yaml import read_file


@dataclass(frozen=True)
class RecipeText:
    """What was read: the recipe's ``root``, which is the last of ``roots``, the lowest base first.

    ``name`` is empty for plain data.

    Not ``whole``, a base could not be read, so what seems to be missing may stand there.
    """

    name: str
    base: Path
    root: Node
    roots: list[Node]
    whole: bool = True


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
        seen = [path.resolve()]
    if not isinstance(root.value, dict):
        layers.normalise(root, Known(), problems)  # reports it
        return None
    found = [root]
    folder, whole = base, True
    while isinstance(found[0].value, dict) and isinstance(found[0].value.get("extends", root).value, str):
        node = found[0].value["extends"]
        path = folder / Path(node.value).expanduser()
        below = _read_base(node, path, seen, problems)
        if below is None:
            whole = False
            break
        found.insert(0, below)
        folder = path.parent
    return RecipeText(name, base, root, found, whole)


def _read_base(node: Node, path: Path, seen: list[Path], problems: list[Problem]) -> Node | None:
    """The file that ``extends`` names. A chain is followed, a cycle refused."""
    try:
        real = path.resolve()
        if real in seen:
            circle = " -> ".join(other.name for other in (*seen[seen.index(real) :], real))
            problems.append(node.problem(f"the bases form a cycle: {circle}; remove one extends"))
            return None
        if not path.is_file():
            what = "this is a directory" if path.is_dir() else f"no such file: {_label(path)}"
            near = (
                nearest(path.name, (other.name for other in path.parent.glob("*.y*ml") if other.resolve() not in seen))
                if path.parent.is_dir()
                else ""
            )
            problems.append(node.problem(f"{what}{near or '; a base is named relative to the recipe that extends it'}"))
            return None
    except (OSError, ValueError, RuntimeError) as error:  # a name with NUL, or too long, or a circle of links
        problems.append(node.problem(f"cannot be read: {getattr(error, 'strerror', None) or error}"))
        return None
    seen.append(real)
    try:
        return read_file(path, _label(path))
    except RecipeError as error:
        problems += error.problems
        return None


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
    package = Path(__file__).resolve().parents[1]
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
