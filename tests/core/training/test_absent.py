"""A run is opened where plugins that it was trained with are not installed."""

import json
import warnings

import pytest
import torch

import ganrun
from ganrun.errors import UserError

MINE = """\
"A loss, an optimiser, a data set and tricks of one's own."
import torch
from ganrun.plugin import Component, Space, hookimpl
from ganrun.plugin.data import InMemory


class Loss:
    "Differences of logits."
    provides = frozenset({"per-sample-generator"})
    real_in_generator = False

    def discriminator(self, round):
        return {s: -s.logits if s.role == "real" else s.logits for s in round.streams}

    def generator(self, round):
        return {s: -s.logits for s in round.of("fake")}


class Descent:
    "Plain gradient descent."
    lr = 0.1

    def make(self, parameters):
        return torch.optim.SGD(parameters, lr=self.lr)


class Points(InMemory):
    "Normal points."

    def __init__(self, files, split, *, n: int = 64):
        x = torch.randn(n, 2, generator=torch.Generator().manual_seed(0))
        super().__init__({"x": x}, {"x": Space("points", (2,))})


class Counted:
    "Counts turns, and changes nothing of a sample."
    strength = ""

    def __init__(self, *, by: int = 1):
        self.by, self.n = by, 0

    @hookimpl
    def updated(self, turn):
        self.n += self.by

    def state_dict(self):
        return {"n": self.n}

    def load_state_dict(self, state):
        self.n = state["n"]


class Doubled:
    "Latents are twice as long."
    strength = ""

    @hookimpl
    def sample(self, turn):
        for name in turn.latents:
            turn.latents[name] = 2 * turn.latents[name]


@hookimpl
def ganrun_components():
    yield Component("loss", "my-loss", Loss)
    yield Component("optimizer", "my-descent", Descent)
    yield Component("dataset", "my-points", Points)
    yield Component("trick", "my-count", Counted)
    yield Component("trick", "my-double", Doubled)
"""


@pytest.fixture
def trained(tmp_path, tiny):
    """The folder of a short run that used the plugins of a file, and the file; changes are of the recipe."""
    mine = tmp_path / "mine.py"
    mine.write_text(MINE)

    def train(**changes):
        players = {name: {"optimizer": "my-descent"} for name in ("generator", "discriminator")}
        recipe = tiny(**{"train": {"steps": 3}, "observers": ["checkpoints"], "players": players, **changes})
        ganrun.run(recipe, output=tmp_path / "run", plugins=[mine])
        return tmp_path / "run", mine

    return train


ALL = {"loss": "my-loss", "dataset": "my-points", "tricks": [{"my-count": {"by": 2}}, {"ema": {"decay": 0.5}}]}


def test_samples_are_the_same_without_plugins_that_act_in_training_only(trained):
    """The average of the second trick is found although the first one is not there."""
    run, mine = trained(**ALL)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = ganrun.load(run, plugins=[mine]).sample(8)
    with pytest.warns(UserWarning, match="left out, not installed here and not needed to make samples") as warned:
        found = ganrun.load(run).sample(8)
    assert torch.equal(found, expected)
    for name in ("loss.my-loss", "optimizer.my-descent", "dataset.my-points", "trick.my-count"):
        assert f"{name} ({mine})" in str(warned[0].message)


def test_what_a_loss_provides_is_kept_also_that_of_a_single_game(trained):
    run, _ = trained(loss={"adversarial": "my-loss", "others": "hinge"})
    kept = json.loads((run / "versions.json").read_text())["kept_parts"]
    assert kept["loss.my-loss"]["provides"] == ["per-sample-generator"]


def test_what_is_needed_of_a_data_set_that_is_not_here_is_an_error(trained):
    run, _ = trained(**ALL)
    with pytest.warns(UserWarning, match="left out"):
        opened = ganrun.load(run)
    with pytest.raises(
        UserError, match=r"dataset\.my-points \(.*mine\.py\) is needed for this, and it is not installed"
    ):
        opened.dataset("test")


def test_a_plugin_that_changes_samples_is_needed_and_told_with_its_origin(trained):
    run, mine = trained(tricks=["my-double"])
    with pytest.warns(UserWarning, match="my-descent"), pytest.raises(UserError) as caught:
        ganrun.load(run)
    assert 'no trick is called "my-double"' in str(caught.value)
    assert f"trick.my-double came from {mine}: add --plugin FILE" in str(caught.value)
    assert "my-descent" not in str(caught.value)


def test_a_distribution_that_is_not_installed_is_named_with_the_way_to_get_it(trained):
    run, _ = trained(tricks=["my-double"])
    kept = json.loads((run / "versions.json").read_text())
    kept["plugins"]["trick.my-double"] = {"distribution": "gx_tricks", "version": "1.0"}
    (run / "versions.json").write_text(json.dumps(kept))
    with pytest.warns(UserWarning, match="left out"), pytest.raises(UserError) as caught:
        ganrun.load(run)
    assert "trick.my-double came from gx_tricks 1.0: pip install gx_tricks" in str(caught.value)
    with pytest.raises(UserError, match="came from gx_tricks 1.0: pip install gx_tricks"):
        ganrun.run(run, ["train.steps=4"], resume=True)


def test_a_run_is_scored_without_them(trained):
    from ganrun.catalog.catalog import Catalog
    from ganrun.inference.compare import evaluate_run

    scored = [{"mode-coverage": {"samples": 16}}]
    run, mine = trained(loss="my-loss", tricks=["my-count"], evaluators=scored)
    (expected,) = evaluate_run(run, None, Catalog(modules=[mine]))
    with pytest.warns(UserWarning, match="my-loss"):
        (found,) = evaluate_run(run, None, Catalog())
    assert found.scores == expected.scores
