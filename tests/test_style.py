"""The style that CONTRIBUTING.md asks for: lint, types, and files that can be read in one go."""

import ast
import io
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    path for folder in ("core", "plugins", "benchmarks", "tests") for path in (ROOT / folder).rglob("*.py")
)


def functions(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def comments(path):
    for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
        if token.type == tokenize.COMMENT:
            yield token


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]], ids=" ".join)
def test_ruff_finds_nothing(command):
    """Lint, lines of at most 120 characters among it, and the format."""
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *command, "--no-cache", "core", "plugins", "tests", "benchmarks"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def test_no_comment_keeps_the_formatter_or_the_length_of_lines_off():
    switches = ("fmt: off", "fmt: skip", "fmt:off", "fmt:skip", "E501")
    found = [
        f"{path.relative_to(ROOT)}:{comment.start[0]}"
        for path in SOURCES
        for comment in comments(path)
        if any(switch in comment.string for switch in switches)
    ]
    assert not found


def test_no_test_is_skipped_but_by_what_it_needs_of_the_machine():
    """A skip that CI does not notice tests nothing: see tests/prerequisites.py."""
    skips = ("pytest.skip", "pytest.importorskip", "pytest.mark.skip", "pytest.mark.skipif")
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in SOURCES
        if path.name != "prerequisites.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in skips
    ]
    assert not found


@pytest.mark.slow
def test_mypy_finds_nothing():
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "core/ganrun", "plugins/ganrun_plugins"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def test_no_file_is_longer_than_400_lines():
    long = {str(path.relative_to(ROOT)): count for path in SOURCES if (count := path.read_text().count("\n")) > 400}
    assert not long


# Test files of the core that are about an idea which several modules share.
OF_SEVERAL_MODULES = {
    "cli/test_plugin_errors.py",
    "cli/test_plugin_mistakes.py",
    "engine/test_layers.py",
    "recipe/test_loss_by_game.py",
    "recipe/test_renamed.py",
}


def test_a_test_file_of_the_core_is_called_after_the_module_that_it_tests():
    tests, core = ROOT / "tests" / "core", ROOT / "core" / "ganrun"
    found = set()
    for path in tests.rglob("test_*.py"):
        folder, name = path.relative_to(tests).parent, path.name.removeprefix("test_")
        package = f"{folder.name}.py" == name  # tests of a package's __init__
        if not package and not (core / folder / name).exists():
            found.add(path.relative_to(tests).as_posix())
    assert found == OF_SEVERAL_MODULES


def test_no_function_is_longer_than_60_lines():
    long = {
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}": length
        for path in SOURCES
        for node in functions(path)
        if (length := (node.end_lineno or node.lineno) - node.lineno + 1) > 60
    }
    assert not long


def test_no_part_of_the_core_or_of_a_plugin_asks_for_a_plugin_by_name():
    """Capabilities decide: nothing is compared with the name of an installed plugin."""
    from ganrun.catalog.catalog import Catalog

    names = {entry.name for entry in Catalog().entries() if "-" in entry.name}
    asked = []
    for path in SOURCES:
        if path.parts[len(ROOT.parts)] not in ("core", "plugins"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare):
                sides = [node.left, *node.comparators]
                values = [
                    v
                    for side in sides
                    for v in (side.elts if isinstance(side, ast.Tuple | ast.List | ast.Set) else [side])
                ]
                found = [v.value for v in values if isinstance(v, ast.Constant) and v.value in names]
                asked += [f"{path.relative_to(ROOT)}:{node.lineno} {name}" for name in found]
    assert not asked
