"""What is installed is what the checkout says: entry points, plugin files, and the contents of a wheel."""

from __future__ import annotations

import ast
import importlib.metadata
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLUGINS = ROOT / "plugins" / "ganrun_plugins"
DECLARED: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["ganrun"]
REINSTALL = "reinstall, also an editable install: .venv/bin/pip install -e ."


def plugin_files() -> dict[str, Path]:
    """Module name -> file of every plugin: the files that define ganrun_components."""
    found = {}
    for file in sorted(PLUGINS.rglob("*.py")):
        names = {node.name for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef)}
        if "ganrun_components" in names:
            found[".".join(file.relative_to(PLUGINS.parent).with_suffix("").parts)] = file
    return found


def test_installed_entry_points_are_those_of_pyproject() -> None:
    installed = {
        p.name: p.value for p in importlib.metadata.entry_points(group="ganrun") if p.dist and p.dist.name == "ganrun"
    }
    assert installed == DECLARED, f"pyproject.toml and the installed metadata differ; {REINSTALL}"


def test_every_entry_point_has_a_file_and_every_plugin_file_an_entry_point() -> None:
    files = set(plugin_files())
    assert set(DECLARED.values()) - files == set(), "entry points of pyproject.toml without a plugin file"
    assert files - set(DECLARED.values()) == set(), (
        f"plugin files without an entry point in pyproject.toml; add it, then {REINSTALL}"
    )


def test_entry_points_promise_what_the_modules_yield() -> None:
    from ganrun.catalog.catalog import Catalog

    catalog = Catalog(disabled=())
    for name in DECLARED:
        kind, _, rest = name.partition(".")
        assert catalog.load(kind, rest).factory is not None


def test_no_python_file_lies_among_the_recipes() -> None:
    assert list((ROOT / "recipes").rglob("*.py")) == [], "a .py file under recipes/ breaks the editable install"


@pytest.mark.slow
def test_a_wheel_holds_the_core_the_plugins_and_the_recipes(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-build-isolation",
        "--no-deps",
        "--no-index",
        "--wheel-dir",
        str(tmp_path),
        str(ROOT),
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("ganrun-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "ganrun/catalog/catalog.py" in names
    assert "ganrun/cli/templates/loss.txt" in names
    assert {f"{module.replace('.', '/')}.py" for module in plugin_files()} <= names
    recipes = {f"ganrun/_recipes/{file.relative_to(ROOT / 'recipes')}" for file in (ROOT / "recipes").rglob("*.yaml")}
    assert recipes
    assert recipes <= names
    assert not [name for name in names if name.startswith(("core/", "plugins/", "recipes/", "tests/"))]


@pytest.mark.slow
def test_an_installed_wheel_finds_its_recipes_and_plugins(tmp_path: Path) -> None:
    target = tmp_path / "site"
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--no-build-isolation",
        "--no-deps",
        "--no-index",
        "--target",
        str(target),
        str(ROOT),
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    code = (
        f"import sys; sys.path.insert(0, {str(target)!r})\n"
        "from ganrun.catalog.catalog import Catalog\nfrom ganrun.recipe import shipped_recipes\n"
        "print({str(file.parent) for file in shipped_recipes().values()})\nprint(len(shipped_recipes()))\n"
        "print({str(entry.file) for entry in Catalog(disabled=()).entries('loss') if entry.distribution == 'ganrun'})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    folders, count, files = done.stdout.splitlines()
    assert all(folder.startswith(str(target / "ganrun" / "_recipes")) for folder in ast.literal_eval(folders))
    assert int(count) == len(list((ROOT / "recipes").rglob("*.yaml")))
    assert all(file.startswith(str(target)) for file in ast.literal_eval(files))
