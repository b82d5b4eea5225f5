"""``ganrun new plugin`` writes a distribution of every kind that passes its own tests."""

import re
import shutil
import site
import subprocess
import tomllib
import venv
from pathlib import Path

import pytest

from ganrun.testing import Plugin, quick_problems
from ganrun.words.hooks import KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_the_plugin_that_is_written_passes_the_quick_checks_of_its_kind(kind, ganrun, tmp_path):
    code, out, err = ganrun("new", "plugin", tmp_path / "soft-thing", "--kind", kind)
    assert (code, err) == (0, "")
    module = tmp_path / "soft-thing/ganrun_soft_thing/soft_thing.py"
    assert str(module) in out.splitlines()
    assert quick_problems(Plugin(f"{kind}.soft-thing", modules=[module])) == []


def test_both_networks_of_a_paper_get_an_entry_point(ganrun, tmp_path):
    ganrun("new", "plugin", tmp_path / "mine", "--kind", "generator")
    project = tomllib.loads((tmp_path / "mine/pyproject.toml").read_text())["project"]
    assert project["entry-points"]["ganrun"] == {
        "generator.mine": "ganrun_mine.mine",
        "discriminator.mine": "ganrun_mine.mine",
    }


def test_the_entry_point_names_the_module_that_was_written(ganrun, tmp_path):
    ganrun("new", "plugin", tmp_path / "ganrun-soft-hinge", "--kind", "loss")
    project = tomllib.loads((tmp_path / "ganrun-soft-hinge/pyproject.toml").read_text())["project"]
    assert project["name"] == "ganrun-soft-hinge"
    assert project["entry-points"]["ganrun"] == {"loss.soft-hinge": "ganrun_soft_hinge.soft_hinge"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["recipe", "DIR", "--kind", "loss"], "only a plugin can be created"),
        (["plugin", "DIR", "--kind", "losses"], "the kinds are variant, generator"),
        (["plugin", "DIR", "--kind", "loss", "--name", "Soft Hinge"], "such as soft-hinge"),
        (["plugin", ".", "--kind", "loss", "--name", "mine"], "exists and is not empty"),
    ],
)
def test_a_request_that_cannot_be_met_writes_nothing(arguments, said, ganrun, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.txt").write_text("mine")
    code, _, err = ganrun("new", *arguments)
    assert code == 2
    assert said in err
    assert [path.name for path in tmp_path.iterdir()] == ["here.txt"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["loss", "variant"])
def test_a_new_distribution_installs_and_passes_its_own_tests(kind, ganrun, tmp_path):
    ganrun("new", "plugin", tmp_path / "mine", "--kind", kind, "--name", "mine")
    venv.create(tmp_path / "venv", with_pip=False, system_site_packages=True)
    python = tmp_path / "venv/bin/python"
    where = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    own = Path(subprocess.run(where, check=True, capture_output=True, text=True).stdout.strip())
    here = [path for path in site.getsitepackages() if Path(path).is_dir()]
    (own / "_outer.pth").write_text("".join(f"import site; site.addsitedir({path!r})\n" for path in here))
    install = [python, "-m", "pip", "install", "--no-index", "--no-deps", "--no-build-isolation", tmp_path / "mine"]
    subprocess.run(install, check=True, capture_output=True)
    shutil.rmtree(tmp_path / "mine/ganrun_mine")  # what is tested is what was installed
    done = subprocess.run([python, "-m", "pytest", "-q"], cwd=tmp_path / "mine", capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > 8
