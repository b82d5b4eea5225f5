"""Durations and scheduled values, against values worked out by hand."""

import pytest

from ganrun.schedule import Clock, Duration, Scheduled, first_value, value_at

CLOCK = Clock(total=1000, batch=64, dataset=1797)


@pytest.mark.parametrize(
    ("written", "steps"),
    [
        (500, 500),
        ("500", 500),
        ("1 epochs", 1797 / 64),
        ("3 epoch", 3 * 1797 / 64),
        ("50%", 500),
        ("6400 images", 100),
        ("64 kimg", 1000),
    ],
)
def test_a_duration_counts_steps(written, steps):
    assert Duration.parse(written).steps(CLOCK) == pytest.approx(steps)


@pytest.mark.parametrize("written", [True, -1, 1.5, "often", "3 weeks", "", None, "-5", [1]])
def test_what_is_no_duration_is_refused_with_the_accepted_forms(written):
    with pytest.raises(ValueError, match="duration"):
        Duration.parse(written)


def test_minutes_are_no_number_of_steps():
    with pytest.raises(ValueError, match="minutes"):
        Duration.parse("5 minutes").steps(CLOCK)


def test_whole_steps_round_up_and_are_at_least_one():
    assert Duration.parse("1 epochs").whole_steps(CLOCK) == 29
    assert Duration.parse(0).whole_steps(CLOCK) == 1
    assert Duration.parse("64 images").whole_steps(CLOCK) == 1


@pytest.mark.parametrize("written", ["500", "3 epochs", "50%", "40 kimg", "5 minutes"])
def test_a_duration_is_written_as_it_is_read(written):
    assert Duration.parse(str(Duration.parse(written))) == Duration.parse(written)


def test_linear_stays_at_its_ends_outside_its_time():
    noise = Scheduled({"linear": [0.1, 0.0], "from": 100, "until": "50%"})
    assert [noise.at(step, CLOCK) for step in (0, 100, 300, 500, 999)] == pytest.approx([0.1, 0.1, 0.05, 0.0, 0.0])


def test_cosine_is_half_way_in_the_middle_and_flat_at_the_ends():
    rate = Scheduled({"cosine": [2.0, 0.0], "until": 100})
    assert rate.at(50, CLOCK) == pytest.approx(1.0)
    assert rate.at(25, CLOCK) == pytest.approx(1 + 0.5**0.5)


def test_an_exponential_is_the_geometric_mean_half_way():
    rate = Scheduled({"exponential": [1e-2, 1e-4], "from": 100, "until": 300})
    assert [rate.at(step, CLOCK) for step in (0, 100, 200, 300, 999)] == pytest.approx([1e-2, 1e-2, 1e-3, 1e-4, 1e-4])


def test_a_factor_multiplies_in_every_step_until_the_last_value():
    rate = Scheduled({"exponential": [8.0, 1.0], "factor": 0.5, "from": 10})
    assert [rate.at(step, CLOCK) for step in (0, 10, 11, 12, 13, 14)] == pytest.approx([8, 8, 4, 2, 1, 1])
    grown = Scheduled({"exponential": [1.0, 8.0], "factor": 2})
    assert [grown.at(step, CLOCK) for step in (0, 2, 3, 4)] == pytest.approx([1, 4, 8, 8])


def test_the_rate_of_the_conditional_gan_is_divided_by_1_00004_in_every_update_down_to_1e_6():
    rate = Scheduled({"exponential": [0.1, 1e-6], "factor": 1 / 1.00004})
    assert rate.at(17329, CLOCK) == pytest.approx(0.05, rel=1e-5)
    assert rate.at(287_828, CLOCK) > 1e-6
    assert rate.at(287_829, CLOCK) == 1e-6


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"exponential": [1.0, 0.0]}, "above 0"),
        ({"exponential": [1.0, 0.1], "factor": 1.1}, "no power of the factor 1.1 leads from 1 to 0.1"),
        ({"exponential": [1.0, 0.1], "factor": 0.9, "until": 5}, "`factor` or `until`"),
        ({"linear": [1.0, 0.1], "factor": 0.9}, "no key 'factor'"),
    ],
)
def test_an_exponential_that_leads_nowhere_is_refused(spec, message):
    with pytest.raises(ValueError, match=message):
        Scheduled(spec)


def test_steps_change_at_their_moments():
    rate = Scheduled({"steps": {0: 3.0, 10: 2.0, "50%": 1.0}})
    assert [rate.at(step, CLOCK) for step in (0, 9, 10, 499, 500)] == [3.0, 3.0, 2.0, 2.0, 1.0]


def test_a_held_ramp_is_the_cyclegan_rate_at_epochs_1_100_101_and_200():
    """Multiplier 1 for epochs 1 to 100, then 1 - (E - 100) / 101: never zero."""
    clock = Clock(total=200 * 1334, batch=1, dataset=1334)
    rate = Scheduled({"linear": [1.0, 0.0], "from": "99 epochs", "until": "200 epochs", "every": "1 epochs"})

    def last_step_of(epoch):
        return epoch * 1334 - 1

    found = [rate.at(last_step_of(epoch), clock) for epoch in (1, 100, 101, 200)]
    assert found == pytest.approx([1, 1, 100 / 101, 1 / 101])
    assert rate.at(100 * 1334, clock) == pytest.approx(100 / 101)


def test_a_bound_holds_for_all_values_of_a_schedule():
    schedule = Scheduled({"linear": [0.5, -0.1]})
    assert not schedule >= 0
    assert schedule <= 0.5
    assert not schedule < 0.5


@pytest.mark.parametrize(
    ("spec", "guess"),
    [
        ({"lineer": [1, 0]}, "linear"),
        ({"linear": [1, 0], "untill": 5}, "until"),
        ({"cosine": [1, 0], "form": 5}, "from"),
    ],
)
def test_a_misspelt_key_of_a_schedule_gets_a_guess(spec, guess):
    with pytest.raises(ValueError, match=f'did you mean "{guess}"'):
        Scheduled(spec)


def test_a_plain_number_is_its_own_value_at_every_step():
    ramp = Scheduled({"linear": [4, 0]})
    assert [value_at(value, 250, CLOCK) for value in (3, ramp)] == [3.0, 3.0]
    assert [first_value(value) for value in (3, ramp)] == [3.0, 4.0]


@pytest.mark.parametrize(
    "spec",
    [
        {"linear": [1, 0], "cosine": [1, 0]},
        {"linear": [1]},
        {"linear": [1, 0], "untill": 5},
        {"steps": {}},
        {"steps": {0: "x"}},
        {},
        {"linear": [1, float("nan")]},
        True,
        "0.1",
        float("inf"),
    ],
)
def test_a_malformed_schedule_is_refused(spec):
    with pytest.raises(ValueError, match=r"schedule|linear|steps|finite|number"):
        Scheduled(spec)
