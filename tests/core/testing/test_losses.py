"""The contract checks catch what they are for: wrong plugins fail the check that is named."""

import math
from typing import Annotated

import pytest
import torch
from pydantic import Field
from wrong_plugins import failing, plugin_of

from ganrun.schedule import Scheduled
from ganrun.testing import Plugin
from ganrun.testing.plugin import Example
from ganrun.words.game import Term
from ganrun.words.hooks import hookimpl

# --- losses -----------------------------------------------------------------------------------------------------


class Loss:
    """Hinge-like values without targets."""

    provides = frozenset({"per-sample-generator"})
    real_in_generator = False

    def targets(self, role):
        return None

    def discriminator(self, round):
        return {s: (1 - s.logits if s.role == "real" else 1 + s.logits).relu() for s in round.streams}

    def generator(self, round):
        return {s: -s.logits for s in round.of("fake")}


class Energy:
    """Low energies for real samples, energies above 2 for fakes; a weight of the fakes is state and begins at 0."""

    provides = frozenset({"per-sample-generator", "logit:energy"})
    real_in_generator = False

    def __init__(self):
        self.k = 0.0

    def score(self, round, logits):
        return -logits

    def discriminator(self, round):
        return {s: s.logits if s.role == "real" else self.k * (2 - s.logits).relu() for s in round.streams}

    def generator(self, round):
        return {s: s.logits for s in round.of("fake")}

    def state_dict(self):
        return {"k": self.k}

    def load_state_dict(self, state):
        self.k = state["k"]


class Both(Loss):
    """Two numbers a sample, of which the sum is the opinion."""

    logits = 2

    def score(self, round, logits):
        return logits.sum(1)

    def discriminator(self, round):
        return {s: (1 + self.score(round, s.logits) * (-1 if s.role == "real" else 1)).relu() for s in round.streams}

    def generator(self, round):
        return {s: -self.score(round, s.logits) for s in round.of("fake")}


@pytest.mark.parametrize("right", [Loss, Energy, Both])
def test_a_right_loss_passes(right):
    assert failing(plugin_of("loss", right)) == set()


def generator(value):
    """A generator's side that returns ``value(stream)`` for each fake stream."""
    return {"generator": lambda self, round: {s: value(s) for s in round.of("fake")}}


def says(*names):
    """A loss that provides these capabilities."""
    return {"provides": frozenset(names)}


def score(value):
    """A score that is ``value(logits)``."""
    return {"score": lambda self, round, logits: value(logits)}


@pytest.mark.parametrize(
    ("wrong", "check"),
    [
        (generator(lambda s: -s.logits.mean()), "check_values_have_one_row_a_sample"),
        (generator(lambda s: -s.logits.sigmoid().log()), "check_finite_for_large_logits"),
        (generator(lambda s: -s.logits.detach() + 0 * s.logits), "check_gradient_reaches_the_logits"),
        (generator(lambda s: s.logits - (0 if s.target is None else s.target)), "check_generator_ignores_targets"),
        ({"targets": lambda self, role: 1.0}, "check_targets_agree_with_provides"),
        (generator(lambda s: s.logits - s.logits.mean()), "check_generator_scores_each_sample_alone"),
        (generator(lambda s: -s.logits.float()), "check_number_formats"),
        (generator(lambda s: -s.logits.float()), "check_float64"),
        (generator(lambda s: -s.logits * torch.rand(())), "check_is_a_function_of_the_round"),
        (generator(lambda s: s.logits.mean() - s.logits), "check_batch_coupling_is_declared"),
        (says("batch-coupled"), "check_batch_coupling_is_declared"),
        (says("logit:sined"), "check_names_of_the_score"),
        (says("logit:signed", "logit:relative"), "check_names_of_the_score"),
        (says("logit:probability"), "check_names_of_the_score"),
        ({"logits": 2}, "check_names_of_the_score"),
        (score(lambda logits: logits.mean()), "check_score_rows"),
        (score(lambda logits: logits.float()), "check_score_rows"),
        (says("logit:energy"), "check_score_rows"),
        (score(lambda logits: -logits), "check_larger_is_more_real"),
        ({**says("logit:signed"), **score(lambda logits: logits - 2)}, "check_score_zero_is_undecided"),
        (says("logit:signed", "logit:probability"), "check_score_is_a_probability"),
        (says("logit:relative"), "check_only_differences_matter"),
    ],
)
def test_a_wrong_loss_fails(wrong, check):
    broken = type("Broken", (Loss,), {"__doc__": "Wrong.", **wrong})
    assert check in failing(plugin_of("loss", broken), check)


