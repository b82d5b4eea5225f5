"""Label-flipping on hand-made rounds: which targets change, by whose, and that the generator never sees any of it."""

from types import SimpleNamespace

import pytest
import torch

from ganrun.engine.turn import Turn
from ganrun.randomness import Draws
from ganrun.schedule import Clock, Scheduled
from ganrun.testing.runs import first_difference, steps, weights
from ganrun.words.game import Game, Phase, Round, Stream
from ganrun_plugins.losses.least_squares import LeastSquares
from ganrun_plugins.losses.non_saturating import NonSaturating
from ganrun_plugins.tricks.label_flipping import LabelFlipping
from ganrun_plugins.tricks.label_smoothing import LabelSmoothing

GAME = Game("adversarial", "discriminator", "discriminator", ["generator"])


class Relative(NonSaturating):
    provides = frozenset({"targets", "logit:relative"})


def make_turn(loss, step=0) -> Turn:
    experiment = SimpleNamespace(games=[GAME], loss=lambda game: loss)
    engine = SimpleNamespace(clock=Clock(total=100, batch=4, dataset=100), experiment=experiment)
    return Turn(
        engine,
        Phase("discriminator", "discriminator"),
        step=step,
        draws=Draws(("test", step)),
        modules={},
        batch_size=4,
    )


def make_round(loss, *shape: int) -> Round:
    turn = make_turn(loss)
    targets = {role: torch.full(shape, turn.now(loss.targets(role))) for role in ("real", "fake")}
    return Round(
        GAME,
        "discriminator",
        [Stream(torch.zeros(shape[0], 2), role, target=target) for role, target in targets.items()],
    )


def targets(trick, loss=None, shape=(6,), turn=None) -> tuple[torch.Tensor, torch.Tensor]:
    loss = loss or NonSaturating()
    round = make_round(loss, *shape)
    trick.targets(turn or make_turn(loss), round)
    return round.real.target, round.fake.target


def test_with_probability_1_every_sample_has_the_other_roles_target():
    real, fake = targets(LabelFlipping(p=1.0))
    assert real.tolist() == [0.0] * 6
    assert fake.tolist() == [1.0] * 6
    real, fake = targets(LabelFlipping(p=1.0), LeastSquares(coding="pearson"))
    assert real.tolist() == [-1.0] * 6
    assert fake.tolist() == [1.0] * 6


def test_a_sample_is_flipped_if_its_draw_is_below_p():
    draws = [[0.01, 0.5, 0.049, 0.05], [0.9, 0.02, 0.3, 0.6]]
    turn = make_turn(NonSaturating())
    turn.draws.uniform = lambda purpose, n: torch.tensor(draws.pop(0))
    real, fake = targets(LabelFlipping(), shape=(4,), turn=turn)
    assert real.tolist() == [0, 1, 0, 1]
    assert fake.tolist() == [0, 1, 0, 0]


def test_one_in_twenty_is_flipped_by_default():
    real, fake = targets(LabelFlipping(), shape=(20000,))
    # The standard deviation of the share is sqrt(0.05 * 0.95 / 20000) = 0.0015.
    assert (real == 0).float().mean().item() == pytest.approx(0.05, abs=0.006)
    assert (fake == 1).float().mean().item() == pytest.approx(0.05, abs=0.006)


def test_flipping_real_labels_leaves_those_of_fakes_alone():
    real, fake = targets(LabelFlipping(p=1.0, which="real"))
    assert real.tolist() == fake.tolist() == [0.0] * 6


def test_all_patches_of_a_sample_are_flipped_together():
    real, fake = targets(LabelFlipping(p=0.5), shape=(64, 1, 3, 3))
    for target in (real, fake):
        assert torch.equal(target, target[:, :, :1, :1].expand_as(target))
        assert 0 < target[:, 0, 0, 0].sum() < 64


def test_real_and_fake_samples_are_flipped_apart_unless_the_loss_compares_them():
    real, fake = targets(LabelFlipping(p=0.5), shape=(64,))
    assert not torch.equal(real, 1 - fake)
    real, fake = targets(LabelFlipping(p=0.5), Relative(), shape=(64,))
    assert torch.equal(real, 1 - fake), "the two of a pair are exchanged"
    assert 0 < fake.sum() < 64


def test_with_real_labels_alone_a_loss_that_compares_has_its_fakes_left_alone():
    real, fake = targets(LabelFlipping(p=0.5, which="real"), Relative(), shape=(64,))
    assert 0 < real.sum() < 64
    assert fake.sum() == 0


def test_flipped_after_smoothing_a_fake_gets_the_smoothed_target():
    round, turn = make_round(NonSaturating(), 3), make_turn(NonSaturating())
    LabelSmoothing(real=0.9).targets(turn, round)
    LabelFlipping(p=1.0).targets(turn, round)
    assert round.real.target.tolist() == [0.0] * 3
    assert round.fake.target.tolist() == pytest.approx([0.9] * 3)


def test_a_stream_of_another_shape_than_its_opposite_gets_the_losss_own_target():
    loss = LeastSquares(coding="pearson")
    fake = Stream(torch.zeros(3, 2), "fake", target=torch.full((3,), -1.0))
    round = Round(GAME, "discriminator", [Stream(torch.zeros(2, 2), "real", target=torch.ones(2)), fake])
    LabelFlipping(p=1.0).targets(make_turn(loss), round)
    assert fake.target.tolist() == [1.0] * 3


def test_the_probability_can_be_scheduled():
    trick = LabelFlipping(p=Scheduled({"steps": {0: 0.0, 10: 1.0}}))
    loss = NonSaturating()
    assert targets(trick, turn=make_turn(loss, 9))[0].tolist() == [1.0] * 6
    assert targets(trick, turn=make_turn(loss, 10))[0].tolist() == [0.0] * 6


def test_two_instances_flip_independently():
    turn = make_turn(NonSaturating())
    first, second = (targets(LabelFlipping(p=0.5), shape=(64,), turn=turn)[0] for _ in range(2))
    assert not torch.equal(first, second)
    round = make_round(NonSaturating(), 6)
    for _ in range(2):
        LabelFlipping(p=1.0).targets(turn, round)
    assert round.real.target.tolist() == [1.0] * 6, "flipped twice is not flipped"


def test_flipping_never_touches_the_generators_turns(tiny, make_run):
    """With a discriminator that does not move, flips of all labels leave the generator's trajectory as it is, bit for
    bit.
    """
    frozen = {"discriminator": {"optimizer": {"sgd": {"lr": 0.0}}}}
    plain, flipped = (
        steps(make_run(tiny(players=frozen, tricks=tricks)), 3) for tricks in ([], [{"label-flipping": {"p": 1.0}}])
    )
    assert not first_difference(weights(plain), weights(flipped))
    terms = [run.engine.terms["discriminator"]["adversarial.real"] for run in (plain, flipped)]
    assert not torch.equal(*terms), "the discriminator's terms are those of flipped labels"
