"""Resuming: a run that was broken off and resumed ends with the same bits as one that never was."""

import fcntl
import json

import numpy as np
import pytest
import torch
from PIL import Image

from ganrun.catalog.catalog import Catalog
from ganrun.engine.engine import Engine
from ganrun.errors import UserError
from ganrun.recipe import load_recipe
from ganrun.training import checkpoint
from ganrun.training.start import train


class Broken(Exception):
    """Stands for whatever ends a process."""


@pytest.fixture
def quick(tiny):
    """The recipe of a GAN on points that takes 9 steps and saves every third."""

    def recipe(**changes):
        watched = {"without": ["progress", "samples"], "checkpoint": {"every": 3, "keep": 2}}
        return tiny(**{**watched, **changes, "train": {"steps": 9, **changes.get("train", {})}})

    return recipe


def go(recipe, folder, **options):
    catalog = Catalog()
    return train(load_recipe(recipe, catalog=catalog), catalog, folder, **options)


@pytest.fixture
def broken_off(monkeypatch):
    """A function: train until an exception in the middle of a step."""

    def run(step, recipe, folder, **options):
        with monkeypatch.context() as patch:
            update = Engine.update

            def breaking(self, turn):
                if turn.step == step and turn.player == "generator":
                    raise Broken
                update(self, turn)

            patch.setattr(Engine, "update", breaking)
            with pytest.raises(Broken):
                go(recipe, folder, **options)

    return run


@pytest.fixture
def resumes(tmp_path, broken_off, same_end):
    """A function: assert that a recipe, broken off in step 7 and resumed from its checkpoint of step 6, ends as if it
    never was.
    """

    def check(recipe, **overrides):
        whole, parts = tmp_path / "whole", tmp_path / "parts"
        go(recipe, whole)
        broken_off(7, recipe, parts)
        run = go(recipe, parts, resume=True)
        assert run.resumed_from == 6
        same_end(whole, parts)
        assert lines(whole) == lines(parts)

    return check


def lines(folder):
    """What the metrics say, but for the time."""
    found = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "time"} for line in found]


def steps_kept(folder):
    return [step for step, _ in checkpoint.listing(folder / "checkpoints")]


# --- the same bits ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "optimizer",
    [
        {"adam": {"lr": {"linear": [1e-3, 0.0]}}},
        {"rmsprop": {"lr": 1e-3, "momentum": 0.5}},
        {"sgd": {"lr": 0.1, "momentum": 0.9}},
        "sgd",
    ],
    ids=["adam", "rmsprop", "sgd-momentum", "sgd"],
)
def test_a_gan_on_points_resumes(quick, resumes, optimizer):
    players = {name: {"optimizer": optimizer} for name in ("generator", "discriminator")}
    resumes(quick(players=players, observers=[{"metrics-log": {"every": 1}}]))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"accumulate": 2},
        {"channels_last": True},
        {"batches": "joint"},
        {"precision": "float64"},
        {"precision": "bfloat16"},
    ],
    ids=lambda settings: next(iter(settings), "plain"),
)
def test_a_dcgan_with_all_tricks_resumes(with_all_tricks, resumes, settings):
    resumes(with_all_tricks(train=settings, players={"discriminator": {"updates": 2}}))


@pytest.mark.parametrize("settings", [{}, {"accumulate": 2, "channels_last": True}], ids=["plain", "accumulated"])
def test_a_cyclegan_resumes(small_cyclegan, resumes, settings):
    resumes(small_cyclegan(train=settings))


def test_a_cyclegan_with_all_tricks_resumes(small_cyclegan, with_all_tricks, resumes):
    resumes(small_cyclegan(tricks=with_all_tricks()["tricks"]))


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    for name in "ab":
        (folder / name).mkdir(parents=True)
        for number in range(10):
            noise = np.random.default_rng(number).integers(0, 256, (12, 14, 3), dtype=np.uint8)
            Image.fromarray(noise).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture
