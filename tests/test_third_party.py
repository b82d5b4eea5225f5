"""A distribution that knows ganrun only from outside: installed, listed, shown, and used by a recipe."""

from __future__ import annotations

import json
import shutil
import site
import subprocess
import sys
import venv
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parent / "third_party" / "ganrun-example"

RECIPE = """\
# A stranger's loss and a stranger's trick on a ring of points.
variant: gan
dataset: ring
loss: {shifted-least-squares: {shift: 0.5}}
tricks:
  - latent-noise: {sigma: {linear: [0.2, 0], until: 50%}}
train: {steps: 100, batch_size: 16, device: cpu}
"""


def run(*command: str | Path, cwd: Path, codes: tuple[int, ...] = (0,)) -> str:
    """What a command prints; the test fails with its stderr if it ends with another exit code."""
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode in codes, f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new environment that sees this one's packages and holds the example, installed."""
    home = tmp_path_factory.mktemp("third-party")
    venv.create(home / "venv", with_pip=False, system_site_packages=True)
    python = home / "venv" / "bin" / "python"
    own = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=home).strip())
    # System site packages are those of the base Python. This environment's are added, with their own .pth files
    # (`addsitedir` reads them, a plain path would not), because an editable ganrun is found through one.
    here = [path for path in site.getsitepackages() if Path(path).is_dir()]
    (own / "_outer.pth").write_text("".join(f"import site; site.addsitedir({path!r})\n" for path in here))
    source = shutil.copytree(EXAMPLE, home / "source")
    run(python, "-m", "pip", "install", "--no-index", "--no-deps", "--no-build-isolation", source, cwd=home)
    return python


@pytest.mark.slow
def test_plugins_of_another_distribution_are_listed_with_its_version(python: Path, tmp_path: Path) -> None:
    listed = json.loads(run(python, "-m", "ganrun", "list-plugins", "--json", cwd=tmp_path))
    found = {f"{p['kind']}.{p['name']}": (p["distribution"], p["version"]) for p in listed}
    assert found["loss.shifted-least-squares"] == ("ganrun-example", "0.3.1")
    assert found["trick.latent-noise"] == ("ganrun-example", "0.3.1")
    assert found["variant.gan"][0] == "ganrun"
    lines = [
        line
        for line in run(python, "-m", "ganrun", "list-plugins", cwd=tmp_path).splitlines()
        if "ganrun-example" in line
    ]
    assert len(lines) == 4
    assert "0.3.1" in lines[0]


@pytest.mark.slow
def test_plugins_of_another_distribution_pass_the_checks(python: Path, tmp_path: Path) -> None:
    checked = json.loads(run(python, "-m", "ganrun", "list-plugins", "--check", "--json", cwd=tmp_path, codes=(0, 1)))
    assert {c["plugin"]: c["problems"] for c in checked if c["distribution"] == "ganrun-example"} == {
        "loss.shifted-least-squares": [],
        "trick.adaptive-clipping": [],
        "trick.latent-noise": [],
        "trick.latent-optimisation": [],
    }


@pytest.mark.slow
def test_show_explains_its_trick(python: Path, tmp_path: Path) -> None:
    shown = run(python, "-m", "ganrun", "show", "trick.latent-noise", cwd=tmp_path)
    assert "sigma" in shown
    assert "standard deviation of the noise" in shown
    assert "ganrun-example 0.3.1" in shown


@pytest.mark.slow
def test_a_recipe_trains_with_them_and_records_their_version(python: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    run(python, "-m", "ganrun", "recipe", "recipe.yaml", "--output", "out", "--set", "train.steps=3", cwd=tmp_path)
    assert "shifted-least-squares" in (tmp_path / "out" / "recipe.yaml").read_text()
    versions = (tmp_path / "out" / "versions.json").read_text()
    assert "ganrun-example" in versions
    assert "0.3.1" in versions


@pytest.mark.slow
def test_the_installed_copy_is_the_one_that_is_used(python: Path, tmp_path: Path) -> None:
    file = run(python, "-c", "import ganrun_example; print(ganrun_example.__file__)", cwd=tmp_path).strip()
    assert Path(file).is_relative_to(python.parents[1])
    assert sys.prefix not in file
