"""A run whose weights are no longer finite numbers: it ends with what happened, and what was good is kept."""

import math

import pytest
import torch

from ganrun import api
from ganrun.training import checkpoint
from ganrun.training.finite import NotFinite
from ganrun.words.hooks import hookimpl


class Explodes:
    """Multiplies the generator's loss by infinity from a step on."""

    strength = ""

    def __init__(self, *, at: int):
        self.at = at

    @hookimpl
    def losses(self, turn):
        if turn.step + 1 >= self.at and turn.player == "generator":
            term = turn.terms["adversarial.fake"]
            term.weight = term.weight * math.inf


class InfiniteOnce(Explodes):
    """Adds a term of infinity, without a gradient, in one step: no weight is touched."""

    @hookimpl
    def losses(self, turn):
        if turn.step + 1 == self.at and turn.player == "generator":
            turn.add("boundless", turn.terms["adversarial.fake"].value.detach() + math.inf)


class Overflows(Explodes):
    """Makes the generator's weights infinite after a step whose terms and gradients were finite."""

    @hookimpl
    def losses(self, turn):
        pass

    @hookimpl
    def updated(self, turn):
        if turn.step + 1 == self.at and turn.player == "generator":
            for parameter in turn.parameters("generator"):
                parameter.data.fill_(math.inf)


class Mask:
    """A trick that gives the generator a buffer of minus infinity."""

    strength = ""

    @hookimpl
    def build(self, experiment):
        experiment.modules["generator"].register_buffer("mask", torch.full((2,), -math.inf))


class Quiet:
    """A run's only observer besides checkpoints: keeps what was reported."""

    def __init__(self):
        self.findings = []

    @hookimpl
    def finding(self, run, finding):
        self.findings.append(finding)


PLUGINS = {
    "trick.explodes": Explodes,
    "trick.infinite-once": InfiniteOnce,
    "trick.overflows": Overflows,
    "trick.mask": Mask,
    "observer.quiet": Quiet,
}


@pytest.fixture
def train(tmp_path, tiny, plugin_module):
    def train(resume=False, **changes):
        recipe = tiny(observers=["checkpoints", "quiet"], checkpoint={"every": 4, "keep": 1}, **changes)
        return api.run(recipe, output=tmp_path / "run", resume=resume, plugins=[plugin_module(PLUGINS)])

    return train


def test_the_last_good_checkpoint_stays_whatever_keep_says_and_the_message_leads_back_to_it(train, tmp_path):
    """The loss is infinite in step 6; checkpoints are due after 4, 8 and 12, and one is kept."""
    with pytest.raises(NotFinite) as caught:
        train(tricks=[{"explodes": {"at": 6}}])
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("step 6: the gradient of the player generator is ")
    assert lines[0].endswith(", and the weights of generator and discriminator are not finite numbers any more")
    assert "the last good checkpoint is that of step 4" in lines[1]
    run = tmp_path / "run"
    assert lines[2] == f"  ganrun recipe {run} --resume --force --set players.generator.optimizer.adam.lr=0.0001"
    assert caught.value.exit_code == 1
    assert [step for step, _ in checkpoint.listing(run / "checkpoints")] == [4]


def test_an_update_that_overflows_is_found_when_the_step_is_to_be_saved_and_names_its_player(train):
    with pytest.raises(NotFinite) as caught:
        train(tricks=[{"overflows": {"at": 8}}])
    first, _, last = str(caught.value).splitlines()
    assert first == ("step 8: an update of generator: the weights of generator are not finite numbers any more")
    assert last.endswith("--set players.generator.optimizer.adam.lr=0.0001")


def test_before_the_first_checkpoint_a_new_start_is_advised(train):
    with pytest.raises(NotFinite, match="no checkpoint is from before it; start again with a lower rate"):
        train(tricks=[{"explodes": {"at": 2}}])


def test_a_term_that_is_infinite_while_the_weights_stay_finite_is_said_and_costs_nothing(train, capsys):
    run = train(tricks=[{"infinite-once": {"at": 6}}])
    assert run.step == 20
    assert (
        capsys.readouterr().out.count(
            "warning: step 6: the term boundless of the player generator is inf; the weights are still finite"
        )
        == 1
    )


def test_a_buffer_that_was_not_finite_from_the_start_is_meant_so(train):
    assert train(tricks=["mask"]).step == 20


def test_observers_are_told_before_the_run_ends(train, monkeypatch):
    told = []
    monkeypatch.setattr(Quiet, "finding", hookimpl(lambda self, run, finding: told.append(finding)))
    with pytest.raises(NotFinite):
        train(tricks=[{"explodes": {"at": 6}}])
    (finding,) = told
    assert (finding.name, finding.since, finding.good) == ("not-finite", 6, 5)


def test_weights_that_are_not_finite_are_said_when_they_are_loaded_and_a_resumed_run_goes_back(train, tmp_path, capsys):
    """Earlier versions kept such checkpoints."""
    run = train()
    with torch.no_grad():
        run.engine.parameters["generator"][0].fill_(math.nan)
    state = run.state_dict()
    checkpoint.write(tmp_path / "run" / "checkpoints", 21, {**state, "step": 21})
    with pytest.warns(UserWarning, match="the weights of generator in this checkpoint are not finite numbers"):
        api.load(tmp_path / "run", plugins=[]).sample(1)
    capsys.readouterr()
    assert train(resume=True).resumed_from == 20
    assert (
        "step-0000021: the weights of step 21 are not finite numbers; an older one is used" in capsys.readouterr().out
    )
