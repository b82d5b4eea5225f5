"""DiffAugment on fixed draws against values worked out by hand, what it leaves alone, and where in a call it stands."""

from types import SimpleNamespace

import pytest
import torch

from ganrun.engine.turn import Turn
from ganrun.randomness import Draws
from ganrun.schedule import Clock, Scheduled
from ganrun.training.build import RefusedError
from ganrun.words.game import Call, Game, Phase, Round
from ganrun_plugins.tricks.diff_augment import DiffAugment


def make_turn(draws=None, step: int = 0) -> Turn:
    engine = SimpleNamespace(clock=Clock(total=100, batch=4, dataset=100))
    return Turn(
        engine,
        Phase("generator", "generator"),
        step=step,
        draws=draws or Draws(("test", step)),
        modules={},
        batch_size=4,
    )


def fixed(*rows) -> SimpleNamespace:
    """Draws that return these rows of three numbers, one a sample, whatever is asked."""
    return SimpleNamespace(uniform=lambda purpose, n, count: torch.tensor(rows, dtype=torch.float64))


def augmented(trick: DiffAugment, x: torch.Tensor, *, draws=None, given=(), turn=None, space="image") -> Call:
    round = Round(Game("adversarial", "discriminator", "discriminator", ["generator"], space=space), "generator", [])
    call = Call(round, x, "fake", given)
    trick.augment(turn or make_turn(draws), call)
    return call


# --- each of the three, by hand -------------------------------------------------------------------------------------


def test_colour_by_hand():
    """Draws 0.75, 0.25, 0.9: brightness +0.25, saturation x 0.5, contrast x 1.4.

    The pixels (0, .2, .4) and (.4, .2, 0) become (.25, .45, .65) and (.65, .45, .25); their channels' means are .45, so
    halved distances give (.35, .45, .55) and (.55, .45, .35); the image's mean is .45, so 1.4 times the distance gives
    what is below.
    """
    x = torch.tensor([[[[0.0, 0.4]], [[0.2, 0.2]], [[0.4, 0.0]]]], dtype=torch.float64)  # (1, 3, 1, 2)
    y = augmented(DiffAugment(policy=("color",)), x, draws=fixed([0.75, 0.25, 0.9])).x
    assert torch.allclose(y, torch.tensor([[[[0.31, 0.59]], [[0.45, 0.45]], [[0.59, 0.31]]]], dtype=torch.float64))


def test_colour_at_the_ends_of_its_ranges():
    """Draws of 0: -0.5, grey, and half the contrast.

    Draws near 1: +0.5, twice the saturation, 1.5 times the contrast.
    """
    x = torch.tensor([[[[0.2]], [[0.4]], [[0.6]]]], dtype=torch.float64).expand(2, -1, -1, -1)
    y = augmented(DiffAugment(policy=("color",)), x, draws=fixed([0, 0, 0], [1, 1, 1])).x
    assert y[0].flatten().tolist() == pytest.approx([-0.1] * 3)
    assert y[1].flatten().tolist() == pytest.approx([0.9 - 0.6, 0.9, 0.9 + 0.6])  # 0.2 x 2 x 1.5


def test_translation_by_hand():
    """On 8 pixels the shift is -1, 0 or 1: draws 0.9 and 0.1 move one pixel down and one left."""
    x = torch.arange(1.0, 65).reshape(1, 1, 8, 8)
    y = augmented(DiffAugment(policy=("translation",)), x, draws=fixed([0.9, 0.1, 0.5])).x
    assert torch.equal(y[0, 0, 1:, :-1], x[0, 0, :-1, 1:])
    assert y[0, 0, 0].tolist() == [0] * 8
    assert y[0, 0, :, -1].tolist() == [0] * 8


def test_translation_reaches_an_eighth_of_each_side():
    x = torch.ones(500, 1, 16, 32)
    y = augmented(DiffAugment(policy=("translation",)), x).x
    assert (16 - y[:, 0].amax(2).sum(1)).unique().tolist() == [0, 1, 2]
    assert (32 - y[:, 0].amax(1).sum(1)).unique().tolist() == [0, 1, 2, 3, 4]


def test_cutout_by_hand():
    """On 8 pixels the box has 4, and draws 0.5 and 0 put its centre to floor(0.5 * 9) = 4 and 0: rows 2 to 5, columns 0
    and 1.
    """
    y = augmented(DiffAugment(policy=("cutout",)), torch.ones(1, 2, 8, 8), draws=fixed([0.5, 0.0, 0.5])).x
    expected = torch.ones(1, 2, 8, 8)
    expected[:, :, 2:6, :2] = 0
    assert torch.equal(y, expected)


