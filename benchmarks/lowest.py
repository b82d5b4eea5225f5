"""Do the lowest versions that pyproject.toml names work? They are installed together, once, and the tests are run.

    python benchmarks/lowest.py  # needs a package index; prints the versions, and how the tests ended

uv resolves to the lowest version of each direct dependency (``--resolution lowest-direct``), of ganrun itself and of
its extras, into an environment of its own, which is removed afterwards. ganrun is installed from a wheel, and the tests
run from a copy of the checkout, so that nothing is imported from its sources. What follows the command goes to pytest.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import venv
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXTRAS = "test,tensorboard,lsun"
TESTS = ("-q", "-n0", "tests/core", "tests/test_contracts.py", "-k", "not network")  # half an hour on one core
COPIED = ("core", "plugins", "recipes", "tests", "docs", "benchmarks", "pyproject.toml", "README.md", "LICENSE")


def direct() -> Iterator[tuple[str, str]]:
    """Name and lowest version of each direct dependency, those of extras last."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for line in dict.fromkeys([*project["dependencies"], *(line for lines in extras.values() for line in lines)]):
        name, _, version = line.partition(">=")
        yield name, version


def installed(uv: Path, python: Path) -> dict[str, str]:
    """Name -> version of everything in an environment."""
    listed = subprocess.run(
        [uv, "pip", "freeze", "--python", python], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    pairs = (re.split("==| @ ", line, maxsplit=1) for line in listed)
    return {name.lower().replace("_", "-"): version for name, version in pairs}


def main() -> None:
    """Install, check, list, and run the tests; end as they end."""
    with tempfile.TemporaryDirectory(prefix="ganrun-lowest-") as folder:
        place = Path(folder)
        venv.create(place / "tools", with_pip=True)
        subprocess.run([place / "tools/bin/pip", "install", "--quiet", "uv"], check=True)
        uv, python = place / "tools/bin/uv", place / "lowest/bin/python"
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, place / "lowest"], check=True)
        install = [uv, "pip", "install", "--quiet", "--python", python]
        subprocess.run([*install, "--resolution", "lowest-direct", f"{ROOT}[{EXTRAS}]"], check=True)
        subprocess.run([uv, "pip", "check", "--python", python], check=True)
        there = installed(uv, python)
        for name, version in direct():
            print(f"{name} >= {version}: {there[name.lower()]}", flush=True)
        (place / "checkout").mkdir()
        for name in COPIED:
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copy2)(source, place / "checkout" / name)
        done = subprocess.run(
            [python, "-m", "pytest", *(sys.argv[1:] or TESTS)],
            cwd=place / "checkout",
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
