"""Minimax, non-saturating and least-squares against values worked out by hand."""

import math

import pytest
import torch
from torch import Tensor

from ganrun.game import DiscriminatorOutput, Game, Round, Stream
from ganrun_plugins.losses.least_squares import LeastSquares
from ganrun_plugins.losses.minimax import Minimax
from ganrun_plugins.losses.non_saturating import NonSaturating

LOGITS = [-3.0, 0.0, 2.0]


def make_round(side: str, real: list[float], fake: list[float], loss) -> Round:
    """A round whose streams have these logits, with the loss's targets."""
    streams = []
    for role, logits in (("real", real), ("fake", fake)):
        tensor = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
        stream = Stream(torch.zeros(len(logits), 2), role, output=DiscriminatorOutput(tensor))
        stream.target = torch.full_like(tensor, loss.targets(role), requires_grad=False)
        streams.append(stream)
    return Round(Game("adversarial", "discriminator", "discriminator", ["generator"]), side, streams)


def values(result: dict[Stream, Tensor], role: str) -> list[float]:
    (found,) = [value for stream, value in result.items() if stream.role == role]
    return found.tolist()


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize("loss", [Minimax(), NonSaturating()])
def test_the_discriminator_minimises_cross_entropy(loss):
    round = make_round("discriminator", LOGITS, LOGITS, loss)
    result = loss.discriminator(round)
    assert values(result, "real") == pytest.approx([-math.log(sigmoid(x)) for x in LOGITS])
    assert values(result, "fake") == pytest.approx([-math.log(1 - sigmoid(x)) for x in LOGITS])


@pytest.mark.parametrize("loss", [Minimax(), NonSaturating()])
def test_at_logit_zero_the_discriminator_loses_log_2_on_each_stream(loss):
    result = loss.discriminator(make_round("discriminator", [0.0], [0.0], loss))
    assert values(result, "real") == values(result, "fake") == pytest.approx([math.log(2)])


def test_a_target_between_0_and_1_is_the_cross_entropy_against_that_probability():
    loss = NonSaturating()
    round = make_round("discriminator", LOGITS, LOGITS, loss)
    round.real.target = torch.full((3,), 0.9, dtype=torch.float64)
    expected = [-0.9 * math.log(sigmoid(x)) - 0.1 * math.log(1 - sigmoid(x)) for x in LOGITS]
    assert values(loss.discriminator(round), "real") == pytest.approx(expected)


def test_the_minimax_generator_minimises_log_one_minus_d():
    result = Minimax().generator(make_round("generator", LOGITS, LOGITS, Minimax()))
    assert values(result, "fake") == pytest.approx([math.log(1 - sigmoid(x)) for x in LOGITS])


def test_the_non_saturating_generator_minimises_minus_log_d():
    result = NonSaturating().generator(make_round("generator", LOGITS, LOGITS, NonSaturating()))
    assert values(result, "fake") == pytest.approx([-math.log(sigmoid(x)) for x in LOGITS])


def test_only_the_minimax_generator_saturates():
    """At logit -20 the gradients are -sigmoid(-20) = -2e-9 and -(1 - sigmoid(-20)) = -1."""
    for loss, gradient in ((Minimax(), -2.0611536e-09), (NonSaturating(), -1.0)):
        round = make_round("generator", [0.0], [-20.0], loss)
        loss.generator(round)[round.fake].sum().backward()
        assert round.fake.logits.grad.item() == pytest.approx(gradient)


@pytest.mark.parametrize("loss", [Minimax(), NonSaturating(), LeastSquares()])
@pytest.mark.parametrize("logit", [-1e4, 1e4])
def test_huge_logits_give_finite_values_and_gradients(loss, logit):
    for side in ("discriminator", "generator"):
        round = make_round(side, [logit], [logit], loss)
        sum(value.sum() for value in getattr(loss, side)(round).values()).backward()
        for stream in getattr(loss, side)(round):
            assert torch.isfinite(stream.logits.grad).all()


