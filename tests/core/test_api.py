"""``ganrun.run`` and ``ganrun.load``."""

import importlib
import json

import pytest
import torch

import ganrun
from ganrun.errors import UserError
from ganrun.training import checkpoint

MINE = '''
"""A loss of my own."""
from ganrun.plugin import Component, hookimpl
from ganrun_plugins.losses.non_saturating import NonSaturating


@hookimpl
def ganrun_components():
    yield Component("loss", "mine", NonSaturating)
'''
IMAGES = {"dataset": {"digits": {"size": 8}}}


@pytest.fixture
def trained(tiny, tmp_path):
    """The folder of a short run, trained with other values of the recipe if some are given."""

    def train(steps=3, **changes):
        recipe = tiny(observers=["checkpoints"], train={"steps": steps, **changes.pop("train", {})}, **changes)
        return ganrun.run(recipe, output=tmp_path / "run").folder

    return train


def test_run_returns_the_ended_run(tiny, tmp_path):
    run = ganrun.run(tiny(observers=["checkpoints"]), {"train.steps": 2}, tmp_path / "run")
    assert (run.step, run.steps, run.folder) == (2, 2, tmp_path / "run")


def test_the_default_folder_is_runs_and_the_recipes_name(tmp_path, monkeypatch, tiny):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "try.yaml").write_text(json.dumps(tiny(train={"steps": 1})))
    assert str(ganrun.run("try.yaml").folder) == "runs/try"


def test_a_run_is_resumed_by_its_folder(trained):
    folder = trained(steps=2)
    assert ganrun.run(folder, ["train.steps=4"], resume=True).step == 4
    assert ganrun.load(folder).step == 4


def test_samples_are_on_the_cpu_in_range_and_a_function_of_the_seed(trained):
    run = ganrun.load(trained(**IMAGES))
    first = run.sample(5, seed=1)
    assert first.shape == (5, 1, 8, 8)
    assert first.dtype == torch.float32
    assert first.abs().max() <= 1
    assert torch.equal(first, run.sample(5, seed=1))
    assert not torch.equal(first, run.sample(5, seed=2))


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda run: run.sample(0), "n: expected at least 1, got 0"),
        (lambda run: run.latents(-2), "n: expected at least 1, got -2"),
        (lambda run: run.interpolate(0, 3), "rows: expected at least 1, got 0"),
        (lambda run: run.turn("0 > 1", points=0), "points: expected at least 1, got 0"),
        (lambda run: run.arithmetic("0", count=-3), "count: expected at least 1, got -3"),
    ],
)
def test_fewer_than_one_sample_is_an_error_that_names_the_parameter(trained, ask, message):
    with pytest.raises(UserError, match=message):
        ask(ganrun.load(trained()))


def test_a_loaded_run_samples_what_the_trained_one_did(tiny, tmp_path):
    run = ganrun.run(tiny(observers=["checkpoints"], tricks=[{"ema": {}}], train={"steps": 5}), output=tmp_path / "run")
    assert torch.equal(ganrun.load(run.folder).sample(7, seed=3), run.sample_maker.turn(7, 3).made["x"])


def test_a_checkpoint_is_chosen_by_step(trained):
    folder = trained(steps=4, checkpoint={"every": 2})
    assert [ganrun.load(folder, which).step for which in (2, "2", "last")] == [2, 2, 4]
    with pytest.raises(UserError, match="a step that is kept: 2, 4"):
        ganrun.load(folder, 3)
    with pytest.raises(UserError, match="no best checkpoint"):
        ganrun.load(folder, "best")


def test_a_damaged_newest_checkpoint_is_passed_over_with_a_warning(trained):
    folder = trained(steps=4, checkpoint={"every": 2})
    (folder / "checkpoints/step-0000004/state.json").write_text("{}")
    with pytest.warns(UserWarning, match="damaged"):
        assert ganrun.load(folder).step == 2
    with pytest.raises(checkpoint.CheckpointError, match="damaged"):
        ganrun.load(folder, 4)


def test_a_run_is_opened_without_its_data(tmp_path, tiny):
    """The folder of pictures is gone; the spaces that the run kept are enough to sample."""
    import shutil

    from ganrun.data import image_grid

    for number in range(12):
        image_grid.save(image_grid.single(torch.rand(1, 8, 8)), tmp_path / f"data/{number}.png")
    data = {"image-folder": {"root": str(tmp_path / "data"), "size": 8, "channels": 1}}
    folder = ganrun.run(
        tiny(observers=["checkpoints"], dataset=data, train={"steps": 1, "batch_size": 4}), output=tmp_path / "run"
    ).folder
    shutil.rmtree(tmp_path / "data")
    assert ganrun.load(folder).sample(2).shape == (2, 1, 8, 8)


