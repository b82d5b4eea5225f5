"""Built as a wheel and as a source distribution, ganrun installs and trains where its sources are not."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
SMALL = ("--set", "train.steps=2", "--set", "train.threads=1", "--set", "without=[mode-coverage]")


def run(*command: object, cwd: Path) -> str:
    """What a command prints; an error shows it."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A wheel and a source distribution."""
    place = tmp_path_factory.mktemp("built")
    run(sys.executable, "-m", "hatchling", "build", "-d", place, cwd=ROOT)
    return {"wheel": next(place.glob("*.whl")), "sdist": next(place.glob("*.tar.gz"))}


def test_the_source_distribution_holds_what_a_build_needs_and_the_licence(built: dict[str, Path]) -> None:
    with tarfile.open(built["sdist"]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "core/ganrun/__init__.py"} <= names
    assert any(name.startswith("recipes/") for name in names)
    assert not [name for name in names if name.startswith((".venv", "runs/", "tests/"))]


def test_the_wheel_holds_the_licence_and_nothing_of_a_checkout(built: dict[str, Path]) -> None:
    names = zipfile.ZipFile(built["wheel"]).namelist()
    assert [name for name in names if name.endswith("licenses/LICENSE")]
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"ganrun", "ganrun_plugins"}


@pytest.mark.parametrize("form", ["wheel", "sdist"])
def test_it_installs_and_trains_in_an_environment_of_its_own(built: dict[str, Path], form: str, tmp_path: Path) -> None:
    """The environment sees the dependencies of this one: a path in a ``.pth`` file, whose own are not followed."""
    venv.create(tmp_path / "env", with_pip=False)
    binaries, work = tmp_path / "env" / "bin", tmp_path / "work"
    work.mkdir()
    own = run(binaries / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=work).strip()
    seen = [place for place in sys.path if place.endswith("site-packages")]
    (Path(own) / "dependencies.pth").write_text("\n".join(seen) + "\n")
    pip = (binaries / "python", "-m", "pip")
    run(*pip, "install", "--no-deps", "--no-index", "--no-build-isolation", "--ignore-installed", built[form], cwd=work)
    assert "No broken requirements" in run(*pip, "check", cwd=work)
    found = run(
        binaries / "python", "-c", "import ganrun, ganrun_plugins as p; print(ganrun.__file__, p.__path__)", cwd=work
    )
    assert found.count(own) == 2
    assert "mode-coverage" in run(binaries / "ganrun", "list-plugins", "--kind", "evaluator", cwd=work)
    run(binaries / "ganrun", "recipe", "gan_ring", *SMALL, cwd=work)
    assert (work / "runs/gan_ring/checkpoints/step-0000002").is_dir()
    run(binaries / "python", "-m", "ganrun", "sample", "runs/gan_ring", cwd=work)
    run(binaries / "ganrun", "new", "plugin", "ganrun-mine", "--kind", "loss", cwd=work)
