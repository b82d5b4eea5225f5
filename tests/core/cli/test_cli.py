"""The program itself: its help, errors of the user, and what fast commands do not import."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ganrun.cli import COMMANDS

ERRORS = {
    "unknown plugin": (["show", "loss.minimaks"], 'no loss is called "minimaks"; did you mean "minimax"'),
    "unknown name": (["show", "minimaks"], "did you mean loss.minimax?"),
    "unknown kind": (["list-plugins", "--kind", "los"], 'did you mean "loss"'),
    "missing file": (["list-plugins", "--plugin", "nowhere.py"], "nowhere.py: cannot read this plugin"),
    "unknown command": (["list-plugin"], "Did you mean 'list-plugins'"),
    "unknown option": (["list-plugins", "--jsn"], "--jsn"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_an_error_of_the_user_is_plain_and_ends_with_2(ganrun, case: str) -> None:
    arguments, message = ERRORS[case]
    done = ganrun(*arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert "Traceback" not in done.err


def test_version_and_help(ganrun) -> None:
    from importlib.metadata import version

    assert ganrun("--version").out == f"ganrun {version('ganrun')}\n"
    shown = ganrun("--help").out
    for command in ("list-plugins", "show", "list-recipes", "schema"):
        assert command in shown


def test_every_command_explains_itself(ganrun) -> None:
    for command in COMMANDS:
        done = ganrun(command, "--help")
        assert done.code == 0, done.err
        assert "Usage: ganrun " + command in done.out


HEAVY = (
    "[name for name in sys.modules"
    " if name.partition('.')[0] in ('torch', 'pydantic', 'numpy', 'accelerate', 'ganrun_plugins')]"
)


@pytest.mark.parametrize(
    "arguments",
    [
        ["list-plugins"],
        ["list-plugins", "--json"],
        ["list-plugins", "--requirements"],
        ["--help"],
        ["--version"],
        *([command, "--help"] for command in COMMANDS),
    ],
)
def test_fast_commands_import_neither_torch_nor_pydantic_nor_a_plugin(arguments: list[str]) -> None:
    code = (
        f"import sys\nfrom ganrun.cli import main\ntry:\n    main({arguments!r})\nfinally:\n    print('HEAVY', {HEAVY})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.splitlines()[-1] == "HEAVY []", done.stderr


def test_importing_ganrun_imports_no_torch() -> None:
    code = f"import sys, ganrun\nganrun.__version__\nprint({HEAVY})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
