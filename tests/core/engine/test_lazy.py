"""A lazy term pulls over time as it would in each of its player's turns, however often the player moves."""

import pytest

from ganrun.engine.lazy import Lazy, slowed
from ganrun.words.game import Phase


def lazy(every: int, name: str = "r1", **changes: object) -> Phase:
    return Phase(name, "d", every=every, terms=lambda turn: {}, **changes)  # type: ignore[arg-type]


def paid(phases: list[Phase], steps: int) -> list[float]:
    """The weights of the lazy phase's turns, in their order."""
    found, phase = Lazy(phases), next(phase for phase in phases if phase.lazy)
    return [found.weight(phase, step) for step in range(steps) if found.due(phase, step)]


@pytest.mark.parametrize(
    ("main", "every", "steps", "weights"),
    [
        ([Phase("d", "d")], 16, 48, [16, 16, 16]),  # StyleGAN2: as many as steps
        ([Phase("d", "d", repeats=5)], 4, 8, [20, 20]),
        ([Phase("d", "d", every=2)], 4, 8, [2, 2]),
        # DiscoGAN's steps 0, 3, ..., 15; 18, ..., 30; 33, ..., 45
        ([Phase("d", "d", when=lambda step: step % 3 == 0)], 16, 48, [6, 5, 5]),
        # SRGAN's discriminator rests for 6 steps
        ([Phase("d", "d", when=lambda step: step >= 6)], 4, 12, [2, 4]),
        # WGAN's many updates at the start: 3 more in steps 0 and 1
        ([Phase("warm-up", "d", repeats=3, when=lambda step: step < 2), Phase("d", "d")], 4, 8, [10, 4]),
        # pretraining plays no game, and the term is of a game
        ([Phase("pretraining", "d", games=()), Phase("d", "d")], 4, 4, [4]),
        ([Phase("reconstruction", "d", games=())], 4, 4, [4]),
        ([], 4, 8, [4, 4]),
    ],
)
def test_a_lazy_turn_weighs_as_many_turns_as_its_player_has_until_the_next(main, every, steps, weights):
    assert paid([*main, Phase("g", "g", repeats=7), lazy(every)], steps) == weights


def test_the_weights_of_a_run_sum_to_the_turns_in_which_the_term_would_be_paid_without_laziness():
    main = Phase("d", "d", when=lambda step: step % 3 == 0)
    assert sum(paid([main, lazy(5)], 300)) == sum(main.due(step) for step in range(300)) == 100


def test_repeats_of_a_lazy_phase_share_its_weight():
    assert paid([Phase("d", "d"), lazy(8, repeats=2)], 8) == [4]


def test_weights_asked_for_in_any_order_are_the_same():
    """A resumed run asks for later steps first."""
    main = Phase("d", "d", when=lambda step: step % 3 == 0)
    found, phase = Lazy([main, lazy(16)]), lazy(16)
    assert [found.weight(phase, step) for step in (32, 0, 17, 15)] == [5, 6, 5, 6]


@pytest.mark.parametrize(
    ("main", "lazies", "step", "c"),
    [
        ([Phase("d", "d")], [lazy(16)], 5, 16 / 17),  # StyleGAN2's k / (k + 1)
        ([Phase("d", "d")], [lazy(4), lazy(2, "r2")], 0, 1 / (1 + 1 / 4 + 1 / 2)),
        ([Phase("d", "d", repeats=5)], [lazy(4)], 0, 20 / 21),
        ([Phase("d", "d", when=lambda step: step % 3 == 0)], [lazy(16)], 15, 6 / 7),
        ([Phase("d", "d", when=lambda step: step % 3 == 0)], [lazy(16)], 16, 5 / 6),
        ([Phase("d", "d", when=lambda step: step >= 6)], [lazy(4)], 3, 1.0),  # no lazy turn in steps 0 to 3
        ([Phase("d", "d", when=lambda step: step >= 6)], [lazy(4)], 7, 2 / 3),
        # five turns a step, and 95 more in the first 25 steps
        ([Phase("d", "d", repeats=5), Phase("w", "d", repeats=95, when=lambda t: t < 25)], [lazy(2)], 2, 200 / 201),
        ([Phase("d", "d", repeats=5), Phase("w", "d", repeats=95, when=lambda t: t < 25)], [lazy(2)], 30, 10 / 11),
        ([Phase("d", "d")], [], 0, 1.0),
        ([], [lazy(4)], 0, 1.0),
    ],
)
def test_the_pace_is_the_share_of_turns_that_are_no_regularisation(main, lazies, step, c):
    found = Lazy([*main, Phase("g", "g", repeats=2), *lazies])
    assert found.pace("d", step) == pytest.approx(c, abs=1e-12)
    assert found.pace("g", step) == 1.0


def test_a_slowed_optimiser_has_smaller_rates_and_longer_memories_per_step():
    defaults = {"lr": 1.0, "betas": (0.0, 0.99), "eps": 1e-8}
    assert slowed({"lr": 1.0}, defaults, 0.8) == {"lr": 0.8, "betas": (0.0, 0.99**0.8)}
    assert slowed({"lr": 1.0, "betas": (0.5, 0.9)}, defaults, 0.8)["betas"] == (0.5**0.8, 0.9**0.8), (
        "what is scheduled counts"
    )
    assert slowed({"lr": 1.0}, {"alpha": 0.9, "momentum": 0.0}, 0.5) == {"lr": 0.5, "alpha": 0.9**0.5, "momentum": 0.0}
    assert slowed({"lr": 1.0}, defaults, 1.0) == {"lr": 1.0}
