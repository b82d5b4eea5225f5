"""Who may import whom: the floors of the core, and plugins that use the front door alone."""

import ast
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLUGINS = sorted((ROOT / "plugins/ganrun_plugins").rglob("*.py"))
DOORS = {"ganrun.plugin", "ganrun.plugin.data", "ganrun.plugin.evaluation"}


def imports(path):
    """(module, line, whether it is for types only) of every import of a file, lazy ones too."""
    tree = ast.parse(path.read_text())
    guarded = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, node.lineno, id(node) in guarded
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno, id(node) in guarded


def test_imports_go_down_the_floors():
    code = "import sys; from importlinter.cli import lint_imports_command as command; sys.argv[1:] = []; command()"
    paths = os.pathsep.join([str(ROOT / "core"), str(ROOT / "plugins")])
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_imports_that_go_up_are_for_types_only():
    """The layers contract leaves out what pyproject.toml lists; each of these has to stand under TYPE_CHECKING."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    for line in contracts[0]["ignore_imports"]:
        importer, imported = line.split(" -> ")
        file = ROOT / "core" / (importer.replace(".", "/") + ".py")
        found = [for_types for module, _, for_types in imports(file) if module == imported]
        assert found, line
        assert all(found), line


MODULES = {".".join(path.relative_to(ROOT / "plugins").with_suffix("").parts) for path in PLUGINS}
SHARED = {  # by plugins of several kinds
    "ganrun_plugins._classifier_network",
    "ganrun_plugins._group_deviation",
    "ganrun_plugins._without_compiler",
}


def of_plugins(path):
    """(module, line) of every built-in plugin, or helper of one, that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            named = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            named = [alias.name for alias in node.names]
        else:
            continue
        yield from ((module, node.lineno) for module in named if module in MODULES)


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: "/".join(path.parts[-2:]))
def test_a_plugin_imports_private_helpers_of_its_own_kind_and_no_other_plugin(path):
    """A helper is a file ``_x.py`` beside the plugin, or one of the few that plugins of several kinds are made of."""
    foreign = [
        f"{path}:{line} {module}"
        for module, line in of_plugins(path)
        if module not in SHARED and not module.startswith(f"ganrun_plugins.{path.parent.name}._")
    ]
    assert foreign == []


def test_what_kinds_share_is_used_by_several_kinds():
    for shared in SHARED:
        users = {path.parent.name for path in PLUGINS if shared in {module for module, _ in of_plugins(path)}}
        assert len(users) > 1, f"{shared}: {users}"


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: "/".join(path.parts[-2:]))
def test_a_plugin_imports_nothing_of_ganrun_but_the_front_door(path):
    other = [f"{path}:{line} {module}" for module, line, _ in imports(path) if module.split(".")[0] == "ganrun"]
    assert [text for text in other if text.rpartition(" ")[2] not in DOORS] == []


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: "/".join(path.parts[-2:]))
def test_a_plugin_knows_a_turn_and_not_its_engine(path):
    reached = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)]
    assert [f"{path}:{node.lineno}" for node in reached if node.attr in ("engine", "_engine")] == []


def public_names(path):
    """The public classes and constants (written in capitals, or types) that a module defines."""
    for node in ast.parse(path.read_text()).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names = [node.name] if isinstance(node, ast.ClassDef) else [getattr(target, "id", "_") for target in targets]
        yield from (name for name in names if name[0].isupper())


def test_a_public_name_means_one_thing_in_core():
    found = {}
    for path in sorted((ROOT / "core/ganrun").rglob("*.py")):
        for name in public_names(path):
            found.setdefault(name, []).append(str(path.relative_to(ROOT)))
    assert {name: paths for name, paths in found.items() if len(paths) > 1} == {}
