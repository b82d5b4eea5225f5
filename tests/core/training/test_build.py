"""From a recipe to networks and players: what is built, refused and warned of."""

import pytest
import torch
from torch import nn

from ganrun.training.build import RefusedError
from ganrun.words.game import Network, Phase, Player, Term
from ganrun.words.spaces import Interface, Reason
from ganrun_plugins.variants.gan import GAN

PERCEPTRON = {"mlp": {"widths": [8], "norm": "none"}}


class Encoded(GAN):
    """A game, and an encoder that belongs to a player of its own and to the generator's."""

    networks = {"encoder": "generator"}

    def describe(self, spaces):
        found = super().describe(spaces)
        found.networks["encoder"] = Network("encoder", Interface(takes=spaces["x"], makes=self.latent))
        found.players = [
            found.players[0],
            Player("generator", ["generator", "encoder"]),
            Player("encoder", ["encoder"]),
        ]
        found.phases.append(Phase("encoder", "encoder", games=()))
        found.reuse_fakes = False
        return found

    def terms(self, turn):
        if turn.phase.name != "encoder":
            return {}
        code = turn.modules["encoder"](turn.real["x"])
        return {"reconstruction": Term((turn.modules["generator"](code) - turn.real["x"]).square().mean())}


def test_an_encoder_is_a_generator_that_the_recipe_names_under_a_key_of_its_own(tiny, make_run):
    recipe = tiny(
        variant={"encoded": {"latent": 4}}, encoder=PERCEPTRON, players={"encoder": {"optimizer": {"sgd": {"lr": 0.1}}}}
    )
    run = make_run(recipe, {"variant.encoded": Encoded})
    assert run.recipe.networks["encoder"].kind == "generator"
    assert isinstance(run.engine.modules["encoder"], nn.Module)
    before = {name: [p.clone() for p in module.parameters()] for name, module in run.engine.modules.items()}
    run.engine.take(run.experiment.phases[2], 0, 0, [])
    gradients = {
        name: any(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())
        for name, module in run.engine.modules.items()
    }
    assert gradients == {"generator": False, "discriminator": False, "encoder": True}, (
        "the turn's player learns, and nobody else"
    )
    run.engine.step(0)
    assert not all(torch.equal(a, b) for a, b in zip(before["encoder"], run.engine.modules["encoder"].parameters()))


def test_a_variant_that_wants_an_encoder_says_so(tiny, make_run):
    with pytest.raises(RefusedError, match="it needs an encoder"):
        make_run(
            tiny(variant={"encoded": {"latent": 4}}, players={"encoder": {"optimizer": "adam"}}),
            {"variant.encoded": Encoded},
        )


class Compares(GAN):
    """A variant that needs its discriminator's features."""

    needs = {"discriminator:features": Reason("there is nothing to compare", "another discriminator")}


def test_of_a_network_that_cannot_be_built_nobody_says_what_it_lacks(tiny, make_run):
    """Its own refusal is the only one; a network that is built and lacks something is still refused."""
    with pytest.raises(RefusedError) as caught:
        # of points
        make_run(tiny(variant={"compares": {"latent": 4}}, discriminator="dcgan"), {"variant.compares": Compares})
    assert "as discriminator" in str(caught.value)
    assert "there is nothing to compare" not in str(caught.value)

    class Mute(nn.Linear):
        def __init__(self, interface):
            super().__init__(interface.takes.size, 1)

        def forward(self, x, *given):
            return super().forward(x).squeeze(1)

    with pytest.raises(RefusedError, match="there is nothing to compare"):
        make_run(
            tiny(variant={"compares": {"latent": 4}}, discriminator="mute"),
            {"variant.compares": Compares, "discriminator.mute": Mute},
        )


def test_a_network_that_no_variant_asks_for_is_warned_about(tiny, make_run):
    assert make_run(tiny()).experiment.warnings == []
    (warning,) = make_run(tiny(encoder="mlp")).experiment.warnings
    assert "encoder mlp: variant gan asks for no encoder, so none is built of it" in str(warning)
