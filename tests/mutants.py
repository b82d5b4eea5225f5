"""Mutants of the shipped recipes, and what ``ganrun recipe MUTANT --check`` has to do with each of them."""

from __future__ import annotations

import contextlib
import io
import re
import shutil
import signal
import traceback
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from ganrun.cli import main

RECIPES = Path(__file__).parents[1] / "recipes"
LIMIT = 60  # seconds of the processor that a check may take, and ten times as many by the clock
PLACE = re.compile(r"\.yaml:\d+(:\d+)?: |mutant\.yaml: is a binary file")

# What people write where something else is wanted. No number is so large that a network of that width fills the memory.
ODD = [
    None,
    True,
    False,
    0,
    -1,
    1,
    2,
    3,
    7,
    64,
    0.5,
    -0.5,
    1e-30,
    1e30,
    float("nan"),
    float("inf"),
    "",
    " ",
    "auto",
    "none",
    "50%",
    "-5%",
    "3 epochs",
    "10 kimg",
    "5 minutes",
    "x" * 3000,
    "ünïcode",
    "~",
    "a: b",
    "../..",
    "%",
    "0x10",
    [],
    {},
    [[]],
    {"": None},
    [1, 2],
    [0.5, 0.999],
    {"linear": [1, 0]},
    {"linear": [1]},
    {"cosine": [1, 0], "until": "x"},
    {"steps": {}},
    {"steps": {"a": 1}},
    "dcgan",
    "ring",
    "adam",
    "hinge",
    "ema",
    {"adam": {"lr": "fast"}},
]
WORDS = [
    "variant",
    "dataset",
    "loss",
    "tricks",
    "players",
    "train",
    "evaluators",
    "observers",
    "without",
    "sampler",
    "generator",
    "discriminator",
    "extends",
    "checkpoint",
    "init",
    "every",
    "lr",
    "size",
    "weight",
    "trian",
]
CHARACTERS = "\t\n:{}[],#&*!|>'\"%@`-? \x00\x07é\ufeff"


def places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of everything in plain data but the root."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


def at(tree: Any, path: tuple[Any, ...]) -> Any:
    """What is at a path."""
    for key in path:
        tree = tree[key]
    return tree


@st.composite
def changed_data(draw: st.DrawFn, text: str) -> str:
    """A recipe with one to three changes of its data: a value, a key, something left out, moved or doubled."""
    tree = yaml.safe_load(text)
    for _ in range(draw(st.integers(1, 3))):
        found = list(places(tree))
        if not found:
            break
        path = draw(st.sampled_from(found))
        parent, key = at(tree, path[:-1]), path[-1]
        kind = draw(st.sampled_from(["value", "value", "drop", "rename", "add", "swap", "wrap", "negate"]))
        if kind == "value":
            parent[key] = deepcopy(draw(st.sampled_from(ODD)))
        elif kind == "drop":
            del parent[key]
        elif kind == "rename" and isinstance(parent, dict):
            name = str(key)
            cut = draw(st.integers(0, max(len(name) - 1, 0)))
            parent[name[:cut] + name[cut + 1 :]] = parent.pop(key)
        elif kind == "add" and isinstance(parent, dict):
            parent[draw(st.sampled_from(WORDS))] = deepcopy(draw(st.sampled_from(ODD)))
        elif kind == "swap":
            other = draw(st.sampled_from(found))
            if other[: len(path)] != path and path[: len(other)] != other:
                there = at(tree, other[:-1])
                parent[key], there[other[-1]] = there[other[-1]], parent[key]
        elif kind == "wrap":
            parent[key] = draw(st.sampled_from([[parent[key]], {"of": parent[key]}, [parent[key], parent[key]]]))
        elif isinstance(parent[key], int | float) and not isinstance(parent[key], bool):
            parent[key] = -parent[key]
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)


@st.composite
def changed_text(draw: st.DrawFn, text: str) -> str:
    """A recipe with one to three changes of its text: characters and lines left out, put in, doubled or moved."""
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, max(len(text) - 1, 0)))
        kind = draw(st.sampled_from(["put in", "leave out", "line out", "line twice", "indent", "end"]))
        lines = text.splitlines(keepends=True) or [""]
        row = draw(st.integers(0, len(lines) - 1))
        if kind == "put in":
            text = text[:place] + draw(st.sampled_from(CHARACTERS)) + text[place:]
        elif kind == "leave out":
            text = text[:place] + text[place + draw(st.integers(1, 6)) :]
        elif kind == "end":
            text = text[:place]
        else:
            other = {"line out": [], "line twice": [lines[row]] * 2, "indent": ["  " + lines[row]]}[kind]
            text = "".join(lines[:row] + other + lines[row + 1 :])
    return text


@st.composite
def mutants(draw: st.DrawFn) -> tuple[str, str]:
    """The name of a shipped recipe, and the text of a mutant of it."""
    path = draw(st.sampled_from(sorted(RECIPES.glob("*.yaml"))))
    change = draw(st.sampled_from([changed_data, changed_data, changed_text]))
    return path.stem, draw(change(path.read_text(encoding="utf-8")))


def beside_the_recipes(folder: Path) -> Path:
    """A copy of the shipped recipes, so that what a mutant extends is there. Returns the folder."""
    return Path(shutil.copytree(RECIPES, folder / "recipes"))


def checked(text: str, folder: Path) -> tuple[int | str, str]:
    """The exit code of ``recipe MUTANT --check`` and what it wrote as its error; a traceback in place of a code."""
    path = folder / "mutant.yaml"
    path.write_text(text, encoding="utf-8")
    out, err = io.StringIO(), io.StringIO()
    code: int | str = 0
    previous = [signal.signal(number, _too_long) for number in (signal.SIGALRM, signal.SIGPROF)]
    signal.alarm(10 * LIMIT)
    signal.setitimer(signal.ITIMER_PROF, LIMIT)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main(["recipe", str(path), "--check"])
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else str(ended.code)
    except Exception:
        code = traceback.format_exc()
    finally:
        signal.alarm(0)
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGALRM, previous[0])
        signal.signal(signal.SIGPROF, previous[1])
    return code, err.getvalue()


def problem(code: int | str, error: str) -> str:
    """What is wrong with how a check ended; empty if nothing is."""
    if code not in (0, 2):
        return f"it ended with {code}"
    if "Traceback" in error:
        return "it printed a traceback"
    if code == 2 and not PLACE.search(error):
        return "the error names no place in the recipe"
    long = max(map(len, error.splitlines()), default=0)
    return f"a line of {long} characters" if long > 1000 else ""


def _too_long(*_: Any) -> None:
    raise TimeoutError(f"a check took longer than {LIMIT} s of the processor")
