"""Findings from histories made by hand: what each needs, how long it has to last, and which of them explain others."""

import math

import numpy as np
import pytest

from ganrun_plugins.observers._findings import (
    ADVICE,
    NAMES,
    Check,
    Facts,
    Finding,
    Limits,
    explains,
    findings,
    lasting,
    oscillating,
    plateau,
    rhythm,
)

EVERY = 100
FACTS = Facts(every=EVERY, learners=frozenset({"generator"}))
LIMITS = Limits()
WELL = {
    "gradient:generator": 10.0,
    "update:generator": 0.004,
    "weights:generator": 20.0,
    "broken:generator": 0.0,
    "pull:game": 0.8,
    "gradient:discriminator": 5.0,
    "update:discriminator": 0.002,
    "weights:discriminator": 20.0,
    "auc:game": 0.9,
    "margin:game": 2.0,
    "close10:x": 0.1,
    "close25:x": 0.3,
    "close50:x": 0.6,
    "spread:x": 0.9,
    "broken:x": 0.0,
    "drift:x": 0.2,
    "path0:x": 0.1,
    "gap:game": 0.0,
    "memory:game": 0.5,
}


def history(*changes, well=10):
    """Checks every 100 steps: ``well`` of a run that is well, then one for each of the changes."""
    values = [dict(WELL) for _ in range(well)] + [{**WELL, **change} for change in changes]
    return [Check(EVERY * (n + 1), v) for n, v in enumerate(values)]


def names(checks, facts=FACTS):
    return [finding.name for finding in findings(checks, facts, LIMITS)]


def test_nothing_is_found_in_a_run_that_is_well():
    assert names(history()) == []
    assert names([]) == []
    assert set(ADVICE) == set(NAMES)


@pytest.mark.parametrize(
    ("name", "change", "checks"),
    [
        ("exploding", {"broken:generator": 1.0}, 1),
        ("exploding", {"gradient:generator": math.nan}, 1),
        ("exploding", {"weights:discriminator": math.inf}, 1),
        ("exploding", {"broken:x": 0.5}, 1),
        ("exploding", {"update:discriminator": 0.02}, 3),
        ("exploding", {"spread:x": 10.0}, 3),
        ("exploding", {"path0:x": -10.0}, 3),
        ("overfitting-discriminator", {"memory:game": 0.8, "gap:game": 0.2}, 4),
        ("saturated-discriminator", {"auc:game": 0.99, "pull:game": 0.02}, 4),
        ("vanishing-gradient", {"gradient:generator": 0.01}, 4),
        ("mode-collapse", {"close25:x": 0.9}, 4),
        ("dead-augmentation", {"kept:game": 0.02, "augmented:game": 1.0}, 3),
    ],
)
def test_a_finding_needs_its_checks_in_a_row(name, change, checks):
    """Values at the threshold. Ten checks were well, so the trouble began with the eleventh, at step 1100."""
    assert names(history(*[change] * (checks - 1))) == []
    (finding,) = findings(history(*[change] * checks), FACTS, LIMITS)
    assert (finding.name, finding.since, finding.good) == (name, 1100, 1000)
    assert finding.evidence
    assert finding.numbers
    assert names(history(*[change] * checks, {})) == [], "it went away"
    if checks > 1:
        assert names(history(*[change] * (checks - 1), {}, change)) == [], "a check in between was well"


@pytest.mark.parametrize(
    "change",
    [
        {"update:generator": 0.019},
        {"spread:x": 9.9},
        {"memory:game": 0.95, "gap:game": 0.19},  # known by heart, but that does not steer the generator
        {"memory:game": 0.79, "gap:game": 0.9},
        {"auc:game": 1.0, "pull:game": 0.8},  # a discriminator that is always right, and a loss that does not mind
        {"auc:game": 0.5, "pull:game": 0.001},  # the generator wins
        {"gradient:generator": 0.011},
        {"gradient:discriminator": 0.0},  # it learns from no discriminator
        {"close25:x": 0.89},
        {"kept:game": 0.03, "augmented:game": 1.0},
        {"kept:game": 1.0, "augmented:game": 0.0},  # augmentation that does nothing, where none is needed
    ],
)
def test_values_beside_a_threshold_are_no_finding(change):
    assert names(history(*[change] * 10)) == []


