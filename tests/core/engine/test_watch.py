"""What is remembered of turns, and what is found in it."""

import math

import pytest
import torch

from ganrun.engine.watch import REMEMBERED, Watch, names_not_finite


@pytest.fixture
def run(make_run, tiny):
    return make_run(tiny())


def taken(watch: Watch, step: int, **terms: float) -> None:
    """Remember a turn of the generator with these terms."""
    watch.saw(
        step, "generator", "generator", tuple(terms), {name: torch.tensor(value) for name, value in terms.items()}
    )


def test_the_first_term_that_is_not_finite_is_named_with_its_step_counted_from_one(run):
    watch = Watch(run.experiment)
    taken(watch, 0, game=1.0, other=2.0)
    taken(watch, 1, game=1.0, other=math.inf)
    taken(watch, 2, game=math.nan, other=1.0)
    first, second = watch.look()
    assert (first.step, first.player, first.what, first.value) == (2, "generator", "the term other", math.inf)
    assert (second.step, second.what) == (3, "the term game")
    assert watch.look() == [], "it is reported once"


def test_a_gradient_that_is_not_finite_is_found_where_the_terms_are(run):
    """All gradients of the layers below a broken one are broken, and one of the first layer is remembered."""
    watch = Watch(run.experiment)
    for parameter in run.experiment.modules["generator"].parameters():
        parameter.grad = torch.full_like(parameter, math.nan)
    taken(watch, 4, game=1.0)
    (wrong,) = watch.look()
    assert (wrong.step, wrong.what) == (5, "the gradient")
    assert math.isnan(wrong.value)


def test_what_was_forgotten_is_not_told(run):
    watch = Watch(run.experiment)
    taken(watch, 0, game=math.nan)
    watch.forget()
    assert len(watch) == 0
    assert watch.look() == []


def test_notes_of_a_turn_may_be_anything(run):
    watch = Watch(run.experiment)
    watch.saw(0, "generator", "generator", ("game",), {"game": torch.tensor(1.0), "a note": torch.tensor(math.nan)})
    assert watch.look() == []


def test_memory_is_bounded_where_nobody_looks(run):
    watch = Watch(run.experiment)
    for step in range(REMEMBERED + 5):
        taken(watch, step, game=1.0)
    assert len(watch) == REMEMBERED


def test_large_numbers_whose_sum_overflows_are_finite_and_whole_numbers_always_are():
    large = torch.full((4,), 3e38)
    broken = {"a": large, "b": torch.tensor([1.0, -math.inf, math.inf]), "c": torch.tensor([3])}
    assert names_not_finite(broken) == ["b"]
    assert names_not_finite({"a": large, "double": torch.full((2,), 1e308, dtype=torch.float64)}) == []
