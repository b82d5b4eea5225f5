"""A run's folder loses nothing: whose files are overwritten, and what a resume is held against."""

import json
import os

import pytest

import ganrun
from ganrun.errors import UserError
from ganrun.training import checkpoint
from ganrun.training.folder import Folder

LOSS = '''
"""A loss of my own."""
from ganrun.plugin import Component, hookimpl
from ganrun_plugins.losses.non_saturating import NonSaturating


@hookimpl
def ganrun_components():
    yield Component("loss", "mine", NonSaturating)
'''


@pytest.fixture
def mine(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(LOSS)
    return file


@pytest.fixture
def short(tiny):
    def recipe(**changes):
        return tiny(observers=["checkpoints"], train={"steps": 2}, **changes)

    return recipe


def test_a_changed_plugin_file_is_not_resumed_with_unless_forced(short, mine, tmp_path):
    run = tmp_path / "run"
    ganrun.run(short(loss="mine"), output=run, plugins=[mine])
    ganrun.run(run, ["train.steps=3"], resume=True, plugins=[mine])
    mine.write_text(LOSS + "# changed\n")
    with pytest.raises(
        UserError, match=r"loss\.mine is not what .*run was started with: .*SHA-256 .* then, .* now; .*--force"
    ):
        ganrun.run(run, ["train.steps=4"], resume=True, plugins=[mine])
    assert ganrun.run(run, ["train.steps=4"], resume=True, force=True, plugins=[mine]).step == 4


def test_another_version_of_a_plugin_is_told(short, tmp_path, capsys):
    run = tmp_path / "run"
    ganrun.run(short(), output=run)
    kept = json.loads((run / "versions.json").read_text())
    kept["plugins"]["variant.gan"]["version"] = "0.0.1"
    (run / "versions.json").write_text(json.dumps(kept))
    ganrun.run(run, ["train.steps=3"], resume=True)
    assert "warning: variant.gan was of ganrun 0.0.1 when this run was started" in capsys.readouterr().out


def test_a_run_of_an_uninstalled_plugin_says_which_file_it_needs(short, mine, tmp_path):
    ganrun.run(short(loss="mine"), output=tmp_path / "run", plugins=[mine])
    with pytest.raises(UserError, match=r"was trained with .*mine\.py, which is not installed; add --plugin FILE"):
        ganrun.load(tmp_path / "run")


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_recipe_written_by_hand_is_never_taken_for_a_run(short, tmp_path, overwrite):
    own = tmp_path / "recipe.yaml"
    own.write_text(json.dumps(short()))
    with pytest.raises(UserError, match=r"is no run's.*another --output"):
        ganrun.run(own, output=tmp_path, overwrite=overwrite)
    assert own.read_text() == json.dumps(short())


def test_a_folder_that_was_there_stays_when_a_recipe_is_refused(tmp_path):
    (tmp_path / "mine").mkdir()
    for name, stays in (("mine", True), ("new", False)):
        with pytest.raises(RuntimeError), Folder(tmp_path / name):
            raise RuntimeError
        assert (tmp_path / name).exists() == stays
    assert not list((tmp_path / "mine").iterdir())


def test_a_checkpoint_that_was_about_to_be_replaced_is_put_back(tmp_path):
    first = checkpoint.write(tmp_path, 1, {"a": 1})
    os.replace(first, tmp_path / ".replaced-0000001")
    checkpoint.recover(tmp_path)
    assert checkpoint.read(first)[1] == {"a": 1}
    assert checkpoint.read(checkpoint.write(tmp_path, 1, {"a": 2}))[1] == {"a": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["step-0000001"]
