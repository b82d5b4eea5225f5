"""The checks of losses: right ones pass, wrong ones fail the check that is named."""

import pytest
import torch
from wrong_plugins import Loss, failing, plugin_of


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
