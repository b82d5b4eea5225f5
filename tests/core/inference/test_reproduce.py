"""A run trained again: equal checkpoints, what differs, and what is compared after a step back."""

import json
from importlib import metadata

import pytest
import torch

from ganrun import api
from ganrun.catalog.catalog import Catalog
from ganrun.errors import UserError
from ganrun.inference.reproduce import difference, reproduce
from ganrun.training import checkpoint
from ganrun.training.opened import recipe_of
from ganrun.words.hooks import hookimpl


class GoBack:
    """Once, at the end of step 5, to the checkpoint of step 4."""

    @hookimpl
    def step_end(self, run):
        if run.step == 5 and not run.rollbacks:
            assert run.roll_back("a whim")


@pytest.fixture
def made(tiny, tmp_path, plugin_module):
    """Train a run with checkpoints at steps 4, 8 and 10. Returns a function that trains it again."""

    def make(observers=(), **options):
        modules = [plugin_module({"observer.go-back": GoBack})]
        recipe = tiny(observers=["checkpoints", *observers], checkpoint={"every": 4}, train={"steps": 10}, **options)
        api.run(recipe, output=tmp_path / "run", plugins=modules)

        def again(**options):
            catalog = Catalog(modules=modules)
            return reproduce(
                tmp_path / "run", recipe_of(tmp_path / "run", catalog), catalog, tmp_path / "again", **options
            )

        return again

    return make


def change(folder, step, by):
    """Add to the first weight of a kept checkpoint."""
    path = folder / f"run/checkpoints/step-{step:07d}"
    state = checkpoint.read(path)[1]
    next(iter(state["modules"]["generator"].values())).view(-1)[0] += by
    checkpoint.write(path.parent, step, state)


def test_a_run_trained_again_has_equal_checkpoints(made, capsys):
    run, found = made()()
    assert (found.compared, found.missing, found.made_otherwise) == ({4: "", 8: "", 10: ""}, [], [])
    assert run.step == 10
    assert "step 8: equal" in capsys.readouterr().out


def test_the_first_tensor_that_differs_is_named(made, tmp_path):
    again = made()
    change(tmp_path, 8, by=0.5)
    _, found = again()
    assert found.compared[4] == found.compared[10] == ""
    assert found.compared[8].startswith("1 of ")
    assert found.compared[8].endswith("tensors differ, the first is modules/generator/hidden.0.0.weight, by up to 0.5")


def test_it_trains_no_further_than_the_last_checkpoint_that_was_kept(made, tmp_path):
    again = made()
    (tmp_path / "run/checkpoints/step-0000010").rename(tmp_path / "gone")
    run, found = again()
    assert (run.step, list(found.compared)) == (8, [4, 8])


def test_what_was_made_otherwise_is_said_at_the_start(made, tmp_path, capsys):
    again = made()
    path = tmp_path / "run/versions.json"
    kept = json.loads(path.read_text())
    kept |= {"threads": 7, "system": "another"}
    kept["libraries"]["torch"] = "1.0"
    kept["data"]["fingerprint"] = "0123456789abcdef"
    path.write_text(json.dumps(kept))
    capsys.readouterr()
    _, found = again()
    assert found.made_otherwise[0] == "threads: 7 then, 1 now"
    assert found.made_otherwise[1].startswith("system: another then, ")
    assert found.made_otherwise[2] == f"torch: 1.0 then, {metadata.version('torch')} now"
    assert found.made_otherwise[3].startswith("data: fingerprint 0123456789ab then, ")
    assert capsys.readouterr().out.splitlines()[:4] == [f"made otherwise: {line}" for line in found.made_otherwise]


def test_a_checkpoint_that_was_written_after_a_step_back_is_compared_after_it(made):
    """The one of step 4 was written again, for the second attempt."""
    _, found = made(observers=["go-back"])()
    assert found.compared == {4: "", 8: "", 10: ""}


def test_one_that_was_interrupted_compares_what_it_had_when_it_goes_on(made, tmp_path):
    again = made()
    again()
    (tmp_path / "again/checkpoints/step-0000010").rename(tmp_path / "gone")
    _, found = again(resume=True)
    assert found.compared == {8: "", 4: "", 10: ""}


def test_a_damaged_checkpoint_is_named(made, tmp_path):
    again = made()
    (tmp_path / "run/checkpoints/step-0000008/state.json").write_text("{}")
    assert "state.json is damaged" in again()[1].compared[8]


def test_another_number_of_processes_is_refused_before_anything_is_written(made, tmp_path, monkeypatch):
    again = made()
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match=r"1 process\(es\) trained that run, and here are 2; use: ganrun reproduce"):
        again()
    assert not (tmp_path / "again").exists()


def test_a_run_without_checkpoints_cannot_be_compared(tiny, tmp_path):
    api.run(tiny(train={"steps": 1}), output=tmp_path / "run")
    with pytest.raises(UserError, match="holds no checkpoint to compare with"):
        reproduce(tmp_path / "run", recipe_of(tmp_path / "run", Catalog()), Catalog(), tmp_path / "again")


def test_plain_values_of_a_state_are_compared_too():
    nan = torch.tensor([float("nan"), 1.0])
    assert difference({"a": nan, "threads": 1}, {"a": nan.clone(), "threads": 2}) == ""
    assert difference({"x": {"y": [1, 2]}}, {"x": {"y": [1, 3]}}) == "differs in x.y.1: 2 and 3"
    assert difference({"a": nan}, {"b": nan}) == "only one of them has a"
    assert "has the shape [2] and [1]" in difference({"a": nan}, {"a": nan[:1]})


def test_what_changed_at_a_resume_is_kept_and_said(tiny, tmp_path):
    """The run was made in two ways, and is trained again in the second."""
    recipe = tiny(observers=["checkpoints"], checkpoint={"every": 2}, train={"steps": 2})
    api.run(recipe, output=tmp_path / "run")
    api.run(recipe, ["train.steps=4"], output=tmp_path / "run", resume=True)
    api.run(recipe, ["train.steps=6", "loss=least-squares"], output=tmp_path / "run", resume=True, force=True)
    (entry,) = json.loads((tmp_path / "run/versions.json").read_text())["resumed"]
    assert entry["step"] == 4
    assert any("loss" in line and "least-squares" in line for line in entry["changed"])
    catalog = Catalog()
    _, found = reproduce(tmp_path / "run", recipe_of(tmp_path / "run", catalog), catalog, tmp_path / "again")
    assert found.made_otherwise[0].startswith("resumed at step 4 with ")
    assert found.compared[2] != ""