def test_cutout_always_cuts_a_box_of_up_to_half_of_each_side():
    for size in (8, 10, 16):  # boxes of 4, 5 and 8
        y = augmented(DiffAugment(policy=("cutout",)), torch.ones(400, 1, size, size)).x
        rows = (y[:, 0] == 0).any(2).sum(1)
        # a centre at the edge leaves half of the box, and its middle if it has one
        smallest = {8: 2, 10: 3, 16: 4}[size]
        assert rows.unique().tolist() == list(range(smallest, size // 2 + 1))


def test_half_strength_halves_every_range():
    """Shift 2 of 16 pixels becomes 1, a box of 8 becomes 4 (rows 6 to 9 around 8), +0.25 becomes +0.125."""
    trick = DiffAugment(policy=("translation", "cutout"), strength=0.5)
    x = torch.ones(1, 1, 16, 16)
    expected = torch.ones(1, 1, 16, 16)
    expected[:, :, :1] = 0
    expected[:, :, 6:10, 7:11] = 0
    turn = make_turn(
        SimpleNamespace(
            uniform=lambda purpose, n, count: torch.tensor(
                [[0.99, 0.5, 0] if "translation" in purpose else [0.5, 0.55, 0]]
            )
        )
    )
    assert torch.equal(augmented(trick, x, turn=turn).x, expected)
    y = augmented(
        DiffAugment(policy=("color",), strength=0.5), torch.zeros(1, 3, 2, 2), draws=fixed([0.75, 0.1, 0.9])
    ).x
    assert torch.allclose(y, torch.full_like(y, 0.125))


def test_strength_can_be_scheduled():
    trick = DiffAugment(strength=Scheduled({"linear": [0.0, 1.0]}))
    x = torch.randn(4, 3, 8, 8)
    assert torch.equal(augmented(trick, x, turn=make_turn(step=0)).x, x)
    assert not torch.equal(augmented(trick, x, turn=make_turn(step=50)).x, x)


# --- what it leaves alone -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_at_strength_0_every_bit_stays(dtype):
    x = torch.randn(16, 3, 9, 12).to(dtype).requires_grad_()
    y = augmented(DiffAugment(strength=0.0), x).x
    assert y.dtype == dtype
    assert torch.equal(y, x)
    weight = torch.randn_like(x)
    (grad,) = torch.autograd.grad((y * weight).sum(), x)
    assert torch.equal(grad, weight)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_number_format_stays(dtype):
    assert augmented(DiffAugment(), torch.randn(2, 3, 8, 8).to(dtype)).x.dtype == dtype


def test_points_of_another_game_are_left_alone():
    x = torch.randn(4, 2)
    assert augmented(DiffAugment(), x, space="latent").x is x


def test_given_images_are_moved_and_cut_alike_but_keep_their_colours():
    x, labels = torch.rand(32, 3, 16, 16) + 1, torch.arange(32)
    call = augmented(DiffAugment(), x, given=(labels, x.clone(), torch.ones(32, 5)))
    moved = augmented(DiffAugment(policy=("translation", "cutout")), x).x
    assert torch.equal(call.given[1], moved), "the same draws, without colour"
    assert torch.equal(call.given[1] == 0, call.x == 0)
    assert not torch.equal(call.x, moved)
    assert call.given[0] is labels
    assert call.given[2].shape == (32, 5)


def test_a_given_image_of_half_the_size_is_moved_and_cut_by_half_as_much():
    """Shifts of 2 and -2 pixels of 16 are 1 and -1 of 8; a box of rows 6 to 9 (of 4 pixels, at half strength) is rows 3
    and 4.
    """
    draws = fixed([0.99, 0.0, 0.5])
    call = augmented(
        DiffAugment(policy=("translation",)), torch.ones(1, 1, 16, 16), draws=draws, given=(torch.ones(1, 1, 8, 8),)
    )
    assert (call.x[0, 0] == 0).all(1).nonzero().flatten().tolist() == [0, 1]
    assert (call.given[0][0, 0] == 0).all(1).nonzero().flatten().tolist() == [0]
    assert (call.given[0][0, 0] == 0).all(0).nonzero().flatten().tolist() == [7]
    call = augmented(
        DiffAugment(policy=("cutout",), strength=0.5),
        torch.ones(1, 1, 16, 16),
        draws=fixed([0.5, 0.5, 0]),
        given=(torch.ones(1, 1, 8, 8),),
    )
    assert (call.given[0][0, 0] == 0).any(1).nonzero().flatten().tolist() == [3, 4]


# --- draws and gradients --------------------------------------------------------------------------------------------


def test_every_sample_and_every_call_is_drawn_for_itself():
    turn, x = make_turn(), torch.randn(1, 3, 8, 8).expand(8, -1, -1, -1)
    first, second = (augmented(DiffAugment(), x, turn=turn).x for _ in range(2))
    assert not torch.equal(first, second)
    assert len({tuple(row.flatten().tolist()) for row in first}) == 8


def test_draws_do_not_depend_on_the_strength():
    purposes = []
    for strength in (0.0, 1.0):
        turn = make_turn()
        augmented(DiffAugment(strength=strength), torch.randn(2, 1, 8, 8), turn=turn)
        purposes.append(dict(turn.draws._counts))
    assert purposes[0] == purposes[1]


def test_gradients_flow_through_to_the_pixels_that_are_left():
    """A pixel that was moved out or cut gets no gradient, any other one 1."""
    x = torch.ones(64, 2, 16, 16, requires_grad=True)
    y = augmented(DiffAugment(policy=("translation", "cutout")), x).x
    (grad,) = torch.autograd.grad(y.sum(), x)
    assert set(grad.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(grad.sum((1, 2, 3)), y.sum((1, 2, 3)))


def test_diff_augment_is_differentiable_twice():
    x = torch.rand(2, 3, 8, 8, dtype=torch.float64, requires_grad=True)

    def function(x):
        return augmented(DiffAugment(), x, turn=make_turn()).x.sin()

    assert torch.autograd.gradcheck(function, x, fast_mode=True)
    assert torch.autograd.gradgradcheck(function, x, fast_mode=True)


# --- in a run -------------------------------------------------------------------------------------------------------


@pytest.fixture
def images():
    """The recipe of a small GAN on pictures of 8 pixels."""

    def recipe(**changes):
        network = {"dcgan": {"width": 4, "norm": "none"}}
        base = {
            "variant": {"dcgan": {"latent": 4}},
            "dataset": {"digits": {"size": 8}},
            "generator": network,
            "discriminator": network,
            "without": ["progress", "samples", "metrics-log", "health", "checkpoints"],
            "train": {"steps": 4, "batch_size": 4, "device": "cpu"},
        }
        return {**base, **changes}

    return recipe


def turns_of(run):
    found = []
    original = run.engine.hooks.losses
    run.engine.hooks.losses = lambda turn: (found.append(turn), original(turn=turn))
    run.engine.step(0)
    return {turn.player: turn for turn in found}


@pytest.mark.parametrize("trick", [{"diff-augment": {}}, {"ada": {"start": 0.8}}], ids=["diff-augment", "ada"])
def test_the_leaf_of_a_penalty_is_the_image_before_augmentation(images, make_run, trick):
    """R1 is about the image itself: its gradient goes through the augmentation only where the call asks for it."""
    run = make_run(images(tricks=[trick]))
    turn = turns_of(run)["discriminator"]
    round, x = turn.rounds[0], torch.randn(4, 1, 8, 8)
    plain, through = (
        turn.discriminate(round, x, role="real", tag="penalty", leaf=True, through=stages)
        for stages in (None, ("augment", "pack"))
    )
    assert torch.equal(plain.x, x)
    assert torch.equal(through.x, x)
    assert torch.equal(plain.logits, run.engine.modules["discriminator"](x).logits), (
        "a penalty is not augmented unless it asks for it"
    )
    assert not torch.equal(through.logits, plain.logits)
    (grad,) = torch.autograd.grad(through.logits.sum(), through.x, create_graph=True)
    grad.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in run.engine.modules["discriminator"].parameters())


@pytest.mark.parametrize("trick", [{"diff-augment": {}}, {"ada": {"start": 0.8}}], ids=["diff-augment", "ada"])
def test_streams_are_clean_and_both_roles_are_augmented_on_both_sides(images, make_run, trick):
    run = make_run(images(tricks=[trick]))
    seen = []
    discriminator = run.engine.modules["discriminator"]
    discriminator.register_forward_pre_hook(lambda module, args: seen.append(args[0].detach().clone()))
    turns = turns_of(run)
    streams = [stream for player in ("discriminator", "generator") for stream in turns[player].rounds[0].streams]
    assert [stream.role for stream in streams] == ["real", "fake", "fake"]
    for stream, x in zip(streams, seen, strict=True):
        assert stream.x.shape == x.shape
        assert not torch.equal(stream.x, x)


def test_two_pipelines_in_one_recipe_are_warned_of(images, make_run):
    run = make_run(images(tricks=["diff-augment", "ada"]))
    assert sorted(warning.part for warning in run.experiment.warnings) == ["trick ada", "trick diff-augment"]
    run.engine.step(0)


def test_points_are_refused(tiny, make_run):
    with pytest.raises(RefusedError, match="mean nothing for what is no image"):
        make_run(tiny(tricks=["diff-augment"]))