def test_the_first_steps_may_change_small_weights_by_much():
    """Checks at 50, 100, 150: before step 200 nothing counts, so that the third check that does is the one at 300."""
    checks = [Check(50 * (n + 1), {**WELL, "update:generator": 0.05}) for n in range(6)]
    assert names(checks[:5]) == []
    (finding,) = findings(checks, FACTS, LIMITS)
    assert (finding.since, finding.good) == (200, 150)


def test_an_untrained_generator_has_not_collapsed_but_one_that_was_varied_has():
    alike = {"close25:x": 1.0}
    assert names([Check(20 * n, {**WELL, **alike}) for n in range(1, 20)]) == [], "380 steps of warming up"
    assert names([Check(100 * n, {**WELL, **alike}) for n in range(1, 8)]) == [], "seven checks"
    assert names([Check(100 * n, {**WELL, **alike}) for n in range(1, 12)]) == ["mode-collapse"], (
        "four checks from the eighth on"
    )
    varied = [Check(10 * n, {**WELL, **(alike if n > 3 else {})}) for n in range(1, 8)]
    assert names(varied) == ["mode-collapse"], "it was varied at step 30, so that 70 is not too early"


def test_a_vanished_gradient_is_compared_with_the_first_checks():
    """10 at first, a thousandth is 0.01. A network whose gradients were always small has lost nothing."""
    small = [Check(100 * n, {**WELL, "gradient:generator": 0.001}) for n in range(1, 20)]
    assert names(small) == []


def test_augmentation_that_does_nothing_is_dead_where_the_discriminator_overfits():
    overfits = {"memory:game": 0.9, "gap:game": 0.5, "kept:game": 1.0}
    assert set(names(history(*[{**overfits, "augmented:game": 0.0}] * 4))) == {
        "overfitting-discriminator",
        "dead-augmentation",
    }
    assert names(history(*[{**overfits, "augmented:game": 0.3}] * 4)) == ["overfitting-discriminator"]


# --- rhythms ----------------------------------------------------------------------------------------------------


def sine(checks, period, amplitude):
    return [amplitude * math.sin(2 * math.pi * n / period) for n in range(checks)]


def test_a_sine_has_its_period_all_of_the_power_and_its_amplitude():
    """Four whole periods of six checks, so that one frequency holds all; a straight line beside it is taken off."""
    found = rhythm(np.array(sine(24, 6, 0.5)), 3)
    assert found.period == pytest.approx(6, rel=0.02)
    assert found.share > 0.95
    assert found.amplitude == pytest.approx(0.5, rel=0.05)
    tilted = rhythm(np.array(sine(24, 6, 0.5)) + 0.3 * np.arange(24), 3)
    assert tilted.period == pytest.approx(found.period)
    assert tilted.amplitude == pytest.approx(found.amplitude)


def test_fewer_periods_a_constant_and_gaps_are_no_rhythm():
    assert rhythm(sine(24, 12, 1.0), 3) is None, "two periods"
    assert rhythm([1.0] * 24, 3) is None
    assert rhythm([math.nan, *sine(23, 6, 1.0)], 3) is None


def test_a_mean_that_turns_in_a_rhythm_is_an_oscillation_with_its_period_in_steps():
    """A period of 6 checks of 100 steps. A window has 24, and three windows in a row have to hold: 26 checks."""
    checks = history(*[{"path0:x": place} for place in sine(26, 6, 0.5)], well=0)
    assert names(checks[:25]) == []
    (finding,) = findings(checks, FACTS, LIMITS)
    assert finding.name == "oscillation"
    assert finding.since == 2400
    assert finding.numbers["period"] == pytest.approx(600, rel=0.02)
    assert "0.50 of the data's deviation" in finding.evidence
    assert names(history(*[{"path0:x": place} for place in sine(40, 6, 0.2)], well=0)) == [], "a fifth of a deviation"


def test_a_slow_rhythm_is_seen_in_the_longer_window():
    """20 checks a period: 24 checks hold one, 72 hold three and a half."""
    assert names(history(*[{"path1:x": place} for place in sine(60, 20, 1.0)], well=0)) == []
    assert names(history(*[{"path1:x": place} for place in sine(76, 20, 1.0)], well=0)) == ["oscillation"]