def from_files(with_all_tricks, pictures):
    def recipe(workers):
        dataset = {"image-folder": {"root": str(pictures), "size": 8, "crop": "random", "flip": True}}
        return with_all_tricks(dataset=dataset, train={"workers": workers})

    return recipe


def test_a_run_whose_workers_read_files_resumes(from_files, resumes):
    resumes(from_files(2))


def test_the_number_of_workers_changes_nothing(from_files, tmp_path, same_end):
    go(from_files(0), tmp_path / "none")
    go(from_files(2), tmp_path / "two")
    same_end(tmp_path / "none", tmp_path / "two")


def test_a_run_broken_off_again_and_again_ends_alike(with_all_tricks, tmp_path, broken_off, same_end):
    recipe = with_all_tricks()
    go(recipe, tmp_path / "whole")
    broken_off(4, recipe, tmp_path / "parts")
    for step in (5, 3, 8):
        broken_off(step, recipe, tmp_path / "parts", resume=True)
    go(recipe, tmp_path / "parts", resume=True)
    same_end(tmp_path / "whole", tmp_path / "parts")


def test_a_run_broken_off_before_its_first_checkpoint_starts_again(with_all_tricks, tmp_path, broken_off, same_end):
    recipe = with_all_tricks()
    go(recipe, tmp_path / "whole")
    broken_off(1, recipe, tmp_path / "parts")
    assert steps_kept(tmp_path / "parts") == []
    assert go(recipe, tmp_path / "parts", resume=True).resumed_from is None
    same_end(tmp_path / "whole", tmp_path / "parts")


def test_looking_changes_nothing(with_all_tricks, tmp_path, state_of):
    watched = {
        "evaluators": [{"frechet-distance": {"features": "classifier", "every": 2, "samples": 20}}],
        "observers": [{"samples": {"every": 2, "count": 9}}, {"health": {"every": 1, "samples": 8}}],
        "without": ["progress"],
    }
    dropout = {"generator-dropout": {"p": 0.3, "at_sampling": True}}
    tricks = [dropout if "generator-dropout" in trick else trick for trick in with_all_tricks()["tricks"]]
    go(with_all_tricks(tricks=tricks, without=["progress", "samples", "health"]), tmp_path / "alone")
    run = go(with_all_tricks(tricks=tricks, **watched), tmp_path / "watched")
    assert run.scores
    assert len(list((tmp_path / "watched" / "samples").glob("*.png"))) == 5
    (tree, tensors), (_, watched_tensors) = state_of(tmp_path / "alone"), state_of(tmp_path / "watched")
    tensors = {name: tensor for name, tensor in tensors.items() if "observers." not in name}
    assert tree["positions"]
    assert [name for name in tensors if not torch.equal(tensors[name], watched_tensors[name])] == []


def test_how_often_checkpoints_are_written_changes_nothing(with_all_tricks, tmp_path, same_end):
    go(with_all_tricks(), tmp_path / "often")
    go(with_all_tricks(checkpoint={"every": 100}), tmp_path / "once")
    same_end(tmp_path / "often", tmp_path / "once")


# --- what a folder holds after it -------------------------------------------------------------------------------


def test_a_damaged_checkpoint_is_passed_over(with_all_tricks, tmp_path, broken_off, same_end, capsys):
    recipe = with_all_tricks()
    go(recipe, tmp_path / "whole")
    broken_off(7, recipe, tmp_path / "parts")
    newest = tmp_path / "parts" / "checkpoints" / "step-0000006" / "tensors.safetensors"
    data = bytearray(newest.read_bytes())
    data[-1] ^= 1
    newest.write_bytes(data)
    run = go(recipe, tmp_path / "parts", resume=True)
    assert run.resumed_from == 3
    assert "step-0000006/tensors.safetensors is damaged" in capsys.readouterr().out
    same_end(tmp_path / "whole", tmp_path / "parts")


