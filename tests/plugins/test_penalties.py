"""Gradient penalties on linear and quadratic discriminators: values and parameter gradients worked out by hand."""

import pytest
import torch
from penalties_by_hand import ALL, FAKE, REAL
from slopes_of import Known, Linear, Quadratic, close, paid, stand

from ganrun.schedule import Scheduled
from ganrun.words.game import Game, Round
from ganrun_plugins.tricks.dragan_penalty import DraganPenalty
from ganrun_plugins.tricks.gradient_penalty import GradientPenalty
from ganrun_plugins.tricks.r1 import R1
from ganrun_plugins.tricks.r2 import R2
from ganrun_plugins.tricks.roth_penalty import RothPenalty
from ganrun_plugins.tricks.zero_centred_penalty import ZeroCentredPenalty

# --- on D(x) = w.x + b with w = (3, 4): the slope is w everywhere, of norm 5 ------------------------------------------


@pytest.mark.parametrize(
    ("trick", "value", "gradient"),
    [
        (GradientPenalty(weight=1.0), 16.0, [4.8, 6.4]),  # (5 - 1)^2; 2 (5 - 1) w / 5
        (GradientPenalty(weight=10.0), 16.0, [48.0, 64.0]),
        (GradientPenalty(weight=1.0, target=7.0), 4.0, [-2.4, -3.2]),  # (5 - 7)^2; 2 (5 - 7) w / 5
        (GradientPenalty(weight=1.0, one_sided=True), 16.0, [4.8, 6.4]),
        (GradientPenalty(weight=1.0, one_sided=True, target=7.0), 0.0, [0.0, 0.0]),  # 5 is below the target
        (ZeroCentredPenalty(weight=1.0), 25.0, [6.0, 8.0]),  # |w|^2; 2 w
        (ZeroCentredPenalty(weight=10.0), 25.0, [60.0, 80.0]),
        (R1(gamma=1.0), 12.5, [3.0, 4.0]),  # |w|^2 / 2; w
        (R1(gamma=10.0), 12.5, [30.0, 40.0]),
        (R2(gamma=10.0), 12.5, [30.0, 40.0]),
        (DraganPenalty(weight=1.0), 16.0, [4.8, 6.4]),
        (DraganPenalty(weight=10.0, noise="normal"), 16.0, [48.0, 64.0]),
        (DraganPenalty(weight=1.0, target=5.0), 0.0, [0.0, 0.0]),
    ],
)
def test_on_a_linear_discriminator(trick, value, gradient):
    term, grads = paid(trick, stand(Linear([3.0, 4.0], 0.5), REAL, FAKE))
    assert term.value.item() == value
    assert close(grads["w"], gradient)
    assert grads["b"] is None or grads["b"] == 0  # a slope does not depend on b


def test_a_norm_below_the_target_is_pulled_up_by_gp_and_left_alone_by_lp():
    """w = (0.3, 0.4): (0.5 - 1)^2 = 0.25 with gradient 2 (0.5 - 1) (0.6, 0.8)."""
    term, grads = paid(GradientPenalty(weight=1.0), stand(Linear([0.3, 0.4]), REAL, FAKE))
    assert term.value.item() == pytest.approx(0.25)
    assert close(grads["w"], [-0.6, -0.8])
    term, grads = paid(GradientPenalty(weight=1.0, one_sided=True), stand(Linear([0.3, 0.4]), REAL, FAKE))
    assert term.value.item() == 0
    assert close(grads["w"], [0.0, 0.0])


