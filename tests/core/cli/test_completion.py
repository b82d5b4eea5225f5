"""Shells complete commands, options, recipes and plugins, without torch."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

COMPLETE = (
    "import sys\nfrom ganrun.cli import main\ntry:\n    main([])\n"
    "finally:\n    print('torch' in sys.modules, file=sys.stderr)"
)


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("ganrun list-", ["list-plugins", "list-recipes"]),
        ("ganrun recipe --dry", ["--dry-run"]),
        ("ganrun recipe dcgan_d", ["dcgan_digits", "dcgan_digits_strip"]),
        ("ganrun show discriminator.dc", ["discriminator.dcgan"]),
        ("ganrun list-plugins --kind fe", ["features"]),
        ("ganrun list-plugins optimizer.ad", ["optimizer.adam", "optimizer.adamax"]),
    ],
)
def test_a_shell_completes_what_was_typed_without_torch(typed: str, completed: list[str]) -> None:
    environment = os.environ | {
        "_GANRUN_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(typed.split()) - 1),
    }
    done = subprocess.run([sys.executable, "-c", COMPLETE], env=environment, capture_output=True, text=True)
    assert done.stdout.split() == completed
    assert done.stderr == "False\n"