def test_targets_that_are_not_used_are_found():
    broken = type(
        "Broken", (Loss,), {"provides": frozenset({"targets"}), "targets": lambda self, role: float(role == "real")}
    )
    assert failing(plugin_of("loss", broken), "check_targets_are_used") == {"check_targets_are_used"}


# --- tricks -----------------------------------------------------------------------------------------------------


class Noise:
    """Adds noise to what the discriminator sees."""

    strength = "sigma"

    def __init__(
        self, *, sigma: Annotated[Scheduled, Field(ge=0, description="standard deviation")] = Scheduled(0.1)
    ) -> None:
        self.sigma = sigma

    @hookimpl
    def corrupt(self, turn, call):
        call.x = call.x + turn.now(self.sigma) * turn.draws.normal("noise", *call.x.shape)


class EarlyReturn(Noise):
    """Returns early at strength 0."""

    @hookimpl
    def corrupt(self, turn, call):
        if turn.now(self.sigma) > 0:
            super().corrupt(turn, call)


class NotKeyed(Noise):
    """Draws from torch's global generator."""

    @hookimpl
    def corrupt(self, turn, call):
        call.x = call.x + turn.now(self.sigma) * torch.randn(call.x.shape, generator=self.generator)

    generator = torch.Generator()


class Idle(Noise):
    """Changes nothing."""

    @hookimpl
    def corrupt(self, turn, call):
        turn.draws.normal("noise", 1)


class NeverZero(Noise):
    """Is there at strength 0, too."""

    @hookimpl
    def corrupt(self, turn, call):
        call.x = call.x * 0.9


class Forgetful(Noise):
    """Has state that no checkpoint holds."""

    seen = 0

    @hookimpl
    def corrupt(self, turn, call):
        self.seen += 1
        call.x = call.x + turn.now(self.sigma) * self.seen


class LosesState(Forgetful):
    """Saves its state and does not load it."""

    def state_dict(self):
        return {"seen": self.seen}

    def load_state_dict(self, state):
        self.seen = 0


class WrongPlayer(Noise):
    """Lets gradients into the other player."""

    @hookimpl
    def losses(self, turn):
        for name, module in turn.modules.items():
            for parameter in module.parameters():
                parameter.requires_grad_(True)
                turn.terms[f"decay {name}"] = Term(parameter.square().sum(), turn.now(self.sigma))
        turn._engine._trained = None


class NaN(Noise):
    """Makes terms that are not numbers."""

    @hookimpl
    def losses(self, turn):
        turn.terms["bad"] = Term(next(iter(turn.terms.values())).value * math.nan, 0.0)


class PointsOnly(Noise):
    """Ends in an error on images, instead of a refusal."""

    @hookimpl
    def corrupt(self, turn, call):
        assert call.x.dim() == 2
        call.x = call.x + turn.now(self.sigma)


class Unheard(Noise):
    """Listens to an event that never comes here."""

    @hookimpl
    def targets(self, turn, round):
        raise AssertionError("the loss of its recipe has no targets")


def test_a_right_trick_passes():
    assert failing(plugin_of("trick", Noise)) == set()


@pytest.mark.parametrize(
    ("trick", "check"),
    [
        (EarlyReturn, "check_strength_zero_runs_the_code"),
        (NotKeyed, "check_same_seed_same_bits"),
        (Idle, "check_default_strength_changes_something"),
        (NeverZero, "check_strength_zero_changes_nothing"),
        (Forgetful, "check_resumes_late"),
        (LosesState, "check_state_survives_a_checkpoint"),
        (WrongPlayer, "check_only_the_turns_player_gets_gradients"),
        (NaN, "check_trains"),
        (PointsOnly, "check_works_everywhere_or_is_refused"),
        (type("NoStrength", (Noise,), {"strength": "sigme"}), "check_strength_is_declared"),
        (type("LooksLikeAHook", (Noise,), {"updated": lambda self, turn: None}), "check_parameters_and_hooks"),
    ],
)
def test_a_wrong_trick_fails(trick, check):
    assert check in failing(plugin_of("trick", trick), check)


def test_an_event_that_never_fires_is_found(plugin_module):
    class NoTargets(Loss):
        """Without targets."""

    module = plugin_module({"loss.no-targets": NoTargets, "trick.wrong": Unheard})
    plugin = Plugin("trick.wrong", modules=[module], example=Example(recipe={"loss": "no-targets"}))
    assert failing(plugin, "check_every_event_fires") == {"check_every_event_fires"}
