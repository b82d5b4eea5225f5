"""docs/reading.md is true: its files exist, and the hour's are few enough."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/reading.md").read_text()
HOUR = re.findall(r"^\| (\d+) \| `([\w/.]+)` \|", TEXT, re.MULTILINE)


def lines_of_code(source):
    """Lines that are neither blank, comment, docstring nor import."""
    tree = ast.parse(source)
    left_out = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            left_out |= set(range(node.lineno, node.end_lineno + 1))
        elif isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            left_out |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    rows = enumerate(source.splitlines(), 1)
    return sum(1 for row, text in rows if text.strip() and not text.strip().startswith("#") and row not in left_out)


def test_the_count_of_lines_leaves_out_what_is_no_code():
    assert lines_of_code('"""Doc\nmore."""\n\nimport a\n\n# why\nx = 1\ny = (\n    2\n)\n') == 4


def test_the_files_of_the_hour_have_at_most_1500_lines_of_code():
    assert sum(int(minutes) for minutes, _ in HOUR) == 60
    assert sum(lines_of_code((ROOT / path).read_text()) for _, path in HOUR) <= 1500


def test_every_file_that_the_page_names_exists():
    for path in re.findall(r"`((?:core|plugins)/[\w/.]+)`", TEXT):
        assert (ROOT / path).is_file(), path
