"""What is importable only because of where the user stands is no plugin, however Python was started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

LIST = ("-m", "ganrun", "list-plugins", "--kind", "observer")
CATALOG = "from ganrun.catalog.catalog import Catalog; print(Catalog().names('observer'))"
MARK = "import pathlib; pathlib.Path(__file__).with_name('ran').touch()\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with what looks like an installed distribution, and modules under names that ganrun imports."""
    metadata = tmp_path / "lurking-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: lurking\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[ganrun]\nobserver.lurking = lurking\n")
    (tmp_path / "ganrun_plugins").mkdir()
    for name in ("lurking.py", "typer.py", "ganrun_plugins/__init__.py"):
        (tmp_path / name).write_text(MARK)
    return tmp_path


def started(folder: Path, *arguments: str, path: str | None = None) -> str:
    """What Python prints, started in a folder."""
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONSAFEPATH")}
    environment |= {"PYTHONPATH": path} if path is not None else {}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_python_m_finds_no_plugin_in_the_working_directory_and_imports_no_module_from_it(folder: Path) -> None:
    printed = started(folder, *LIST)
    assert "checkpoints" in printed
    assert "lurking" not in printed
    assert not list(folder.rglob("ran"))


@pytest.mark.parametrize("path", [None, os.pathsep])
def test_an_interactive_session_and_an_empty_part_of_pythonpath_find_none_either(
    folder: Path, path: str | None
) -> None:
    (folder / "typer.py").unlink()
    names = started(folder, "-c", CATALOG, path=path)
    assert "checkpoints" in names
    assert "lurking" not in names


def test_a_folder_that_pythonpath_names_is_looked_at_also_from_within(folder: Path) -> None:
    (folder / "typer.py").unlink()
    assert "lurking" in started(folder, *LIST, path=str(folder))
    assert "lurking" in started(folder.parent, *LIST, path=str(folder))


def test_of_two_distributions_of_one_name_the_first_on_the_path_counts(folder: Path, tmp_path: Path) -> None:
    for place in ("first", "second"):
        metadata = folder / place / "twice-1.0.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: twice\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[ganrun]\nobserver.{place} = {place}\n")
    both = os.pathsep.join(str(folder / place) for place in ("first", "second"))
    names = started(folder, "-c", CATALOG, path=both)
    assert "first" in names
    assert "second" not in names
