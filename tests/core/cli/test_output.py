"""What commands print goes to terminals of any width, and to readers that leave early."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from ganrun.cli import output
from ganrun.cli.output import print_table


def test_a_closed_pipe_ends_nothing_while_a_run_prints(monkeypatch):
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w", buffering=1) as broken, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", broken)
        with output.outliving_readers():
            print("nobody reads this", flush=True)
            print("nor this", flush=True)
        assert sys.stdout is broken


def test_a_run_goes_on_when_its_reader_has_left(write_recipe, tmp_path):
    command = [
        sys.executable,
        "-m",
        "ganrun",
        "recipe",
        write_recipe(observers=["progress", "checkpoints"]),
        "--output",
        "out",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=tmp_path) as process:
        assert process.stdout is not None
        process.stdout.close()
    assert process.returncode == 0
    assert (tmp_path / "out/checkpoints/step-0000003").is_dir()


def test_a_terminal_too_narrow_for_a_table_gets_whole_names(monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "40")
    output.print_table(
        ("plugin", "distribution", "version", "summary"),
        [("loss.least-squares", "ganrun", "0.1.0", "Squared distance.")],
    )
    assert "loss.least-squares  ganrun  0.1.0  Squared distance." in capsys.readouterr().out


def test_a_table_on_a_narrow_terminal_wraps_the_last_column_and_cuts_no_name(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    print_table(
        ("plugin", "summary"), [("loss.a-rather-long-name", "Uniform numbers in [-1, 1) and [red]more[/red] of them")]
    )
    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert any("loss.a-rather-long-name" in line for line in lines)
    assert max(map(len, lines)) <= 50
    assert "[red]more[/red]" in " ".join(" ".join(lines).split())
