"""What a run begins with: the state of its optimisers has to fit."""

import pytest
import torch

from ganrun.testing.runs import steps
from ganrun.training.checkpoint import CheckpointError


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
