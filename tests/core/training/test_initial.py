"""``init``: a run begins with the weights of another run, or with files of weights."""

import hashlib
import json
import shutil

import pytest
import torch
from safetensors.torch import save_file

import ganrun
from ganrun.catalog.catalog import Catalog
from ganrun.cli import check_tables
from ganrun.errors import UserError
from ganrun.recipe import RecipeError, load_recipe
from ganrun.training import checkpoint
from ganrun.training.initial import start_from
from ganrun.training.run import Run


def cgan(classes, tricks=(), width=2, size=8, **changes):
    """A small conditional GAN on the first of the digits."""
    return {
        "variant": "cgan",
        "dataset": {"digits": {"size": size, "classes": list(range(classes))}},
        "generator": {"dcgan": {"width": width}},
        "discriminator": {"dcgan": {"width": width, "norm": "none"}},
        "tricks": list(tricks),
        "without": ["progress", "samples", "metrics-log", "health"],
        "train": {"steps": 2, "batch_size": 4, "device": "cpu"},
        **changes,
    }


@pytest.fixture
def three(tmp_path):
    """The folder of a run of three classes, with an average."""
    return ganrun.run(cgan(3, [{"ema": {"decay": 0.5}}]), output=tmp_path / "three").folder


def begun(recipe):
    """A run of a recipe that has taken what ``init`` names, and no step; and what was said of it."""
    run = Run(load_recipe(recipe, catalog=Catalog()), Catalog())
    return run, start_from(run)


def weights(run, network="generator"):
    return run.experiment.modules[network].state_dict()


def kept(folder):
    return checkpoint.load_newest(folder / "checkpoints", lambda state: None)[2]


def test_partial_takes_what_fits_and_says_what_does_not_and_why(three, capsys):
    run, start = begun(cgan(5, init={"run": str(three), "partial": True}))
    before, there, here = weights(begun(cgan(5))[0]), kept(three)["modules"]["generator"], weights(run)
    other = [name for name in here if here[name].shape != there[name].shape]
    assert other == ["main.0.weight"]  # 100 + 3 rows of latents and labels, and 100 + 5
    assert torch.equal(here["main.0.weight"], before["main.0.weight"])
    assert all(torch.equal(here[name], there[name]) for name in here if name not in other)
    size = len(here)
    printed = capsys.readouterr().out
    assert (
        f"init: weights of step 2 of {three}, as training left them\n  generator: {size - 1} of {size} tensors"
        in printed
    )
    assert "of another shape, left as initialised: main.0.weight (103, 2, 4, 4) there, (105, 2, 4, 4) here" in printed
    assert "label of the data: labels of 3 classes there, labels of 5 classes here" in printed
    assert start.kept["networks"]["generator"]["other_shape"] == {"main.0.weight": [[103, 2, 4, 4], [105, 2, 4, 4]]}


def test_overlap_takes_the_rows_that_both_have(three):
    run, _ = begun(cgan(5, init={"run": str(three), "partial": True, "overlap": True}))
    there, here = kept(three)["modules"]["generator"]["main.0.weight"], weights(run)["main.0.weight"]
    before = weights(begun(cgan(5))[0])["main.0.weight"]
    assert torch.equal(here[:103], there)
    assert torch.equal(here[103:], before[103:])


def test_without_partial_other_networks_are_refused_with_the_way_on(three):
    with pytest.raises(
        UserError, match=r"main.0.weight.*to take what fits of it: init: \{run: .*three, partial: true\}"
    ):
        begun(cgan(5, init=str(three)))


def test_networks_that_are_not_named_stay_as_initialised(three):
    run, _ = begun(cgan(3, init={"run": str(three), "networks": ["generator"]}))
    new, _ = begun(cgan(3))
    assert torch.equal(weights(run)["main.0.weight"], kept(three)["modules"]["generator"]["main.0.weight"])
    for name, tensor in weights(new, "discriminator").items():
        assert torch.equal(weights(run, "discriminator")[name], tensor)


def test_weights_of_training_or_those_that_samples_are_made_with(three):
    trained = ganrun.load(three, device="cpu")
    averages = trained.generator().state_dict()
    raw = kept(three)["modules"]["generator"]
    assert not torch.equal(averages["main.0.weight"], raw["main.0.weight"])
    for which, wanted in (("training", raw), ("sampling", averages)):
        run, start = begun(cgan(3, init={"run": str(three), "weights": which}))
        assert start.kept["weights"] == which
        assert all(torch.equal(tensor, wanted[name]) for name, tensor in weights(run).items())


def test_optimisers_come_too_where_networks_are_wholly_those_of_the_run(three):
    run, start = begun(cgan(3, init={"run": str(three), "optimizers": True}))
    state = run.engine.optimizers["generator"].state_dict()["state"]
    assert torch.equal(state[0]["exp_avg"], kept(three)["optimizers"]["generator"]["state"][0]["exp_avg"])
    assert "  optimiser of generator: its state is taken, too" in start.lines
    run, start = begun(cgan(5, init={"run": str(three), "optimizers": True, "partial": True}))
    assert run.engine.optimizers["generator"].state_dict()["state"] == {}
    assert "  optimiser of generator: starts new: its networks are not wholly those" in start.lines


