"""``ganrun list-plugins``: what is installed, broken or disabled, and how fast it starts."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

BROKEN = """\
[ganrun]
loss.gone-astray = nowhere_to_be_found
"""


@pytest.fixture
def _broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution on the path whose plugin is not there."""
    metadata = tmp_path / "astray" / "astray-0.4.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: astray\nVersion: 0.4\n")
    (metadata / "entry_points.txt").write_text(BROKEN)
    monkeypatch.syspath_prepend(str(metadata.parent))
    importlib.invalidate_caches()


def test_prints_one_line_a_plugin_when_stdout_is_no_terminal(ganrun) -> None:
    done = ganrun("list-plugins", COLUMNS="40")
    assert (done.code, done.err) == (0, "")
    (line,) = [line for line in done.out.splitlines() if line.startswith("loss.minimax ")]
    assert line.split()[1] == "ganrun"
    assert "log(1 - D(G(z)))" in line


def test_prints_json_for_one_kind(ganrun) -> None:
    listed = json.loads(ganrun("list-plugins", "--json", "--kind", "loss").out)
    assert {entry["kind"] for entry in listed} == {"loss"}
    minimax = next(entry for entry in listed if entry["name"] == "minimax")
    assert minimax["distribution"] == "ganrun"
    assert minimax["module"] == "ganrun_plugins.losses.minimax"
    assert minimax["problem"] is None


def test_requirements_name_the_distribution_and_what_it_requires(ganrun) -> None:
    done = ganrun("list-plugins", "--requirements")
    assert any(line.startswith("ganrun ") and "torch>=" in line for line in done.out.splitlines())
    listed = json.loads(ganrun("list-plugins", "--requirements", "--json", "--kind", "loss").out)
    assert any(requirement.startswith("pluggy") for requirement in listed[0]["requirements"])


@pytest.mark.usefixtures("_broken")
def test_a_broken_plugin_costs_one_line_below_the_table(ganrun) -> None:
    done = ganrun("list-plugins")
    assert done.code == 0
    assert "loss.minimax" in done.out
    assert done.err == "loss.gone-astray (astray 0.4): module nowhere_to_be_found is not there; reinstall astray\n"
    assert ganrun("list-plugins", "--check", "--kind", "loss").code == 1


def test_an_uninstalled_file_is_listed_and_checked(ganrun, my_loss: Path) -> None:
    done = ganrun("list-plugins", "--kind", "loss", "--plugin", my_loss)
    assert any(
        "loss.my-own" in line and "my_loss.py" in line and "My own loss." in line for line in done.out.splitlines()
    )
    done = ganrun("list-plugins", "--check", "--kind", "loss", "--plugin", my_loss)
    assert (done.code, done.err) == (0, "")
    assert any(line.split() == ["loss.my-own", "ok"] for line in done.out.splitlines())


@pytest.mark.slow
def test_every_plugin_of_ganrun_passes_the_checks(ganrun) -> None:
    done = ganrun("list-plugins", "--check", "--json")
    assert [(found["plugin"], found["problems"]) for found in json.loads(done.out) if found["problems"]] == []
    assert done.code == 0


def test_a_disabled_plugin_is_marked_and_a_misspelt_one_reported(ganrun) -> None:
    done = ganrun("list-plugins", "--kind", "loss", GANRUN_DISABLE_PLUGINS="loss.minimax,loss.minimacks")
    assert any(line.startswith("loss.minimax ") and "(disabled)" in line for line in done.out.splitlines())
    assert done.err == "GANRUN_DISABLE_PLUGINS names loss.minimacks, which is not installed\n"


def test_a_reader_that_stops_early_is_no_error() -> None:
    command = f"{sys.executable} -m ganrun list-plugins --json | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, timeout=120)
    assert (done.stdout, done.stderr) == ("[\n", "")


def test_a_syntax_error_in_a_file_is_told_with_its_line(
    ganrun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bad.py").write_text("x = 1\ny = = 2\n")
    monkeypatch.chdir(tmp_path)
    done = ganrun("list-plugins", "--plugin", "bad.py")
    assert done.code == 1
    assert done.err == "bad.py:2: invalid syntax; the plugin bad.py cannot be imported\n"


@pytest.mark.slow
def test_list_plugins_starts_within_four_times_the_imports_it_cannot_do_without() -> None:
    def seconds(*arguments: str) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True, timeout=120)
        return time.perf_counter() - start

    pairs = [(seconds("-c", "import typer, rich, pluggy"), seconds("-m", "ganrun", "list-plugins")) for _ in range(12)]
    base, listing = (min(column) for column in zip(*pairs))
    print(f"list-plugins {listing:.3f} s, imports {base:.3f} s, ratio {listing / base:.2f}")
    assert listing <= 4 * base
