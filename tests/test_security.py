"""docs/security.md: nothing that is opened runs code, but plugins. Looked for in the sources of core and plugins."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted([*(ROOT / "core").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")])
RUNS = re.compile(
    r"eval|exec|compile|os\.(system|popen)|runpy\.\w+|marshal\.loads|shelve\.open|subprocess\.\w+"
    r"|(pickle|cloudpickle|joblib)\.(loads?|Unpickler)|yaml\.(unsafe_load|full_load)"
)
PLUGINS = ROOT / "core" / "ganrun" / "catalog" / "plugin_files.py"  # runs the files of --plugin
# runs the source that an export has written a moment before, to compare it with the network
EXPORTED = ROOT / "core" / "ganrun" / "inference" / "export_formats.py"


def calls(file: Path) -> Iterator[tuple[str, ast.Call]]:
    """The calls in a file, by the dotted name that is called."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_nothing_that_is_read_is_run(file: Path) -> None:
    for name, call in calls(file):
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        assert not RUNS.fullmatch(name) or file in (PLUGINS, EXPORTED), f"line {call.lineno}: {name}"
        assert name != "torch.load" or given.get("weights_only") == "True", f"line {call.lineno}: torch.load"
        assert name != "np.load" or given.get("allow_pickle") == "False", f"line {call.lineno}: np.load"
        assert name != "yaml.load" or "SafeLoader" in ast.unparse(call), f"line {call.lineno}: yaml.load"
        assert given.get("shell") != "True", f"line {call.lineno}: shell"
