"""Minimax, non-saturating and least-squares against values worked out by hand."""

import math

import pytest
import torch
from torch import Tensor

from ganrun.schedule import Clock
from ganrun.testing import made
from ganrun.words.game import DiscriminatorOutput, Game, Round, Stream
from ganrun.words.hooks import hookimpl
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
        streams.append(stream)
    round = Round(Game("adversarial", "discriminator", "discriminator", ["generator"]), side, streams)
    for stream in streams:
        stream.target = torch.full_like(stream.logits, round.now(loss.targets(stream.role)), requires_grad=False)
    return round


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
    assert [value.spec for value in (loss.a, loss.b, loss.c)] == [-1.0, 1.0, 2.0]
    assert LeastSquares(a=0.25).a.spec == 0.25
    assert [LeastSquares(b=0.0, a=0.0).b.spec, LeastSquares(b=0.0, a=0.0).a.spec] == [0.0, 0.0]


@pytest.mark.parametrize(
    ("loss", "scores"),
    [
        (LeastSquares(), [-3.5, -0.5, 1.5]),  # l - 1/2
        (LeastSquares(coding="pearson"), LOGITS),  # half-way between -1 and 1 is 0
        (LeastSquares(a=-1.0, b=5.0, c=9.0), [-5.0, -2.0, 0.0]),  # l - 2, whatever c is
        (LeastSquares(a=1.0, b=0.0), [3.5, 0.5, -1.5]),  # 1/2 - l: real samples are asked to lie below fakes
    ],
)
def test_the_score_is_the_distance_from_half_way_between_the_targets_towards_the_real_one(loss, scores):
    round = make_round("discriminator", LOGITS, LOGITS, loss)
    assert loss.score(round, round.real.logits).tolist() == scores
    assert "logit:signed" in loss.provides


def test_every_number_of_least_squares_may_be_scheduled():
    """At step 1 of 4 the ramps stand at a quarter: a = -1/4, b = 1 + 1/4, c = 1/2 + 1/8, scale = 2 + 1/2."""
    clock = Clock(total=4, batch=1, dataset=1)
    loss = made(
        LeastSquares, a={"linear": [0, -1]}, b={"linear": [1, 2]}, c={"linear": [0.5, 1]}, scale={"linear": [2, 4]}
    )
    round = make_round("discriminator", [2.25], [-0.75], loss)
    round.now = lambda value: value.at(1, clock)
    for stream in round.streams:
        stream.target = torch.full_like(stream.logits, round.now(loss.targets(stream.role)))
    result = loss.discriminator(round)
    assert values(result, "real") == [2.5 * 1.0]  # 2.25 - 1.25 = 1
    assert values(result, "fake") == [2.5 * 0.25]  # -0.75 + 0.25 = -1/2
    assert values(loss.generator(round), "fake") == [2.5 * 1.375**2]  # -0.75 - 0.625
    assert loss.score(round, round.real.logits).tolist() == [1.75]  # 2.25 - (1.25 - 0.25) / 2


class Spy:
    """Keeps each generator's turn's term, and what the fakes' logits give for the c of that step."""

    strength = ""

    def __init__(self):
        self.seen = []

    @hookimpl
    def losses(self, turn):
        for round in turn.rounds:
            if round.side == "generator":
                c = turn.now(round.loss.c)
                term = turn.terms["adversarial.fake"].value.item()
                self.seen.append((turn.step, c, term, ((round.fake.logits - c) ** 2 / 2).mean().item()))


def test_a_scheduled_target_changes_between_the_steps_of_a_run(make_run, tiny):
    def run_with(c):
        run = make_run(tiny(loss={"least-squares": {"c": c}}, tricks=["spy"]), {"trick.spy": Spy})
        weights = []
        for step in range(4):
            run.engine.step(step)
            weights.append(torch.cat([p.detach().flatten() for p in run.engine.modules["generator"].parameters()]))
        return run.experiment.tricks[0].seen, weights

    seen, scheduled = run_with({"steps": {0: 1.0, 2: 5.0}})
    _, constant = run_with(1.0)
    assert [(step, c) for step, c, _, _ in seen] == [(0, 1.0), (1, 1.0), (2, 5.0), (3, 5.0)]
    assert all(term == pytest.approx(expected, rel=1e-5) for _, _, term, expected in seen)
    assert seen[1][2] < 2 < 8 < seen[2][2]  # logits are near 0: from about 1/2 to about 25/2
    assert [torch.equal(one, other) for one, other in zip(scheduled, constant)] == [True, True, False, False]


def test_the_targets_of_a_run_are_those_of_the_step(make_run, tiny):
    """b is 1, then 3: what label tricks find in stream.target, and what the score is taken from."""

    class Targets:
        """Keeps the real stream's target, and the score of the logit 2."""

        strength = ""

        def __init__(self):
            self.seen = []

        @hookimpl
        def targets(self, turn, round):
            score = turn.score(round, DiscriminatorOutput(torch.tensor([2.0])))
            self.seen.append((round.real.target.unique().tolist(), round.fake.target.unique().tolist(), score.item()))

    run = make_run(
        tiny(loss={"least-squares": {"b": {"steps": {0: 1.0, 1: 3.0}}}}, tricks=["look"]), {"trick.look": Targets}
    )
    run.engine.step(0)
    run.engine.step(1)
    assert run.experiment.tricks[0].seen == [([1.0], [0.0], 1.5), ([3.0], [0.0], 0.5)]


def test_patch_logits_keep_their_shape():
    loss = LeastSquares()
    logits = torch.randn(2, 1, 3, 3)
    stream = Stream(
        torch.zeros(2, 3, 8, 8), "fake", output=DiscriminatorOutput(logits), target=torch.zeros_like(logits)
    )
    round = Round(Game("g", "d", "d"), "discriminator", [stream])
    assert loss.discriminator(round)[stream].shape == (2, 1, 3, 3)
    assert loss.generator(round)[stream].shape == (2, 1, 3, 3)