def test_roth_weighs_squared_slopes_by_the_probability_of_being_wrong():
    """l = 0 at the real sample, l = ln 3 at the fake: D = 1/2 and 3/4, D (1 - D) = 1/4 and 3/16.

    value: ((1/2)^2 + (3/4)^2) 25 / 2 = 10.15625.
    real, (1 - D)^2 |w|^2: gradient 2 (1/2)^2 w - 25 * 2 (1/2) (1/4) x = 0.5 w - 6.25 x, and -6.25 in b
    fake, D^2 |w|^2: gradient 2 (3/4)^2 w + 25 * 2 (3/4) (3/16) x = 1.125 w + 7.03125 x, and 7.03125 in b
    """
    ln3 = torch.tensor(3.0).log().item()
    real, fake = [[4.0, -3.0]], [[ln3, -ln3 / 2]]  # w.x = 0 and 3 ln3 - 2 ln3
    term, grads = paid(RothPenalty(gamma=1.0), stand(Linear([3.0, 4.0]), real, fake))
    assert term.value.item() == pytest.approx(10.15625)
    w, x, y = torch.tensor([3.0, 4.0]), torch.tensor(real[0]), torch.tensor(fake[0])
    assert close(grads["w"], ((0.5 * w - 6.25 * x + 1.125 * w + 7.03125 * y) / 2).tolist())
    assert grads["b"].item() == pytest.approx((7.03125 - 6.25) / 2)


def test_roth_takes_the_mean_over_samples_of_each_role():
    """D = 1/2 and 1/4 at the real ones: ((1/4 + 9/16) / 2 + 1/4) 25 / 2 = 0.65625 * 12.5; the fakes' D are 1/2."""
    ln3 = torch.tensor(3.0).log().item()
    turn = stand(Linear([3.0, 4.0]), [[4.0, -3.0], [-ln3, ln3 / 2]], torch.zeros(2, 2))
    term, _ = paid(RothPenalty(gamma=2.0), turn)
    assert term.value.item() == pytest.approx(0.65625 * 12.5)
    assert term.weight == 2.0


def test_roth_stays_finite_where_the_discriminator_is_certain():
    term, grads = paid(RothPenalty(), stand(Linear([300.0, 400.0]), [[1.0, 1.0]], [[1.0, 1.0]]))
    assert term.value.isfinite()
    assert term.value.item() == pytest.approx(500.0**2 / 2)  # D = 1 at a fake
    assert grads["w"].isfinite().all()


# --- on D(x) = x'Ax / 2: the slope at x is Ax -------------------------------------------------------------------------


def test_r1_on_a_quadratic_discriminator():
    """x = (1, 2): g = Ax = (4, 7), 65 / 2; gradient in A (g x' + x g') / 2 = [[4, 7.5], [7.5, 14]].

    x = 0 halves the mean.
    """
    a = [[2.0, 1.0], [1.0, 3.0]]
    term, grads = paid(R1(gamma=1.0), stand(Quadratic(a), [[1.0, 2.0]], [[9.0, 9.0]]))
    assert term.value.item() == 32.5
    assert close(grads["a"], [[4.0, 7.5], [7.5, 14.0]])
    term, grads = paid(R1(gamma=1.0), stand(Quadratic(a), [[1.0, 2.0], [0.0, 0.0]], [[9.0, 9.0], [9.0, 9.0]]))
    assert term.value.item() == 16.25
    assert close(grads["a"], [[2.0, 3.75], [3.75, 7.0]])


def test_r2_is_r1_at_the_fakes():
    term, grads = paid(R2(gamma=1.0), stand(Quadratic([[2.0, 1.0], [1.0, 3.0]]), [[9.0, 9.0]], [[1.0, 2.0]]))
    assert term.value.item() == 32.5
    assert close(grads["a"], [[4.0, 7.5], [7.5, 14.0]])


IDENTITY = [[1.0, 0.0], [0.0, 1.0]]
# at e = 1/4 and 1/2: (3, 4) and (5, 12)
LINES = {"real": [[0.0, 0.0], [5.0, 0.0]], "fake": [[12.0, 16.0], [5.0, 24.0]]}


