"""Rates that fall on a plateau: by hand, in a run, over micro-batches and processes, resumed."""

from types import SimpleNamespace

import pytest
import torch
from energies import SMALL

from ganrun.engine.turn import Term
from ganrun.errors import UserError
from ganrun.schedule import Clock
from ganrun.testing.runs import written_and_read
from ganrun_plugins.tricks.reduce_on_plateau import ReduceOnPlateau


class Whole:
    """A whole step."""

    def __init__(self, step: int) -> None:
        self.step, self.clock = step, Clock(total=100, batch=4, dataset=8)


def turn(value=None, *, phase="discriminator", noted=None, elsewhere=None) -> SimpleNamespace:
    """A turn with the term ``m``, or a note of it after the update; ``elsewhere``: the other process's mean."""
    return SimpleNamespace(
        terms={} if value is None else {"m": Term(torch.tensor(value), 10.0)},
        notes={} if noted is None else {"m": torch.tensor(noted)},
        phase=SimpleNamespace(name=phase),
        mean_over_processes=lambda mean: mean if elsewhere is None else (mean + elsewhere) / 2,
    )


def go(trick: ReduceOnPlateau, values: list[float], start: int = 0, elsewhere: list[float] | None = None) -> None:
    """A turn in each step."""
    for i, value in enumerate(values):
        taken = turn(value, elsewhere=elsewhere and elsewhere[i])
        trick.losses(taken)
        trick.updated(taken)
        trick.step_taken(Whole(start + i))


def rate(trick: ReduceOnPlateau, step: int) -> float:
    options = {"lr": 8.0}
    trick.optimizer_options("generator", step, options)
    return options["lr"]


def test_rates_are_halved_after_two_windows_without_a_new_best():
    """Windows of 2: means 4, 3, 3, 3.5 (cut at step 8), 2, 2, 2 (cut at step 14)."""
    trick = ReduceOnPlateau(watch="m", window=2, patience=2)
    go(trick, [5.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 4.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0])
    assert trick.cuts == [8, 14]
    assert [rate(trick, step) for step in (0, 7, 8, 13, 14)] == [8, 8, 4, 4, 2]


def test_a_new_best_lies_below_the_old_by_the_margin_whatever_its_sign():
    """A margin of 0.1: 3.7 is no new best after 4, 3.5 is; -4.3 is none after -4, -4.5 is."""
    for values, cuts in (([4.0, 3.7], [2]), ([4.0, 3.5], []), ([-4.0, -4.3], [2]), ([-4.0, -4.5], [])):
        trick = ReduceOnPlateau(watch="m", window=1, patience=1, margin=0.1)
        go(trick, values)
        assert trick.cuts == cuts


def test_two_processes_cut_in_the_same_step_by_the_mean_of_both():
    """Means 4, 3, 3 of both: a cut at step 3. One alone falls (5, 3, 1), the other rises (3, 3, 5)."""
    values = [5.0, 3.0, 1.0], [3.0, 3.0, 5.0]
    both = [ReduceOnPlateau(watch="m", window=1, patience=1) for _ in values]
    for trick, own, other in zip(both, values, reversed(values), strict=True):
        go(trick, own, elsewhere=other)
    assert [trick.cuts for trick in both] == [[3], [3]]
    assert [rate(trick, 3) for trick in both] == [4, 4]


def test_micro_batches_make_one_value_and_turns_of_two_phases_two():
    """Turns taken together: (1 + 3) / 2 of one phase's micro-batches and 5 of the other's; their mean is 3.5."""
    trick = ReduceOnPlateau(watch="m", window=1)
    first, second = turn(3.0), turn(5.0, phase="generator")
    for taken in (turn(1.0), first, second):
        trick.losses(taken)
    trick.updated(first)
    trick.updated(second)
    assert trick.sums.tolist() == [7, 2]
    trick.step_taken(Whole(0))
    assert trick.best == 3.5


def test_what_is_noted_after_the_update_counts_too():
    trick = ReduceOnPlateau(watch="m", window=1)
    trick.losses(turn())
    trick.updated(turn(noted=6.0))
    trick.step_taken(Whole(0))
    assert trick.best == 6


def test_a_name_that_nothing_logs_is_an_error_at_the_end_of_the_window():
    trick = ReduceOnPlateau(watch="n", window=2)
    with pytest.raises(UserError, match='nothing called "n" was logged up to step 1; set watch to a name'):
        go(trick, [1.0, 1.0])


def test_state_in_the_middle_of_a_window_goes_on():
    first = ReduceOnPlateau(watch="m", window=2, patience=2)
    go(first, [5.0, 3.0, 3.0, 3.0, 3.0])
    second = ReduceOnPlateau(watch="m", window=2, patience=2)
    second.load_state_dict(written_and_read(first.state_dict()))
    for trick in (first, second):
        go(trick, [3.0, 3.0, 4.0], 5)
        assert trick.cuts == [8]


def watching(**parameters):
    """BEGAN's recipe with a margin that no window's mean reaches: a cut after every window but the first."""
    small = {"watch": "adversarial.convergence", "window": 2, "patience": 1, "margin": 0.99, **parameters}
    return {"loss": "began", "discriminator": SMALL, "tricks": [{"reduce-on-plateau": small}]}


def rates(run) -> list[float]:
    return [optimizer.param_groups[0]["lr"] for optimizer in run.engine.optimizers.values()]


@pytest.mark.parametrize("train", [{}, {"accumulate": 2}])
def test_both_players_of_a_run_are_given_the_lower_rate_from_the_next_step_on(make_run, tiny, train):
    run = make_run(tiny(**watching(), train=train))
    whole = run.engine.options("generator", 0)["lr"]
    for step, share in enumerate([1, 1, 1, 1, 0.5, 0.5, 0.25]):
        run.engine.step(step)
        assert rates(run) == pytest.approx([share * whole] * 2)
    assert run.engine.options("generator", 0)["lr"] == whole  # the log of a step that is over


def test_a_run_resumed_in_a_window_ends_with_the_rates_and_weights_of_one_that_was_not(make_run, tiny):
    def steps(run, first, last):
        for step in range(first, last):
            run.engine.step(step)
            run.step = step + 1

    straight, resumed = make_run(tiny(**watching())), make_run(tiny(**watching()))
    steps(straight, 0, 5)
    resumed.load_state_dict(written_and_read(straight.state_dict()))
    for run in (straight, resumed):
        steps(run, 5, 9)
    assert straight.experiment.tricks[-1].cuts == resumed.experiment.tricks[-1].cuts == [4, 6, 8]
    assert rates(straight) == rates(resumed)
    for one, other in zip(straight.engine.modules.values(), resumed.engine.modules.values(), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
