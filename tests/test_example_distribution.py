"""The tricks of the third-party distribution by hand, and by the contract checks, without installing it."""

from pathlib import Path

import pytest
import torch

from ganrun.catalog.catalog import Catalog
from ganrun.recipe import load_recipe
from ganrun.testing import parametrize_with_checks
from ganrun.testing.runs import new_run, steps

HERE = Path(__file__).parent / "third_party" / "ganrun-example" / "ganrun_example"
FILES = [HERE / "adaptive_clipping.py", HERE / "latent_optimisation.py"]
CATALOG = Catalog(modules=FILES)


@parametrize_with_checks(["trick.adaptive-clipping", "trick.latent-optimisation"], modules=FILES)
def test_contract(plugin, check):
    check(plugin)


def test_adaptive_clipping_shortens_the_rows_that_are_too_long_for_their_weights():
    """Rows of length 5 and 10, clipping 0.2: gradients of length 1 and 2 at most. 2 is shortened to 1, 1 is left."""
    weight = torch.nn.Parameter(torch.tensor([[3.0, 4.0], [6.0, 8.0]]))
    weight.grad = torch.tensor([[0.0, 2.0], [1.0, 0.0]])
    trick = CATALOG.load("trick", "adaptive-clipping").factory(clipping=0.2)
    trick.gradients(type("Turn", (), {"parameters": lambda self: [weight], "now": lambda self, value: value})())
    assert weight.grad.tolist() == [[0.0, 1.0], [1.0, 0.0]]


@pytest.mark.parametrize("player", ["discriminator", "generator"])
def test_optimised_latents_score_higher_and_both_players_play_on_them(player, tiny):
    """A small step of the latents up the slope raises the mean score of the fakes."""
    recipe = tiny(tricks=[{"latent-optimisation": {"alpha": 0.1, "beta": 1.0}}], sampler={"uniform": {}})
    run = new_run(load_recipe(recipe, catalog=CATALOG), CATALOG)
    found = []
    backward = run.engine.backward

    def look(turn):
        if turn.player == player:
            (round,) = turn.rounds
            plain, moved = (turn.networks["discriminator"](x).logits.mean() for x in (turn.made["x"], round.fake.x))
            found.append((moved - plain).item())
            assert torch.equal(round.fake.x, turn.networks["generator"](round.fake.latent))
            assert round.fake.x.requires_grad == (player == "generator")
        backward(turn)

    run.engine.backward = look
    steps(run, 2)
    assert min(found) > 0
