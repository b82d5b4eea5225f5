"""Dequantisation by hand: noise of one grey value on real images, and on nothing else."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from ganrun.catalog.catalog import Catalog
from ganrun.engine.turn import Turn
from ganrun.experiment.diagnostics import RefusedError
from ganrun.randomness import Draws
from ganrun.recipe import load_recipe
from ganrun.schedule import Clock
from ganrun.words.game import Game, Phase, Round, Stream
from ganrun_plugins.tricks.dequantisation import Dequantisation

RECIPES = Path(__file__).parents[2] / "recipes"


def make_turn(step: int = 0) -> Turn:
    engine = SimpleNamespace(clock=Clock(total=100, batch=4, dataset=100))
    draws = Draws(("test", step))
    return Turn(engine, Phase("phase", "discriminator"), step=step, draws=draws, modules={}, batch_size=4)


def play(real: torch.Tensor, width=1 / 128, side: str = "discriminator", space: str = "image", step: int = 0):
    """The real and the fake x, and what was given with the real one, after the trick."""
    game = Game("adversarial", "discriminator", "discriminator", ["generator"], space=space)
    streams = [Stream(real, "real", given=(real,)), Stream(real.clone(), "fake")]
    turn = make_turn(step)
    turn.rounds = [Round(game, side, streams)]
    Dequantisation(width=width).generated(turn)
    return streams[0].x, streams[1].x, streams[0].given[0]


@pytest.mark.parametrize("side", ["discriminator", "generator"])
def test_an_image_becomes_that_of_the_authors_code(side):
    """v / 127.5 - 1 becomes (v + u) / 128 - 1: v = 0, 100 and 255 lie from -1, -0.21875 and 0.9921875 on.

    float64, so that 1e-12 is enough.
    """
    v = torch.tensor([0.0, 100.0, 255.0], dtype=torch.float64).expand(4, 3).reshape(4, 1, 1, 3)
    u = make_turn().draws.uniform("dequantisation", 4, 1, 1, 3).double()
    real, fake, given = play(v / 127.5 - 1, side=side)
    torch.testing.assert_close(real, (v + u) / 128 - 1, rtol=0, atol=1e-12)
    assert torch.equal(fake, v / 127.5 - 1)
    assert torch.equal(given, v / 127.5 - 1)


def test_the_noise_is_uniform_over_one_grey_value_of_256():
    """White, x = 1, is spread over [1 - 1/128, 1): its mean is 1 - 1/256, its deviation 1/128/sqrt(12)."""
    x = play(torch.ones(64, 3, 32, 32))[0].double()
    assert x.min() >= 1 - 1 / 128
    assert x.max() <= 1
    assert x.mean().item() == pytest.approx(1 - 1 / 256, abs=2e-5)
    assert x.std().item() == pytest.approx(1 / 128 / 12**0.5, rel=0.01)


def test_with_two_grey_values_the_noise_is_as_wide_as_half_the_range():
    """n = 2, width 1: black and white, -1 and 1, become [-1, 0) and [0, 1)."""
    x = play(torch.tensor([-1.0, 1.0]).expand(500, 2).reshape(500, 1, 1, 2), width=1.0)[0]
    black, white = x[..., 0], x[..., 1]
    assert black.min() >= -1
    assert black.max() < 0
    assert white.min() >= 0
    assert white.max() < 1


def test_width_0_leaves_the_image_as_it_is():
    x = torch.randn(5, 3, 4, 4)
    assert torch.equal(play(x, width=0.0)[0], x)


def test_games_of_other_spaces_are_left_alone():
    x = torch.randn(5, 8)
    assert torch.equal(play(x, space="latent")[0], x)


def test_each_step_and_each_stream_has_noise_of_its_own():
    x = torch.zeros(2, 1, 4, 4)
    assert not torch.equal(play(x)[0], play(x, step=1)[0])
    turn, streams = make_turn(), [Stream(x, "real"), Stream(x, "real")]
    turn.rounds = [Round(Game("adversarial", "discriminator", "discriminator"), "discriminator", streams)]
    Dequantisation().generated(turn)
    assert not torch.equal(streams[0].x, streams[1].x)


def test_points_are_refused(tiny, make_run):
    with pytest.raises(RefusedError, match="stored as grey values"):
        make_run(tiny(dataset="ring", tricks=["dequantisation"]))


@pytest.mark.parametrize("name", ["sngan_cifar10", "wgan_gp_cifar10"])
def test_the_recipes_of_authors_who_dequantise_do(name):
    (trick,) = [
        t for t in load_recipe(RECIPES / f"{name}.yaml", catalog=Catalog()).tricks if t.name == "dequantisation"
    ]
    assert trick.parameters["width"].at(0, None) == 1 / 128