def test_a_run_is_opened_without_its_evaluators_and_observers(tmp_path, tiny, plugin_module):
    class Nothing:
        def evaluate(self, evaluation):
            return {"x": 0.0}

    plugins = plugin_module({"evaluator.mine": Nothing, "observer.watch": type("Watch", (), {})})
    folder = ganrun.run(
        tiny(observers=["watch", "checkpoints"], evaluators=["mine"], train={"steps": 1}),
        output=tmp_path / "run",
        plugins=[plugins],
    ).folder
    assert ganrun.load(folder).sample(1).shape == (1, 2)


def test_a_run_of_an_uninstalled_plugin_needs_it_to_train_on(tmp_path, tiny):
    file = tmp_path / "mine.py"
    file.write_text(MINE)
    ganrun.run(
        tiny(loss="mine", observers=["checkpoints"], train={"steps": 1}), output=tmp_path / "run", plugins=[file]
    )
    with pytest.raises(UserError, match='no loss is called "mine"'):
        ganrun.run(tmp_path / "run", ["train.steps=2"], resume=True)
    assert ganrun.run(tmp_path / "run", ["train.steps=2"], resume=True, plugins=[file]).step == 2


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(UserError, match="holds no run"):
        ganrun.load(tmp_path)
    with pytest.raises(UserError, match="is not there"):
        ganrun.load(tmp_path / "nowhere")


def test_double_precision_runs_give_float32_samples(trained):
    run = ganrun.load(trained(train={"precision": "float64"}))
    assert run.sample(2).dtype == torch.float32
    assert torch.get_default_dtype() == torch.float32


@pytest.fixture(scope="module")
def translation(tmp_path_factory):
    recipe = {
        "variant": "cyclegan",
        "dataset": {"restyled-digits": {"size": 8}},
        "generator": {"resnet-translator": {"blocks": 0, "width": 2}},
        "discriminator": {"patchgan": {"layers": 1, "width": 2}},
        "without": ["progress", "samples", "metrics-log"],
        "train": {"steps": 1, "batch_size": 1, "device": "cpu"},
    }
    return ganrun.load(ganrun.run(recipe, output=tmp_path_factory.mktemp("translation") / "run").folder)


def test_a_translation_goes_both_ways(translation):
    batch = torch.rand(3, 1, 8, 8) * 2 - 1
    with torch.no_grad():
        forth, back = (translation.experiment.modules[f"generator_{way}"].eval()(batch) for way in ("ab", "ba"))
    assert torch.equal(translation.translate(batch), forth)
    assert torch.equal(translation.translate(batch, to="a"), back)


def test_samples_of_a_translation_are_of_test_items(translation):
    assert translation.sample(3).shape == (3, 1, 8, 8)
    assert translation.sample(500).shape[0] == 500  # more than there are items


def test_what_does_not_translate_says_so(trained, translation):
    with pytest.raises(UserError, match="makes samples from latents"):
        ganrun.load(trained()).translate(torch.zeros(1, 2))
    with pytest.raises(UserError, match="does not make 'c'; it makes b, a"):
        translation.translate(torch.zeros(1, 1, 8, 8), to="c")
    with pytest.raises(UserError, match="no latents"):
        translation.interpolate(1, 4)


def test_interpolations_begin_and_end_with_samples(trained):
    """The trick of sampling in chunks aside, the ends of each row are samples 2r and 2r + 1."""
    run = ganrun.load(trained())
    rows = run.interpolate(2, 5, seed=4).view(2, 5, 2)
    ends = run.sample(4, seed=4).view(2, 2, 2)
    assert torch.allclose(rows[:, 0], ends[:, 0], atol=1e-5)
    assert torch.allclose(rows[:, -1], ends[:, 1], atol=1e-5)
    assert run.has_normal_latents


@pytest.mark.parametrize("name", ["Component", "hookimpl"])
def test_a_name_that_was_retired_works_and_warns_where_it_is_now(name):
    with pytest.warns(DeprecationWarning, match=f"write `from ganrun.plugin import {name}`"):
        found = getattr(ganrun, name)
    assert found is getattr(importlib.import_module("ganrun.plugin"), name)
