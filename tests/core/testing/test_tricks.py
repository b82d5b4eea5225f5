"""The checks of tricks: a right one passes, wrong ones fail the check that is named."""

import math
from typing import Annotated

import pytest
import torch
from pydantic import Field
from wrong_plugins import Loss, failing, plugin_of

from ganrun.schedule import Scheduled
from ganrun.testing import Plugin
from ganrun.testing.plugin import Example
from ganrun.words.game import Term
from ganrun.words.hooks import hookimpl


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
