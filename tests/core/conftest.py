"""Fixtures for tests of the core."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
from plugin_sources import Install


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a distribution on the path: entry points, and modules by file name. No build, just its metadata and files."""
    monkeypatch.delenv("GANRUN_DISABLE_PLUGINS", raising=False)

    def make(
        name: str,
        entry_points: dict[str, str],
        files: dict[str, str] | None = None,
        version: str = "1.0",
        requires: tuple[str, ...] = (),
    ) -> Path:
        folder = tmp_path / name
        metadata = folder / f"{name.replace('-', '_')}-{version}.dist-info"
        metadata.mkdir(parents=True)
        lines = [f"Requires-Dist: {requirement}" for requirement in requires]
        (metadata / "METADATA").write_text(
            "\n".join([f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}", *lines]) + "\n"
        )
        points = "".join(f"{key} = {value}\n" for key, value in entry_points.items())
        (metadata / "entry_points.txt").write_text(f"[ganrun]\n{points}")
        for file, text in (files or {}).items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(text)
        monkeypatch.syspath_prepend(str(folder))
        importlib.invalidate_caches()
        return folder

    before = set(sys.modules)
    yield make
    for module in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[module], "__file__", "")):
            del sys.modules[module]
