"""A run's folder loses nothing: whose files are overwritten, and what a resume is held against."""

import json
import os

import pytest
from safetensors import SafetensorError

import ganrun
from ganrun.errors import UserError
from ganrun.training import checkpoint
from ganrun.training.folder import Folder
from ganrun.words.hooks import hookimpl

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
    with pytest.raises(UserError, match=r"loss\.mine came from .*mine\.py: add --plugin FILE"):
        ganrun.run(tmp_path / "run", ["train.steps=9"], resume=True)


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


# --- files of observers -----------------------------------------------------------------------------------------


class Diary:
    """Writes a file, numbered files in a folder and lines of JSON, and a file that it does not declare."""

    files = ("diary.txt", "pages", "lines.jsonl")

    @hookimpl
    def step_end(self, run):
        (run.folder / "diary.txt").write_text(f"step {run.step}")
        (run.folder / "pages").mkdir(exist_ok=True)
        (run.folder / f"pages/step-{run.step:07d}.txt").write_text("a page")
        (run.folder / "pages/cover.txt").write_text("a cover")
        run.append("lines.jsonl", {"page": 1})
        (run.folder / "secret.txt").write_text("not declared")


@pytest.fixture
def diary(plugin_module):
    return plugin_module({"observer.diary": Diary})


def names(folder):
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


@pytest.mark.parametrize("known", [True, False], ids=["installed", "gone"])
def test_overwriting_removes_what_the_observers_of_the_old_run_declared(short, diary, tmp_path, known):
    """Also those that are no longer in the recipe, or not installed; what nobody declared is left alone."""
    run = tmp_path / "run"
    ganrun.run({**short(), "observers": ["checkpoints", "diary"]}, output=run, plugins=[diary])
    assert {"diary.txt", "pages", "lines.jsonl"} <= names(run)
    ganrun.run(short(), output=run, overwrite=True, plugins=[diary] if known else [])
    assert names(run) == {"checkpoints", "recipe.yaml", "versions.json", "secret.txt"}


def test_overwriting_a_run_of_an_earlier_version_asks_its_plugins_for_their_files(short, diary, tmp_path):
    run = tmp_path / "run"
    ganrun.run(
        {**short(), "observers": ["checkpoints", "diary", "metrics-log"], "without": []}, output=run, plugins=[diary]
    )
    kept = json.loads((run / "versions.json").read_text())
    del kept["files"]
    kept["plugins"]["observer.not-installed"] = {"distribution": "elsewhere"}
    (run / "versions.json").write_text(json.dumps(kept))
    assert {"metrics.jsonl", "samples"} <= names(run)
    ganrun.run(short(), output=run, overwrite=True, plugins=[diary])
    assert names(run) == {"checkpoints", "recipe.yaml", "versions.json", "secret.txt"}


def test_a_resumed_run_takes_back_lines_and_numbered_files_and_nothing_else(short, diary, tmp_path):
    """Those of a killed process that came further, even if the observer is not in the recipe any more."""
    run = tmp_path / "run"
    ganrun.run({**short(), "observers": ["checkpoints", "diary"]}, output=run, plugins=[diary])
    (run / "pages/step-0000003.txt").write_text("a later page")
    (run / "pages/step-last.txt").write_text("no number")
    with (run / "lines.jsonl").open("a") as file:
        file.write('{"step": 3, "page": 1}\n')
    ganrun.run(short(), ["train.steps=3"], run, resume=True, force=True)
    assert names(run / "pages") == {"step-0000001.txt", "step-0000002.txt", "step-last.txt", "cover.txt"}
    assert [json.loads(line)["step"] for line in (run / "lines.jsonl").read_text().splitlines()] == [1, 2]
    assert json.loads((run / "versions.json").read_text())["files"] == list(Diary.files)