def test_gp_at_known_points_of_the_lines():
    """A = 1, so norms are 5 and 13: (16 + 144) / 2. Gradient in A: the mean of 2 (|x| - 1) xx' / |x|."""
    turn = stand(Quadratic(IDENTITY), **LINES, draws=Known(gradient_penalty=[0.25, 0.5]))
    term, grads = paid(GradientPenalty(weight=1.0), turn)
    assert torch.equal(turn.networks["discriminator"].seen[0][0], torch.tensor([[3.0, 4.0], [5.0, 12.0]]))
    assert term.value.item() == 80.0
    x, y = torch.tensor([[3.0], [4.0]]), torch.tensor([[5.0], [12.0]])
    assert close(grads["a"], ((8 / 5 * x @ x.T + 24 / 13 * y @ y.T) / 2).tolist())


def test_zero_centred_penalty_at_known_points_of_the_lines():
    """(25 + 169) / 2 = 97. Gradient in A: the mean of 2 xx'."""
    turn = stand(Quadratic(IDENTITY), **LINES, draws=Known(zero_centred_penalty=[0.25, 0.5]))
    term, grads = paid(ZeroCentredPenalty(weight=1.0), turn)
    assert term.value.item() == 97.0
    assert close(grads["a"], [[34.0, 72.0], [72.0, 160.0]])  # 9 + 25, 12 + 60, 16 + 144


def test_dragan_at_known_points_near_the_real_ones():
    """Numbers 0, 0, 2, 2 have a population sd of 1.

    scale 0.5: x + a * 0.5 * u, with a the sample's and u the number's.
    """
    draws = Known(dragan_penalty=[[0.0, 1.0], [0.5, 1.0]], dragan_penalty_share=[1.0, 0.5])
    turn = stand(Quadratic(IDENTITY), [[0.0, 0.0], [2.0, 2.0]], FAKE, draws=draws)
    term, _ = paid(DraganPenalty(weight=1.0), turn)
    x = torch.tensor([[0.0, 0.5], [2.125, 2.25]])
    assert torch.equal(turn.networks["discriminator"].seen[0][0], x)
    assert term.value.item() == pytest.approx((x.norm(dim=1) - 1).square().mean().item())


def test_dragan_with_normal_noise_moves_to_all_sides_by_its_own_scale():
    turn = stand(Linear([3.0, 4.0]), torch.randn(4000, 2) * 3, FAKE)
    paid(DraganPenalty(scale=2.0, noise="normal"), turn)
    real = turn.rounds[0].real.x
    moved = turn.networks["discriminator"].seen[0][0] - real
    assert moved.mean().item() == pytest.approx(0, abs=0.3)
    assert moved.std().item() == pytest.approx(2 * real.std().item(), rel=0.05)


# --- where it is paid -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ALL)
def test_the_weight_may_be_scheduled_and_is_kept_apart_from_the_value(kind):
    trick = kind(**{kind.strength: Scheduled({"linear": [8.0, 0.0]})})
    term, _ = paid(trick, stand(Linear([3.0, 4.0]), REAL, FAKE, step=50))
    assert term.weight == 4.0


def test_two_penalties_of_one_kind_have_a_term_and_points_of_their_own():
    turn = stand(Quadratic(IDENTITY), REAL, FAKE)
    for trick in (GradientPenalty(), GradientPenalty(weight=1.0)):
        trick.losses(turn)
    assert list(turn.terms) == ["adversarial.gradient-penalty", "adversarial.gradient-penalty2"]
    first, second = turn.networks["discriminator"].seen
    assert not torch.equal(first[0], second[0])


def test_each_game_of_the_turns_player_has_a_term_and_the_generators_side_has_none():
    turn = stand(Linear([3.0, 4.0]), REAL, FAKE)
    other, mine = Game("other", "discriminator", "discriminator"), turn.rounds[0]
    turn.rounds = [
        mine,
        Round(other, "discriminator", mine.streams),
        Round(Game("third", "discriminator", "g"), "generator", mine.streams),
    ]
    R1().losses(turn)
    assert list(turn.terms) == ["adversarial.r1", "other.r1"]
