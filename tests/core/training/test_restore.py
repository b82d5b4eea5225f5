"""What a run begins with: its newest checkpoint, if networks and the state of optimisers fit."""

import json

import pytest
import torch

import ganrun
from ganrun.errors import UserError
from ganrun.testing.runs import steps
from ganrun.training import checkpoint
from ganrun.training.checkpoint import CheckpointError
from ganrun.training.restore import last_good


@pytest.mark.parametrize(
    "forge",
    [lambda entries: entries.pop("exp_avg"), lambda entries: entries.update(exp_avg=torch.zeros(3))],
    ids=["an entry is gone", "another shape"],
)
def test_a_state_of_an_optimiser_that_does_not_fit_is_a_damaged_checkpoint(forge, tiny, make_run):
    state = steps(make_run(tiny()), 1).state_dict()
    for entries in state["optimizers"]["generator"]["state"].values():
        forge(entries)
    with pytest.raises(CheckpointError, match="generator's optimiser does not fit its parameters: exp_avg of number 0"):
        make_run(tiny()).load_state_dict(state)


def test_a_parameter_that_had_no_gradient_has_no_state(tiny, make_run):
    state = steps(make_run(tiny()), 1).state_dict()
    state["optimizers"]["generator"]["state"].clear()
    make_run(tiny()).load_state_dict(state)


@pytest.fixture
def train(tiny, tmp_path):
    """A function: train the networks of some widths in one folder."""

    def train(steps, *, widths=(16,), **how):
        network = {"mlp": {"widths": list(widths), "norm": "none"}}
        recipe = tiny(generator=network, without=["progress", "samples", "metrics-log", "health"])
        recipe["train"] |= {"steps": steps}
        return ganrun.run(recipe, output=tmp_path / "run", **how)

    return train


def test_a_network_with_more_layers_than_were_kept_is_refused_in_words(train):
    train(3)
    with pytest.raises(UserError, match=r"network generator does not fit the checkpoint: .*hidden\.1"):
        train(6, widths=(16, 16), resume=True, force=True)


def test_tensors_that_lie_elsewhere_are_read_through_their_link(train, tmp_path):
    train(3)
    tensors = tmp_path / "run/checkpoints/step-0000003/tensors.safetensors"
    tensors.rename(tmp_path / "kept")
    tensors.symlink_to(tmp_path / "kept")
    kept = (tmp_path / "kept").read_bytes()
    assert train(6, resume=True).resumed_from == 3
    assert (tmp_path / "kept").read_bytes() == kept


def test_a_run_of_which_no_data_were_kept_is_resumed(train, tmp_path):
    train(3)
    path = tmp_path / "run/versions.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "data": None}))
    assert train(6, resume=True).resumed_from == 3


def test_an_older_checkpoint_of_another_shape_is_not_the_last_good_one(train, tmp_path):
    run = train(3)
    folder = tmp_path / "run/checkpoints"
    checkpoint.write(folder, 4, {"step": 4, "modules": ["generator"]})
    assert last_good(run.experiment, tmp_path / "run")[0] == 3
    checkpoint.prune(folder, 1, set())
    assert last_good(run.experiment, tmp_path / "run") is None
