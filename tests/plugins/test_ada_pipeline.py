"""ADA's pipeline: its geometry on known images, its colours by hand, what is drawn how often, derivatives."""

import cmath
import math

import pytest
import torch
from torch import Tensor

from ganrun.randomness import Draws
from ganrun_plugins.tricks._ada_pipeline import (
    SYM6,
    Drawn,
    copied,
    cut,
    draw,
    inverse,
    mirrored,
    placed,
    recoloured,
    resampled,
)

PARAMETERS = (
    "flip",
    "quarters",
    "shift",
    "scale",
    "before",
    "stretch",
    "after",
    "drift",
    "brightness",
    "contrast",
    "luma",
    "hue",
    "saturation",
)
RESAMPLED, RECOLOURED = PARAMETERS[3:8], PARAMETERS[8:]


def what(n: int = 1, **changed) -> Drawn:
    """What is done to n samples alike: nothing, but for these parameters."""
    neutral = {
        name: 1.0 if name in ("flip", "scale", "stretch", "contrast", "luma", "saturation") else 0.0
        for name in PARAMETERS
    }
    neutral |= {"shift": (0.0, 0.0), "drift": (0.0, 0.0), **changed}
    tensors = {
        name: torch.tensor(value, dtype=torch.float64).expand(n, *(2,) * isinstance(value, tuple))
        for name, value in neutral.items()
    }
    drawn = {
        name: torch.full((n,), any(key in changed for key in keys))
        for name, keys in (("resampled", RESAMPLED), ("recoloured", RECOLOURED))
    }
    return Drawn(**tensors, **drawn)


def geometry(x: Tensor, **changed) -> Tensor:
    return placed(x, what(len(x), **changed), tuple(x.shape[2:]))


