"""Pulling-away: squared cosines by hand, whose codes it takes, small runs."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from ganrun.engine.turn import Turn
from ganrun.randomness import Draws
from ganrun.schedule import Clock, Scheduled
from ganrun.training.build import RefusedError
from ganrun.words.game import DiscriminatorOutput, Game, Phase, Round, Stream
from ganrun_plugins.tricks.pulling_away import PullingAway, squared_cosines

GAME = Game("adversarial", "discriminator", "discriminator", ["generator"])
SMALL = {"autoencoder": {"width": 4, "widths": [16], "code": 8}}


def test_codes_at_right_angles_cost_nothing_and_equal_ones_1():
    assert squared_cosines(torch.eye(4)).item() == 0.0
    assert squared_cosines(torch.tensor([[1.0, 2.0, 2.0]] * 5)).item() == pytest.approx(1.0)
    # the square forgets the sign
    assert squared_cosines(torch.tensor([[1.0, 0.0], [-3.0, 0.0]])).item() == pytest.approx(1.0)


def test_squared_cosines_by_hand():
    """(1, 0), (0, 2) and (3, 3): the angles are 90, 45 and 45 degrees, the squared cosines 0, 1/2 and 1/2."""
    assert squared_cosines(torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]])).item() == pytest.approx(1 / 3)


def test_squared_cosines_equal_a_loop():
    codes = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    pairs = [(a @ b / (a.norm() * b.norm())) ** 2 for i, a in enumerate(codes) for j, b in enumerate(codes) if i != j]
    assert squared_cosines(codes).item() == pytest.approx(float(sum(pairs)) / (6 * 5))


def test_the_gradient_of_pulling_away_turns_codes_apart_and_is_finite_at_a_dead_code():
    codes = torch.tensor([[1.0, 0.1], [1.0, -0.1], [0.0, 0.0]], requires_grad=True)
    (grad,) = torch.autograd.grad(squared_cosines(codes), codes)
    assert grad.isfinite().all()
    assert squared_cosines((codes - 0.01 * grad).detach()) < squared_cosines(codes)


def test_cosines_are_exact_under_mixed_precision():
    codes = torch.randn(8, 64, generator=torch.Generator().manual_seed(0)).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = squared_cosines(codes)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(squared_cosines(codes.double()).item(), rel=1e-4)


def make_stream(role: str, codes: Tensor) -> Stream:
    return Stream(
        torch.zeros(3, 2), role, output=DiscriminatorOutput(torch.zeros(3), features=[torch.ones(3, 5), codes])
    )


def pulled(side: str, tricks, roles=("fake",)) -> dict[str, tuple[float, float]]:
    """The terms that tricks add to a turn whose fakes have the codes (1, 0), (0, 2), (3, 3)."""
    codes = {"real": torch.ones(3, 2), "fake": torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]])}
    turn = Turn(
        SimpleNamespace(clock=Clock(100, 4, 8)),
        Phase(side, side),
        step=0,
        draws=Draws(("test",)),
        modules={},
        batch_size=3,
    )
    turn.rounds = [Round(GAME, side, [make_stream(role, codes[role]) for role in roles])]
    for trick in tricks:
        trick.losses(turn)
    return {name: (term.value.item(), term.weight) for name, term in turn.terms.items()}


def test_the_term_is_of_the_last_feature_of_fakes_in_the_generators_turns():
    assert pulled("generator", [PullingAway()]) == {"adversarial.pulling-away": (pytest.approx(1 / 3), 0.1)}
    assert pulled("generator", [PullingAway()], roles=("real", "fake")) == {
        "adversarial.pulling-away": (pytest.approx(1 / 3), 0.1)
    }
    assert pulled("discriminator", [PullingAway()]) == {}


def test_two_instances_have_a_term_each():
    terms = pulled("generator", [PullingAway(), PullingAway(weight=Scheduled(0.5))])
    assert [weight for _, weight in terms.values()] == [0.1, 0.5]


def test_a_batch_of_one_is_refused_because_it_has_no_pairs(make_run, tiny):
    assert math.isnan(squared_cosines(torch.ones(1, 3)).item())
    with pytest.raises(RefusedError, match="no pairs"):
        make_run(tiny(tricks=["pulling-away"], train={"batch_size": 1}))


def test_pulling_away_lowers_the_cosines_of_an_ebgan(make_run, tiny):
    """After some steps with a large weight the fakes' codes are less alike than without it."""

    def cosines(tricks) -> float:
        players = {"generator": {"optimizer": {"adam": {"lr": 1e-2}}}}
        run = make_run(tiny(loss="ebgan", discriminator=SMALL, tricks=tricks, players=players))
        for step in range(20):
            run.engine.step(step)
        z = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            found: Tensor = squared_cosines(
                run.engine.modules["discriminator"](run.engine.modules["generator"](z)).features[-1]
            )
        return found.item()

    assert cosines([{"pulling-away": {"weight": 10.0}}]) < cosines([]) - 0.05


def test_pulling_away_works_with_the_perceptron_and_both_games_of_cyclegan(make_run, small_cyclegan):
    run = make_run(small_cyclegan(tricks=["pulling-away"]))
    run.engine.step(0)
    found = {name for name in run.engine.terms["generator"] if "pulling" in name}
    assert found == {"a.pulling-away", "b.pulling-away"}