@pytest.mark.parametrize("loss", [Minimax(), NonSaturating(), LeastSquares()])
def test_the_generator_ignores_targets_of_streams(loss):
    """Label tricks change stream.target; the generator has a target of its own."""
    round = make_round("generator", LOGITS, LOGITS, loss)
    before = loss.generator(round)[round.fake]
    round.fake.target = torch.full_like(round.fake.logits, 77.0)
    assert torch.equal(loss.generator(round)[round.fake], before)
    assert list(loss.generator(round)) == [round.fake]


def test_least_squares_zero_one_by_hand():
    """Real (l - 1)^2 / 2, fake l^2 / 2, generator (l - 1)^2 / 2, at l = -3, 0, 2."""
    loss = LeastSquares()
    result = loss.discriminator(make_round("discriminator", LOGITS, LOGITS, loss))
    assert values(result, "real") == [8.0, 0.5, 0.5]
    assert values(result, "fake") == [4.5, 0.0, 2.0]
    assert values(loss.generator(make_round("generator", LOGITS, LOGITS, loss)), "fake") == [8.0, 0.5, 0.5]


def test_least_squares_pearson_by_hand():
    """a, b, c = -1, 1, 0: real (l - 1)^2 / 2, fake (l + 1)^2 / 2, generator l^2 / 2."""
    loss = LeastSquares(coding="pearson")
    result = loss.discriminator(make_round("discriminator", LOGITS, LOGITS, loss))
    assert values(result, "real") == [8.0, 0.5, 0.5]
    assert values(result, "fake") == [2.0, 0.5, 4.5]
    assert values(loss.generator(make_round("generator", LOGITS, LOGITS, loss)), "fake") == [4.5, 0.0, 2.0]


def test_least_squares_scale_1_is_the_mean_squared_error_of_cyclegan():
    loss = LeastSquares(scale=1.0)
    round = make_round("discriminator", LOGITS, LOGITS, loss)
    assert loss.discriminator(round)[round.fake].mean().item() == pytest.approx((9 + 0 + 4) / 3)


def test_single_targets_override_the_coding():
    loss = LeastSquares(coding="pearson", c=2.0)
    assert (loss.a, loss.b, loss.c) == (-1.0, 1.0, 2.0)
    assert LeastSquares(a=0.25).a == 0.25
    assert LeastSquares(b=0.0, a=0.0).b == 0.0


def test_least_squares_logits_are_signed_only_if_0_is_half_way_between_the_targets():
    assert "logit:signed" in LeastSquares(coding="pearson").provides
    assert "logit:signed" not in LeastSquares().provides


def test_pearson_coding_gives_the_pearson_divergence_at_the_optimal_discriminator():
    """With D* = (p - q) / (p + q), E_p D^2 / 2 + E_q D^2 / 2 is chi^2(p + q || 2 q) / 2, on a 1-D grid."""
    x = torch.linspace(-8, 8, 4001, dtype=torch.float64)
    p = torch.exp(-((x - 1) ** 2) / 2) / math.sqrt(2 * math.pi)
    q = torch.exp(-((x + 1) ** 2) / 2) / math.sqrt(2 * math.pi)
    optimal = (p - q) / (p + q)
    loss = LeastSquares(coding="pearson")
    stream = Stream(x[:, None], "fake", output=DiscriminatorOutput(optimal))
    round = Round(Game("g", "d", "d"), "generator", [stream])
    value = torch.trapezoid((p + q) * loss.generator(round)[stream], x)
    chi_square = torch.trapezoid((2 * q - (p + q)) ** 2 / (p + q), x)
    assert value.item() == pytest.approx(chi_square.item() / 2)


def test_patch_logits_keep_their_shape():
    loss = LeastSquares()
    logits = torch.randn(2, 1, 3, 3)
    stream = Stream(torch.zeros(2, 3, 8, 8), "fake", output=DiscriminatorOutput(logits), target=torch.zeros_like(logits))
    round = Round(Game("g", "d", "d"), "discriminator", [stream])
    assert loss.discriminator(round)[stream].shape == (2, 1, 3, 3)
    assert loss.generator(round)[stream].shape == (2, 1, 3, 3)
