"""The doctor of a resumed run sees what that of a run never stopped sees, whatever changes in the steps."""

import pytest
import torch

from ganrun import api
from ganrun.words.hooks import hookimpl
from ganrun_plugins.observers.health import Health


class Widens:
    """A sampler whose latents become wider with every step."""

    def __init__(self):
        self.width = 1.0

    def sample(self, draws, purpose, n, space):
        return self.width * draws.normal(purpose, n, *space.shape)

    @hookimpl
    def step_taken(self, step):
        self.width += 0.5

    def state_dict(self):
        return {"width": self.width}

    def load_state_dict(self, state):
        self.width = state["width"]


@pytest.fixture
def train(tmp_path, tiny, plugin_module):
    """Train with a check every second step and a checkpoint every fourth. Returns the observer."""

    def train(steps, folder="run", resume=False, **changes):
        observers = ["checkpoints", {"health": {"every": 2, "samples": 8}}]
        recipe = tiny(observers=observers, train={"steps": steps}, checkpoint={"every": 4}, **changes)
        plugins = [plugin_module({"sampler.widens": Widens})]
        run = api.run(recipe, output=tmp_path / folder, resume=resume, plugins=plugins)
        return next(observer for observer in run.experiment.observers if isinstance(observer, Health))

    return train


@pytest.mark.parametrize(
    "changes", [{"tricks": [{"ema": {"decay": 0.9}}]}, {"sampler": "widens"}], ids=["ema", "latents"]
)
def test_what_changes_in_the_steps_is_not_decided_at_the_start_of_a_process(train, changes):
    """Averaged weights come with the first step, and a sampler may draw other latents later."""
    whole = train(12, "whole", **changes)
    train(5, **changes)
    resumed = train(12, resume=True, **changes)
    assert resumed.history == whole.history
    seen, other = resumed._seen["x"], whole._seen["x"]
    assert torch.equal(seen, other)


def test_the_averaged_weights_are_what_is_looked_at(train):
    """With a decay of 1 the average stays the initial network, so its samples never move."""
    history = train(6, tricks=[{"ema": {"decay": 1}}]).history
    assert [check.values["drift:x"] for check in history[1:]] == [0.0] * (len(history) - 1)