def test_if_no_checkpoint_can_be_read_it_says_so(quick, tmp_path):
    go(quick(), tmp_path)
    for path in (tmp_path / "checkpoints").glob("step-*/manifest.json"):
        path.unlink()
    with pytest.raises(UserError, match="holds no checkpoint that can be read; only a new training"):
        go(quick(), tmp_path, resume=True)


def test_metrics_and_pictures_are_cut_back_to_the_checkpoint(quick, tmp_path, broken_off):
    recipe = quick(
        observers=[{"metrics-log": {"every": 1}}, {"samples": {"every": 1, "points": 10}}], without=["progress"]
    )
    broken_off(8, recipe, tmp_path)
    pictures = tmp_path / "samples"
    assert len(list(pictures.glob("*.png"))) == 8
    assert [line["step"] for line in lines(tmp_path)] == list(range(1, 9))
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 9, "ti')  # torn by a kill
    (tmp_path / "checkpoints" / ".writing-0000009").mkdir()
    broken_off(6, recipe, tmp_path, resume=True)
    assert [line["step"] for line in lines(tmp_path)] == list(range(1, 7))
    assert sorted(path.name for path in pictures.glob("*.png")) == [f"step-{step:07d}.png" for step in range(1, 7)]
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["step-0000003", "step-0000006"]
    go(recipe, tmp_path, resume=True)
    assert [line["step"] for line in lines(tmp_path)] == list(range(1, 10))
    assert len(list(pictures.glob("*.png"))) == 9


def test_a_finished_run_resumed_takes_no_step(quick, tmp_path, state_of):
    go(quick(), tmp_path)
    before = state_of(tmp_path)
    run = go(quick(), tmp_path, resume=True)
    assert (run.step, run.resumed_from) == (9, 9)
    assert state_of(tmp_path)[0] == before[0]


# --- what a resume accepts --------------------------------------------------------------------------------------


def test_a_longer_run_is_accepted(with_all_tricks, tmp_path, same_end):
    noise = {"instance-noise": {"sigma": 0.1}}  # a schedule in percent would differ from the first step on
    tricks = [noise if "instance-noise" in trick else trick for trick in with_all_tricks()["tricks"]]
    go(with_all_tricks(tricks=tricks), tmp_path / "whole")
    go(with_all_tricks(tricks=tricks, train={"steps": 4}), tmp_path / "parts")
    assert go(with_all_tricks(tricks=tricks), tmp_path / "parts", resume=True).resumed_from == 4
    same_end(tmp_path / "whole", tmp_path / "parts")


def test_a_shorter_run_is_refused(quick, tmp_path, broken_off):
    broken_off(5, quick(), tmp_path)
    with pytest.raises(UserError, match=r"was to take 9 steps, and train.steps is 7 now.*--force"):
        go(quick(train={"steps": 7}), tmp_path, resume=True)
    assert load_recipe(tmp_path / "recipe.yaml", catalog=Catalog()).train.steps.amount == 9, "nothing was written"
    assert go(quick(train={"steps": 7}), tmp_path, resume=True, force=True).step == 7


def test_any_other_change_is_refused_with_the_list_of_changes(quick, tmp_path):
    go(quick(), tmp_path)
    changed = quick(train={"seed": 4, "steps": 12}, loss="least-squares")
    with pytest.raises(UserError) as refused:
        go(changed, tmp_path, resume=True)
    said = str(refused.value)
    assert "train.seed: 0 -> 4" in said
    assert "least-squares" in said
    assert "train.steps: " not in said
    assert "--force" in said
    assert go(changed, tmp_path, resume=True, force=True).step == 12
    assert load_recipe(tmp_path / "recipe.yaml", catalog=Catalog()).train.seed == 4


def test_networks_that_do_not_fit_are_refused_even_by_force(quick, tmp_path):
    go(quick(), tmp_path)
    wider = {"mlp": {"widths": [16, 20], "norm": "none"}}
    with pytest.raises(UserError, match="network generator does not fit the checkpoint"):
        go(quick(generator=wider), tmp_path, resume=True, force=True)
    assert go(quick(), tmp_path, resume=True).step == 9, "the folder is as it was"