def test_files_outside_the_folder_are_refused_and_never_removed(short, plugin_module, tmp_path):
    (tmp_path / "beside.txt").write_text("somebody's")
    bad = type("Bad", (Diary,), {"files": ("../beside.txt",)})
    recipe = {**short(), "observers": ["bad"]}
    with pytest.raises(UserError, match=r"observer bad: its files are \('../beside.txt',\); expected names inside"):
        ganrun.run(recipe, output=tmp_path / "run", plugins=[plugin_module({"observer.bad": bad})])
    ganrun.run(short(), output=tmp_path / "other")
    kept = json.loads((tmp_path / "other/versions.json").read_text())
    (tmp_path / "other/versions.json").write_text(json.dumps({**kept, "files": ["../beside.txt", str(tmp_path), ""]}))
    ganrun.run(short(), output=tmp_path / "other", overwrite=True)
    assert (tmp_path / "beside.txt").read_text() == "somebody's"


# --- what cannot be written -------------------------------------------------------------------------------------


def at_step(step, happens):
    """An observer that lets something happen to the folder after a step."""

    class Accident:
        @hookimpl(trylast=True)
        def step_end(self, run):
            if run.step == step:
                happens(run.folder)

    return {"observer.accident": Accident}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("metrics.jsonl", "metrics.jsonl: cannot be written: .*the checkpoint of step 2 is whole"),
        ("samples", "samples: cannot be written: .*the checkpoint of step 2 is whole"),
    ],
)
def test_what_becomes_something_else_while_a_run_writes_it_is_said_with_what_is_safe(
    tiny, plugin_module, tmp_path, name, message
):
    def happens(folder):
        os.rename(folder / name, folder / "away")
        (folder / name).mkdir() if name.endswith(".jsonl") else (folder / name).write_text("")

    recipe = tiny(
        observers=["checkpoints", {"metrics-log": {"every": 1}}, {"samples": {"every": 1, "points": 2}}, "accident"],
        checkpoint={"every": 2},
        train={"steps": 6},
    )
    with pytest.raises(UserError, match=message):
        ganrun.run(recipe, output=tmp_path / "run", plugins=[plugin_module(at_step(2, happens))])
    assert checkpoint.load_newest(tmp_path / "run/checkpoints", lambda state: None)[1] == 2


def test_a_run_that_was_moved_away_ends_and_leaves_nothing_at_its_old_place(short, plugin_module, tmp_path):
    plugin = plugin_module(at_step(2, lambda folder: os.rename(folder, tmp_path / "moved")))
    recipe = short(checkpoint={"every": 1}) | {
        "observers": ["checkpoints", {"samples": {"every": 1, "points": 2}}, "accident"]
    }
    with pytest.raises(UserError, match="run was moved or removed while a run wrote it; .*continue that folder"):
        ganrun.run(recipe, {"train.steps": 4}, tmp_path / "run", plugins=[plugin])
    assert not (tmp_path / "run").exists()
    assert ganrun.run(tmp_path / "moved", resume=True, plugins=[plugin]).step == 4


@pytest.mark.parametrize("what", ["tensors", "state"])
def test_a_full_disk_is_said_and_the_last_checkpoint_stays(short, tmp_path, monkeypatch, what):
    run = tmp_path / "run"
    ganrun.run(short(), output=run)

    def full(*_):
        if what == "tensors":
            raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*((checkpoint, "save_file", full) if what == "tensors" else (checkpoint, "_sync", full)))
    with pytest.raises(UserError, match="No space left on device; the checkpoint of step 2 is whole"):
        ganrun.run(run, ["train.steps=4"], resume=True)
    assert names(run / "checkpoints") == {"step-0000002"}
    monkeypatch.undo()
    assert ganrun.run(run, ["train.steps=4"], resume=True).resumed_from == 2


@pytest.mark.parametrize("path", ["a" * 300, "a\0b", "file/run"])
def test_a_folder_that_cannot_be_made_is_said_with_its_path(short, tmp_path, path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be made or written: .*; give another --output folder"):
        ganrun.run(short(), output=tmp_path / path)