def test_a_larger_network_whose_layers_have_the_names_takes_all_of_a_smaller_one(tmp_path):
    def progan(size):
        networks = {key: {"progan": {"base": 8, "widest": 4}} for key in ("generator", "discriminator")}
        return {**cgan(3, size=size), "variant": "progan", "dataset": {"digits": {"size": size}}, **networks}

    small = ganrun.run(progan(8), output=tmp_path / "small").folder
    run, start = begun({**progan(16), "init": {"run": str(small), "partial": True}})
    found = start.kept["networks"]["generator"]
    assert found["only_there"] == []
    there = kept(small)["modules"]["generator"]
    assert found["taken"] == len(there) < found["of"]
    assert all(torch.equal(weights(run)[name], tensor) for name, tensor in there.items())


def test_weights_without_spectral_normalisation_are_taken_by_a_network_with_it(three):
    recipe = cgan(3, [{"spectral-norm": {"networks": "discriminators"}}], init={"run": str(three), "partial": True})
    run, start = begun(recipe)
    there = kept(three)["modules"]["discriminator"]["main.0.weight"]
    assert torch.equal(weights(run, "discriminator")["main.0.parametrizations.weight.original"], there)
    assert all(name.rpartition(".")[2] in ("_u", "_v") for name in start.kept["networks"]["discriminator"]["only_here"])


def test_a_file_of_weights_fills_one_network_and_its_hash_is_kept(three, tmp_path):
    file = tmp_path / "g.safetensors"
    save_file({f"module.{name}": x for name, x in kept(three)["modules"]["generator"].items()}, file)
    run = ganrun.run(cgan(3, init={"files": {"generator": str(file)}}), output=tmp_path / "run")
    found = json.loads((run.folder / "versions.json").read_text())["init"]
    assert found["files"]["generator"]["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert found["networks"]["generator"]["taken"] == found["networks"]["generator"]["of"]
    with pytest.raises(UserError, match="does not fit generator: of another shape.*partial: true"):
        begun(cgan(5, init={"files": {"generator": str(file)}}))
    begun(cgan(5, init={"files": {"generator": str(file)}, "partial": True}))


def test_a_resumed_run_does_not_need_the_old_one_and_says_where_it_came_from(three, tmp_path):
    recipe = cgan(5, init={"run": str(three), "partial": True})
    straight = ganrun.run({**recipe, "train": {**recipe["train"], "steps": 4}}, output=tmp_path / "straight")
    begun_with = json.loads((straight.folder / "versions.json").read_text())["init"]
    ganrun.run(recipe, output=tmp_path / "run")
    shutil.rmtree(three)
    resumed = ganrun.run(tmp_path / "run", {"train.steps": 4}, resume=True)
    assert json.loads((resumed.folder / "versions.json").read_text())["init"] == begun_with
    for name, tensor in weights(straight).items():
        assert torch.equal(weights(resumed)[name], tensor)


def test_a_run_is_looked_for_beside_the_recipe_and_then_where_the_user_stands(three, tmp_path, monkeypatch):
    monkeypatch.chdir(three.parent)
    (tmp_path / "recipes").mkdir()
    file = tmp_path / "recipes" / "a.yaml"
    file.write_text(json.dumps(cgan(3, init="three")))
    for folder in (three, tmp_path / "recipes" / "three"):
        if folder != three:
            shutil.copytree(three, folder)
        recipe = load_recipe(file, catalog=Catalog())
        assert start_from(Run(recipe, Catalog())).kept["run"] == str(folder)


def test_check_says_what_would_be_taken(three):
    recipe = load_recipe(cgan(5, init={"run": str(three), "partial": True}), catalog=Catalog())
    lines = [line for what, line in check_tables.check(recipe) if what == "before step 1"]
    assert lines[0] == f"init: weights of step 2 of {three}, as training left them"
    assert any("main.0.weight (103, 2, 4, 4) there, (105, 2, 4, 4) here" in line for line in lines)


def test_a_text_and_a_mapping_of_it_alone_are_one_recipe_and_layers_merge():
    one, other = (load_recipe(cgan(3, init=init), catalog=Catalog()) for init in ("runs/x", {"run": "runs/x"}))
    assert one == other
    assert one.resolved["init"] == "runs/x"
    merged = load_recipe(cgan(3, init="runs/x"), catalog=Catalog(), overrides={"init.partial": True})
    assert (merged.init.run, merged.init.partial) == ("runs/x", True)
    assert load_recipe(merged.resolved, catalog=Catalog()).init == merged.init
    assert load_recipe(cgan(3, init="runs/x"), catalog=Catalog(), overrides={"init": None}).init is None


@pytest.mark.parametrize(
    ("init", "message"),
    [
        ({"partial": True}, "expected a run, or files"),
        ({"files": {"generator": "x.pth"}, "weights": "sampling"}, "files hold one kind of weights"),
        ({"run": "x", "overlap": True}, "overlap takes parts of tensors, so it needs partial: true"),
        ({"run": "x", "netwroks": ["generator"]}, 'init.netwroks: unknown key; did you mean "networks"'),
    ],
)
def test_an_init_that_says_nothing_or_too_much_is_refused(init, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe(cgan(3, init=init), catalog=Catalog())


def test_names_of_no_network_and_runs_of_which_nothing_fits_are_refused(three, tmp_path):
    with pytest.raises(UserError, match="cgan has no network 'critic'; it has generator, discriminator"):
        begun(cgan(3, init={"run": str(three), "networks": ["critic"]}))
    vae = {**cgan(3), "variant": "vae", "dataset": {"digits": {"size": 8}}, "encoder": {"mlp": {"widths": [4]}}}
    recipe = {
        **{key: value for key, value in vae.items() if key != "discriminator"},
        "generator": {"mlp": {"widths": [4]}},
    }
    with pytest.raises(UserError, match="nothing of step 2 of .* fits encoder, generator"):
        begun({**recipe, "init": {"run": str(three), "partial": True}})