# --- whose folder it is -----------------------------------------------------------------------------------------


def test_a_folder_that_holds_a_run_is_refused(quick, tmp_path):
    go(quick(), tmp_path)
    with pytest.raises(UserError, match=r"holds a run; continue it with --resume, replace it with --overwrite"):
        go(quick(), tmp_path)


def test_a_folder_without_a_run_cannot_be_resumed_and_nothing_is_left(quick, tmp_path):
    with pytest.raises(UserError, match="holds no run to resume"):
        go(quick(), tmp_path / "new", resume=True)
    assert not (tmp_path / "new").exists()


def test_overwrite_replaces_a_run_and_leaves_other_files_alone(quick, tmp_path, same_end):
    go(quick(train={"seed": 1, "steps": 20}), tmp_path / "again")
    (tmp_path / "again" / "notes.txt").write_text("mine")
    go(quick(), tmp_path / "again", overwrite=True)
    go(quick(), tmp_path / "fresh")
    same_end(tmp_path / "again", tmp_path / "fresh")
    assert steps_kept(tmp_path / "again") == [6, 9]
    assert lines(tmp_path / "again") == lines(tmp_path / "fresh")
    assert (tmp_path / "again" / "notes.txt").read_text() == "mine"


def test_a_folder_that_another_process_writes_is_refused(quick, tmp_path):
    with (tmp_path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another process is writing"):
            go(quick(), tmp_path)
    assert go(quick(), tmp_path).step == 9


def test_a_file_in_place_of_the_folder_is_refused(quick, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file; give another --output"):
        go(quick(), tmp_path / "file")


# --- another run's weights --------------------------------------------------------------------------------------


def test_init_takes_the_weights_of_another_run_and_nothing_else(with_all_tricks, tmp_path, state_of, broken_off):
    go(with_all_tricks(), tmp_path / "first")
    new = with_all_tricks(init=str(tmp_path / "first"), train={"seed": 5}, checkpoint={"every": 1, "keep": 20})
    seen = {}

    def look(self, step):
        seen["step"] = step
        seen["weights"] = {name: module.state_dict() for name, module in self.modules.items()}
        seen["optimizers"] = [optimizer.state_dict()["state"] for optimizer in self.optimizers.values()]
        raise Broken

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Broken):
        patch.setattr(Engine, "step", look)
        go(new, tmp_path / "second")
    _, first = state_of(tmp_path / "first")
    found = {
        f"/modules/{name}/{key}": tensor for name, state in seen["weights"].items() for key, tensor in state.items()
    }
    assert found.keys() == {name for name in first if name.startswith("/modules/")}
    assert all(torch.equal(first[name], tensor) for name, tensor in found.items())
    assert (seen["step"], seen["optimizers"]) == (0, [{}, {}])


def test_an_average_starts_again_from_the_weights_of_init(quick, tmp_path, state_of):
    go(quick(tricks=["ema"]), tmp_path / "first")
    frozen = {"generator": {"optimizer": {"sgd": {"lr": 0.0, "momentum": 0.0}}}}
    go(quick(tricks=["ema"], init=str(tmp_path / "first"), players=frozen, train={"steps": 1}), tmp_path / "second")
    (_, first), (tree, second) = state_of(tmp_path / "first"), state_of(tmp_path / "second")
    averages = {name: tensor for name, tensor in second.items() if "/average/" in name}
    assert averages
    for name, tensor in averages.items():
        assert torch.equal(tensor, first["/modules/generator/" + name.rpartition("/")[2]])
    assert tree["components"][0]["tricks.0.ema"]["generator"]["updates"] == 1


def test_init_from_what_is_no_run_is_refused(quick, tmp_path):
    with pytest.raises(UserError, match="nowhere is not there; it was looked for beside the recipe"):
        go(quick(init=str(tmp_path / "nowhere")), tmp_path / "run")
    with pytest.raises(UserError, match="is neither a run's folder nor a checkpoint"):
        go(quick(init=str(tmp_path)), tmp_path / "run")