def test_noise_and_random_walks_do_not_oscillate():
    """Of 120 runs of 40 checks each none is called an oscillation at any of its checks, though all move enough."""
    random = np.random.default_rng(0)
    for steps in (random.standard_normal((60, 40)), 0.3 * random.standard_normal((60, 40)).cumsum(1)):
        for series in steps:
            checks = [Check(EVERY * (n + 1), {"path0:x": place}) for n, place in enumerate(series)]
            assert all(
                lasting("", oscillating, LIMITS.oscillating, checks[:n], FACTS, LIMITS) is None for n in range(26, 41)
            )


def test_irregular_first_checks_are_no_part_of_a_rhythm():
    checks = history(*[{"path0:x": place} for place in sine(26, 6, 0.5)], well=0)
    early = [Check(1, {**WELL, "path0:x": 50.0}), Check(10, {**WELL, "path0:x": -50.0})]
    assert names([*early, *checks]) == ["oscillation"]


# --- causes and effects -----------------------------------------------------------------------------------------


def finding(name, since):
    return Finding(name, "", {}, since, since - EVERY)


def test_explosion_explains_all_that_follows_and_a_plateau_is_not_its_doing():
    worst = {
        "update:generator": 0.05,
        "auc:game": 1.0,
        "pull:game": 0.0,
        "close25:x": 1.0,
        "memory:game": 1.0,
        "gap:game": 1.0,
        "kept:game": 0.0,
    }
    assert names(history(*[worst] * 5)) == ["exploding"]
    assert not explains(finding("exploding", 1), finding("plateau", 2))


def test_a_saturated_discriminator_explains_what_its_generator_lacks():
    still = {"auc:game": 1.0, "pull:game": 0.001, "gradient:generator": 0.001, "close25:x": 1.0}
    assert names(history(*[still] * 5)) == ["saturated-discriminator"]


def test_of_two_that_explain_each_other_the_earlier_is_the_cause():
    collapse, saturation = {"close25:x": 1.0}, {"auc:game": 1.0, "pull:game": 0.001}
    both = [{**collapse, **saturation}] * 5
    assert names(history(*[collapse] * 3, *both)) == ["mode-collapse"]
    assert names(history(*[saturation] * 3, *both)) == ["saturated-discriminator"]
    assert explains(finding("saturated-discriminator", 5), finding("mode-collapse", 5)), (
        "together: in the order of the names"
    )
    assert not explains(finding("mode-collapse", 5), finding("saturated-discriminator", 5))


def test_a_cause_that_goes_away_lets_its_effect_be_seen():
    collapse, saturation = {"close25:x": 1.0}, {"auc:game": 1.0, "pull:game": 0.001}
    checks = history(*[{**collapse, **saturation}] * 5, collapse)
    assert names(checks) == ["mode-collapse"]


# --- when is it finished ----------------------------------------------------------------------------------------


def scores(*values):
    return [(100 * (n + 1), value) for n, value in enumerate(values)]


def test_a_score_that_no_longer_gets_better_is_a_plateau():
    """Best before: 10. The last three, 11, 10.5, 11, change by 1 (from 10), 0.5, 0.5: the median, 0.5, stands for 0.52
    of noise. Their best, 10.5, is not below 10 - 0.52."""
    facts = Facts(patience=3)
    found = plateau(scores(50, 20, 10, 11, 10.5, 11), facts)
    assert (found.name, found.since, found.good) == ("plateau", 400, 300)
    assert found.numbers["noise"] == pytest.approx(0.5 / (0.6745 * math.sqrt(2)))
    assert plateau(scores(50, 20, 10, 11, 9, 11), facts) is not None, (
        "9 is within the noise: changes 1, 2, 2 stand for 2.1"
    )
    assert plateau(scores(50, 20, 10, 9, 8, 7), facts) is None, "changes of 1 stand for 1.05, and 7 is 3 below"


def test_a_plateau_needs_its_patience_and_knows_which_way_is_up():
    assert plateau(scores(10, 10, 10), Facts(patience=3)) is None, "three are the last ones, and there is none before"
    assert plateau(scores(10, 10, 10, 10), Facts(patience=3)) is not None
    assert plateau(scores(1, 2, 3, 4, 5), Facts(patience=2, mode="max")) is None
    assert plateau(scores(1, 2, 3, 4, 5), Facts(patience=2, mode="min")) is not None
    assert plateau(scores(10, math.nan, 10, 10), Facts(patience=3)) is None, "a score that is no number does not count"
