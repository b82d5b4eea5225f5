"""``ganrun new plugin``: a working distribution to start a plugin from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from ganrun.errors import UserError, nearest
from ganrun.words.hooks import KINDS

TEMPLATES = Path(__file__).parent / "templates"
YIELDED = re.compile(r'yield Component\("(\w+)", "[\w-]+"')
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")

PYPROJECT = """\
[build-system]
requires = ["hatchling>=1.27"]
build-backend = "hatchling.build"

[project]
name = "{distribution}"
version = "0.1.0"
description = "{summary}"
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["ganrun>={version}"]

[project.optional-dependencies]
test = ["pytest>=8.3"]

[project.entry-points.ganrun]
{entry_points}

[tool.hatch.build.targets.wheel]
packages = ["{package}"]
"""

README = """\
# {distribution}

The {kind} `{name}` for ganrun: {summary}

    pip install -e '.[test]'               # a new entry point needs this again, an edit of the code does not
    pytest                                 # the contract checks of its kind
    ganrun show {kind}.{name}
    ganrun list-plugins --check {kind}.{name}

Without installing anything: `ganrun recipe RECIPE --plugin {package}/{module}.py`.
"""

TEST = '''\
"""The contract that every {kind} keeps; tests of what this one computes belong beside it."""

from ganrun.testing import parametrize_with_checks


@parametrize_with_checks([{plugins}])
def test_it_keeps_the_contract_of_its_kind(plugin, check):
    check(plugin)
'''


def command(
    what: Annotated[str, typer.Argument(metavar="plugin", help="What to create: plugin.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to write; it must be new or empty.")],
    kind: Annotated[str, typer.Option(help=f"What kind of plugin: {', '.join(KINDS)}.")],
    name: Annotated[
        str | None, typer.Option(help="The plugin's name in recipes, such as soft-hinge. Default: the folder's name.")
    ] = None,
) -> None:
    """Create a distribution with a new plugin.

    It has an entry point, tests and a README: ready to install, test and change."""
    if what != "plugin":
        raise UserError(
            f"ganrun new {what}: only a plugin can be created; write `ganrun new plugin {folder} --kind {kind}`"
        )
    for path in write_plugin(folder, kind, name):
        print(path)
    print(f"next: cd {folder} && pip install -e '.[test]' && pytest")


def write_plugin(folder: Path, kind: str, name: str | None = None) -> list[Path]:
    """Write the distribution, and return its files.

    Raises:
        UserError: for a wrong kind or name, or a folder that is not empty.
    """
    if kind not in KINDS:
        near = nearest(kind, KINDS) or ";"
        raise UserError(f"--kind {kind}: there is no such kind of plugin{near} the kinds are {', '.join(KINDS)}")
    name = folder.absolute().name.removeprefix("ganrun-") if name is None else name
    if NAME.fullmatch(name) is None:
        raise UserError(f"--name {name}: names have lower-case letters, digits and single hyphens, such as soft-hinge")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} exists and is not empty; give another folder")
    from importlib.metadata import version

    module = name.replace("-", "_")
    code = template(kind, name)
    plugins = [f"{yielded}.{name}" for yielded in YIELDED.findall(code)]
    words = {
        "kind": kind,
        "name": name,
        "distribution": f"ganrun-{name}",
        "package": f"ganrun_{module}",
        "module": module,
        "summary": code.split("\n", 1)[0].strip('"'),
        "version": version("ganrun"),
        "plugins": ", ".join(f'"{plugin}"' for plugin in plugins),
        "entry_points": "\n".join(f'"{plugin}" = "ganrun_{module}.{module}"' for plugin in plugins),
    }
    files = {
        "pyproject.toml": PYPROJECT.format(**words),
        "README.md": README.format(**words),
        f"{words['package']}/__init__.py": f'"""{words["summary"]}"""\n',
        f"{words['package']}/{module}.py": code,
        f"tests/test_{module}.py": TEST.format(**words),
    }
    written = []
    for place, text in files.items():
        path = folder / place
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UserError(f"{path}: cannot be written ({error.strerror or error}); give another folder") from error
        written.append(path)
    return written


def template(kind: str, name: str) -> str:
    """The example of a kind under another name; networks of one paper share one file and one name."""
    text = (TEMPLATES / f"{kind}.txt").read_text(encoding="utf-8")
    return YIELDED.sub(rf'yield Component("\1", "{name}"', text)
