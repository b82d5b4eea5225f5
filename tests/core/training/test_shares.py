"""What checkpoints keep of several processes, and how another number of them continues."""

import pytest
import torch

from ganrun.catalog.catalog import Catalog
from ganrun.errors import UserError
from ganrun.recipe import load_recipe
from ganrun.training.checkpoint import CheckpointError
from ganrun.training.shares import kept_once, merged, of_rank, same
from ganrun.training.start import train
from ganrun_plugins.tricks.ema import EMA


def state(number):
    return {"x": torch.full((2,), float(number)), "n": 1}


def test_what_is_the_same_in_all_processes_is_kept_once():
    kept = kept_once([{"a": state(1), "b": state(1)}, {"a": state(1), "b": state(2)}])
    assert [sorted(states) for states in kept] == [["a", "b"], ["b"]]
    for rank, value in ((0, 1), (1, 2)):
        mine = of_rank(kept, rank)
        assert same(mine, {"a": state(1), "b": state(value)})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"x": 1}, {"x": 2}),
        ({"x": 1}, {"y": 1}),
        ([1], [1, 1]),
        (1, 1.0),
        (torch.zeros(1), torch.zeros(1, dtype=torch.float64)),
        (torch.zeros(1), 0.0),
    ],
)
def test_states_that_differ_in_anything_differ(one, other):
    assert same(one, one)
    assert not same(one, other)


@pytest.mark.parametrize("state", [float("nan"), torch.tensor([float("nan"), 1.0]), torch.tensor(True), torch.ones(0)])
def test_a_state_is_the_same_as_its_copy_with_numbers_that_are_none_too(state):
    copy = state.clone() if isinstance(state, torch.Tensor) else float(state)
    assert same([state], [copy])
    assert merged(kept_once([{"tricks.0.a": {"x": state}}]), {"tricks.0.a": object()}, 2)


def test_a_state_of_each_process_is_merged_by_its_component_or_the_component_is_named():
    class Merging:
        def merge_states(self, states):
            return {"x": sum(state["x"] for state in states)}

    kept = kept_once(
        [{"tricks.0.pool": state(1), "variant": state(5)}, {"tricks.0.pool": state(2), "variant": state(5)}]
    )
    found = merged(kept, {"tricks.0.pool": Merging(), "variant": object()}, 1)
    assert found["tricks.0.pool"]["x"].tolist() == [3.0, 3.0]
    assert same(found["variant"], state(5))
    with pytest.raises(CheckpointError, match=r"2 processes and cannot be resumed by 3.* of tricks.0.pool.*start 2"):
        merged(kept, {"tricks.0.pool": object(), "variant": object()}, 3)


def test_observers_go_on_with_what_the_main_process_knew():
    kept = kept_once([{"observers.0.checkpoints": {"best": 3}}, {"observers.0.checkpoints": {"best": None}}])
    assert merged(kept, {"observers.0.checkpoints": object()}, 1) == {"observers.0.checkpoints": {"best": 3}}


def test_an_average_of_weights_takes_the_mean_of_running_statistics_alone():
    def average(mean):
        return {
            "generator": {"updates": 4, "average": {"weight": torch.tensor(0.1), "running_mean": torch.tensor(mean)}}
        }

    found = EMA().merge_states([average(1.0), average(2.0), average(6.0)])["generator"]
    assert found["updates"] == 4
    assert {key: x.item() for key, x in found["average"].items()} == {"weight": pytest.approx(0.1), "running_mean": 3.0}


# --- resuming -------------------------------------------------------------------------------------------------


@pytest.fixture
def resumed(tiny, tmp_path):
    """A function: train a run on, up to a step, with other settings of ``train``."""

    def go(folder, steps, *, resume=True, **settings):
        recipe = tiny(
            tricks=[
                {"replay-buffer": {"size": 10}},
                {"ema": {"decay": 0.9}},
                "lecam",
                {"instance-noise": {"sigma": 0.1}},
            ],
            without=["progress", "samples", "metrics-log", "health"],
            train={"precision": "float64", "steps": steps, **settings},
        )
        return train(load_recipe(recipe, catalog=Catalog()), Catalog(), tmp_path / folder, resume=resume)

    return go


def test_a_batch_may_be_divided_otherwise_after_a_resume(resumed, state_of, tmp_path, capsys):
    """8 rows a step: at once, as 2 x 4, as 4 x 2, at once again. All that is trained is that of a run of one piece."""
    resumed("whole", 12, resume=False)
    resumed("parts", 3, resume=False)
    resumed("parts", 6, batch_size=4, accumulate=2)
    assert (
        "batch_size 8 and accumulate 1 before, 1 with 4 and 2 now: the same 8 samples a step" in capsys.readouterr().out
    )
    resumed("parts", 9, batch_size=2, accumulate=4)
    resumed("parts", 12)
    (_, ours), (_, theirs) = state_of(tmp_path / "whole"), state_of(tmp_path / "parts")
    assert ours.keys() == theirs.keys()
    assert any("replay-buffer" in name for name in ours)
    assert {name: gap for name in ours if (gap := (ours[name] - theirs[name]).abs().max().item()) > 1e-10} == {}


def test_a_batch_of_another_size_is_refused_with_the_one_that_fits(resumed):
    resumed("run", 3, resume=False)
    with pytest.raises(UserError, match=r"takes 8 samples, and would take 16 now .*--set train.batch_size=4 leaves"):
        resumed("run", 6, accumulate=2)
    with pytest.raises(UserError, match=r"would take 9 now .* accumulate 3 .*processes that divide 8 leaves it as it"):
        resumed("run", 6, batch_size=3, accumulate=3)
    resumed("run", 6, batch_size=4, accumulate=2)