def picture(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


# --- copying pixels: exact ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(8, 8), (9, 9), (8, 12)])
def test_a_flip_mirrors_left_and_right(size):
    x = picture(2, 3, *size)
    assert torch.equal(geometry(x, flip=-1.0), x.flip(3))


@pytest.mark.parametrize("size", [8, 9])
def test_quarter_turns_go_clockwise(size):
    x = picture(1, 2, size, size)
    for quarters in (1, 2, 3):
        assert torch.equal(geometry(x, quarters=float(quarters)), torch.rot90(x, -quarters, (2, 3)))


def test_an_image_that_is_not_square_is_turned_by_halves():
    x = picture(1, 1, 8, 12)
    assert torch.equal(geometry(x, quarters=1.0), x)
    for quarters in (2.0, 3.0):
        assert torch.equal(geometry(x, quarters=quarters), x.flip(2, 3))


def test_a_shift_is_a_share_of_the_side_in_whole_pixels_and_mirrors_what_comes_in():
    """An eighth of 8 columns is 1 pixel to the right, -0.1 of 16 rows is 2 up (1.6 rounded)."""
    x = picture(1, 2, 16, 8)
    y = geometry(x, shift=(0.125, -0.1))
    assert torch.equal(y[:, :, :-2, 1:], x[:, :, 2:, :-1])
    assert torch.equal(y[:, :, :-2, 0], x[:, :, 2:, 1]), "the column at the edge is not repeated"
    assert torch.equal(y[:, :, -2, 1:], x[:, :, -2, :-1])
    assert torch.equal(y[:, :, -1, 1:], x[:, :, -3, :-1])


def test_copies_are_done_in_the_order_flip_turn_shift():
    x = picture(1, 1, 8, 8)
    y = geometry(x, flip=-1.0, quarters=1.0, shift=(0.0, 0.125))
    assert torch.equal(y[:, :, 1:], torch.rot90(x.flip(3), -1, (2, 3))[:, :, :-1])


def test_a_mirror_goes_on_for_ever():
    assert mirrored(torch.arange(-5, 10), 4).tolist() == [1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1, 2, 3]
    assert mirrored(torch.arange(-3, 3), 1).tolist() == [0] * 6


# --- resampling -----------------------------------------------------------------------------------------------------


def test_the_filter_is_orthogonal_and_flat():
    """Its even shifts are orthonormal, it sums to sqrt(2), and six moments of its alternating sum vanish: with 12 taps
    that leaves Daubechies' filters, of which this is the least asymmetric."""
    h = torch.tensor(SYM6, dtype=torch.float64)
    for shift in range(0, 12, 2):
        assert (h[shift:] * h[: 12 - shift]).sum().item() == pytest.approx(float(shift == 0), abs=1e-11)
    assert h.sum().item() == pytest.approx(math.sqrt(2), abs=1e-11)
    k = torch.arange(12, dtype=torch.float64)
    for moment in range(6):
        assert ((-1) ** k * k**moment * h).sum().item() == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize("size", [(8, 8), (9, 8), (16, 24), (3, 2), (1, 1)])
def test_resampling_where_nothing_moves_gives_the_image_back(size):
    x = picture(2, 3, *size)
    assert torch.allclose(resampled(x, inverse(what(2), size)), x, atol=1e-9)


def test_resampling_whole_pixels_is_copying_them():
    x = picture(1, 2, 8, 16)
    back = inverse(what(drift=(1 / 8, -1 / 4)), (8, 16))  # 2 right, 2 up
    assert torch.allclose(resampled(x, back), copied(x, back), atol=1e-9)


def test_a_constant_image_stays_so_in_every_geometry():
    x = torch.full((64, 1, 8, 10), 0.7, dtype=torch.float64)
    drawn = draw(Draws(("constant",)), 64, torch.tensor(1.0), torch.float64)
    assert drawn.resampled.all()
    assert torch.allclose(placed(x, drawn, (8, 10)), x, atol=1e-9)


def blob(x: Tensor, y: Tensor) -> Tensor:
    """A smooth picture around (3, -2), in pixels from the centre."""
    return torch.exp(-((x - 3) ** 2 + (y + 2) ** 2) / 40)


@pytest.mark.parametrize(
    ("changed", "source"),
    [
        ({"scale": 1.3}, lambda x, y: (x / 1.3, y / 1.3)),
        ({"stretch": 1.25}, lambda x, y: (x / 1.25, y * 1.25)),
        ({"drift": (0.05, 0.03)}, lambda x, y: (x - 1.6, y - 0.96)),
        ({"before": math.pi / 2}, lambda x, y: (y, -x)),
        ({"before": 0.5}, lambda x, y: (math.cos(0.5) * x + math.sin(0.5) * y, math.cos(0.5) * y - math.sin(0.5) * x)),
    ],
    ids=["scale", "stretch", "drift", "quarter", "turn"],
)
def test_a_smooth_picture_is_what_it_is_at_the_sources(changed, source):
    """Between values half a pixel apart a straight line misses by (1/2)^2 / 8 of the curvature 0.05 at most, 0.0016
    along each axis.
    """
    y, x = torch.meshgrid(*[torch.arange(32, dtype=torch.float64) - 15.5] * 2, indexing="ij")
    found = geometry(blob(x, y)[None, None], **changed)[0, 0]
    expected = blob(*source(x, y))
    inner = slice(6, -6)
    assert (found - expected)[inner, inner].abs().max() < 0.004
    assert (blob(x, y) - expected)[inner, inner].abs().max() > 0.1, "it moved"


def test_geometry_is_done_in_the_papers_order():
    """A point goes through flip, turn, shift, scale, turn, stretch, turn, drift; the inverse brings it back."""
    drawn = what(
        flip=-1.0,
        quarters=1.0,
        shift=(0.125, -0.125),
        scale=1.5,
        before=0.3,
        stretch=1.2,
        after=-0.8,
        drift=(0.1, 0.05),
    )
    point = complex(2.0, -1.0)  # x + i y, y down
    moved = complex(-point.real, point.imag) * 1j + complex(2, -2)
    moved = moved * 1.5 * cmath.exp(0.3j)
    moved = complex(moved.real * 1.2, moved.imag / 1.2) * cmath.exp(-0.8j) + complex(1.6, 0.8)
    x, y, one = (
        inverse(drawn, (16, 16))[0] @ torch.tensor([moved.real, moved.imag, 1.0], dtype=torch.float64)
    ).tolist()
    assert (x, y, one) == pytest.approx((2.0, -1.0, 1.0))


def test_a_smaller_given_image_gets_the_same_geometry():
    x, small = picture(1, 1, 16, 16), picture(1, 1, 8, 8)
    drawn = what(shift=(0.125, 0.0), quarters=1.0)
    assert torch.equal(placed(small, drawn, (16, 16))[:, :, :, 1:], torch.rot90(small, -1, (2, 3))[:, :, :, :-1])
    assert torch.equal(placed(x, drawn, (16, 16))[:, :, :, 2:], torch.rot90(x, -1, (2, 3))[:, :, :, :-2])


# --- colour ---------------------------------------------------------------------------------------------------------


def colour(*channels: float, **changed) -> list[float]:
    x = torch.tensor(channels, dtype=torch.float64).reshape(1, -1, 1, 1)
    return recoloured(x, what(1, **changed)).flatten().tolist()


def test_colours_by_hand():
    assert colour(0.1, 0.2, 0.6, brightness=0.3) == pytest.approx([0.4, 0.5, 0.9])
    assert colour(0.1, 0.2, 0.6, contrast=2.0) == pytest.approx([0.2, 0.4, 1.2])
    assert colour(0.1, 0.2, 0.6, luma=-1.0) == pytest.approx([-0.5, -0.4, 0.0])  # the mean 0.3 becomes -0.3
    assert colour(0.1, 0.2, 0.6, saturation=2.0) == pytest.approx([-0.1, 0.1, 0.9])  # 0.3 + 2 * (-0.2, -0.1, 0.3)
    assert colour(0.1, 0.2, 0.6, hue=2 * math.pi / 3) == pytest.approx([0.6, 0.1, 0.2])  # a third of the circle
    assert colour(0.1, 0.2, 0.6, hue=math.pi) == pytest.approx([0.5, 0.4, 0.0])  # the other side of grey


def test_colours_are_changed_in_the_papers_order():
    """(0.1 + 0.1, ...) doubled is (0.4, 0.6, 1.4), of mean 0.8 and rest (-0.4, -0.2, 0.6); flipped, turned by a third,
    halved.
    """
    found = colour(0.1, 0.2, 0.6, brightness=0.1, contrast=2.0, luma=-1.0, hue=2 * math.pi / 3, saturation=0.5)
    assert found == pytest.approx([-0.8 + 0.3, -0.8 - 0.2, -0.8 - 0.1])


def test_one_channel_has_brightness_contrast_and_luma_alone():
    assert colour(0.3, brightness=0.1, contrast=2.0, luma=-1.0) == pytest.approx([-0.8])
    assert colour(0.3, hue=1.0, saturation=3.0) == pytest.approx([0.3])
    assert colour(0.1, 0.5, saturation=2.0, hue=1.0) == pytest.approx([-0.1, 0.7]), "two channels have no hue"


# --- what is drawn --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_each_augmentation_is_drawn_with_probability_p(p):
    """Of 4000; a flip is no flip half of the time, a quarter turn none in four; two turns come with 1 - sqrt(1 - p)
    each.
    """
    drawn = draw(Draws(("shares",)), 4000, torch.tensor(p), torch.float64)
    shares = {
        name: (getattr(drawn, name) != getattr(what(), name)).reshape(4000, -1)[:, 0].double().mean().item()
        for name in PARAMETERS
    }
    turn = 1 - math.sqrt(1 - p)
    expected = dict.fromkeys(PARAMETERS, p) | {
        "flip": p / 2,
        "luma": p / 2,
        "quarters": 0.75 * p,
        "before": turn,
        "after": turn,
    }
    for name in PARAMETERS:
        assert shares[name] == pytest.approx(expected[name], abs=0.03), name
    assert drawn.resampled.double().mean().item() == pytest.approx(1 - (1 - p) ** 4, abs=0.03)
    assert drawn.recoloured.double().mean().item() == pytest.approx(1 - (1 - p) ** 4 * (1 - p / 2), abs=0.03)


def test_the_spread_of_what_is_drawn_is_the_papers():
    drawn = draw(Draws(("spread",)), 20000, torch.tensor(1.0), torch.float64)
    for values, spread in (
        (drawn.scale.log2(), 0.2),
        (drawn.stretch.log2(), 0.2),
        (drawn.drift, 0.125),
        (drawn.brightness, 0.2),
        (drawn.contrast.log2(), 0.5),
        (drawn.saturation.log2(), 1.0),
    ):
        assert values.std().item() == pytest.approx(spread, rel=0.03)
        assert values.mean().item() == pytest.approx(0, abs=0.03 * spread + 0.01)
    for values, end in ((drawn.shift, 0.125), (drawn.before, math.pi), (drawn.after, math.pi), (drawn.hue, math.pi)):
        assert values.abs().max().item() == pytest.approx(end, rel=0.01)
        assert values.std().item() == pytest.approx(end / math.sqrt(3), rel=0.03)


def test_a_sample_of_which_nothing_was_drawn_keeps_every_bit_beside_others():
    x = torch.randn(200, 3, 8, 8)
    drawn = draw(Draws(("some",)), 200, torch.tensor(0.1), torch.float32)
    y = recoloured(placed(x, drawn, (8, 8)), drawn)
    neutral = what()
    idle = torch.stack(
        [(getattr(drawn, name) == getattr(neutral, name)).reshape(200, -1).all(1) for name in PARAMETERS]
    ).all(0)
    assert 20 < idle.sum() < 100
    assert torch.equal(y[idle], x[idle])


COLOURS = ("brightness", "contrast", "luma", "hue", "saturation")


def test_an_augmentation_is_drawn_with_its_share_of_p_and_the_others_as_without_it():
    """p = 0.8, colours at half of it, no flips, turns at a quarter: 1 - sqrt(1 - 0.2) for each of the two."""
    shares = dict.fromkeys(COLOURS, 0.5) | {"flip": 0.0, "turn": 0.25}
    drawn = draw(Draws(("shares",)), 4000, torch.tensor(0.8), torch.float64, shares)
    plain = draw(Draws(("shares",)), 4000, torch.tensor(0.8), torch.float64)

    def share(name):
        return (getattr(drawn, name) != getattr(what(), name)).reshape(4000, -1)[:, 0].double().mean().item()

    turn = 1 - math.sqrt(0.8)
    expected = dict.fromkeys(COLOURS, 0.4) | {"luma": 0.2, "flip": 0.0, "before": turn, "after": turn}
    for name, value in expected.items():
        assert share(name) == pytest.approx(value, abs=0.03), name
    for name in set(PARAMETERS) - set(expected):
        assert torch.equal(getattr(drawn, name), getattr(plain, name)), name
    assert drawn.box is None


def test_cutout_moves_no_other_draw_and_comes_with_its_share_of_p_anywhere():
    drawn = draw(Draws(("cutout",)), 4000, torch.tensor(0.6), torch.float64, {"cutout": 0.5})
    plain = draw(Draws(("cutout",)), 4000, torch.tensor(0.6), torch.float64)
    for name in PARAMETERS:
        assert torch.equal(getattr(drawn, name), getattr(plain, name)), name
    there = ~drawn.box.isnan()
    assert torch.equal(there[:, 0], there[:, 1])
    assert there[:, 0].double().mean().item() == pytest.approx(0.3, abs=0.03)
    centres = drawn.box[there[:, 0]]
    assert centres.mean(0).tolist() == pytest.approx([0.5, 0.5], abs=0.03)
    assert (float(centres.min()), float(centres.max())) == pytest.approx((0, 1), abs=0.01)


def test_cutout_covers_half_of_each_side_around_its_centre():
    """Of 8 columns those whose middles, at 1/16, 3/16, ..., are less than 1/4 from 0.5, and of 4 rows, at 1/8, 3/8,
    ..., those less than 1/4 from 0: the middle four columns and the upper row. A box that is not a number is none.
    """
    drawn = what(2)
    drawn.box = torch.tensor([[0.5, 0.0], [math.nan, math.nan]], dtype=torch.float64)
    x = picture(2, 3, 4, 8).abs() + 1
    y = cut(x, drawn)
    gone = torch.zeros(4, 8, dtype=torch.bool)
    gone[0, 2:6] = True
    assert torch.equal(y[0] == 0, gone.expand(3, -1, -1))
    assert torch.equal(y[0][:, ~gone], x[0][:, ~gone])
    assert torch.equal(y[1], x[1])


# --- derivatives ----------------------------------------------------------------------------------------------------


def everything(p: float = 1.0, n: int = 2) -> Drawn:
    return draw(Draws(("derivatives",)), n, torch.tensor(p), torch.float64)


def test_the_pipeline_is_differentiable_twice():
    x = picture(2, 3, 8, 8).requires_grad_()
    drawn = everything()

    def function(x):
        return recoloured(placed(x, drawn, (8, 8)), drawn).sin()

    assert torch.autograd.gradcheck(function, x, fast_mode=True)
    assert torch.autograd.gradgradcheck(function, x, fast_mode=True)


def test_r1_through_the_pipeline_is_that_of_the_linear_map_it_is():
    """With D(y) = w . y and y = T x the gradient is T' w, so (T' w) . x = w .

    (T x); and |T' w|^2 has a gradient in w, 2 T T' w.
    """
    x, drawn = picture(2, 3, 8, 8).requires_grad_(), everything()
    w = torch.randn(2, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    y = placed(x, drawn, (8, 8))
    (grad,) = torch.autograd.grad((w * y).sum(), x, create_graph=True)
    assert (grad * x).sum().item() == pytest.approx((w * y).sum().item())
    (of_w,) = torch.autograd.grad(grad.square().sum(), w)
    assert torch.allclose(of_w, 2 * placed(grad.detach(), drawn, (8, 8)))
