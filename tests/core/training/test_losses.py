"""Games without a loss, and losses without a game."""

import pytest

from ganrun.training.build import RefusedError
from ganrun.words.game import Phase, Term
from ganrun_plugins.variants.gan import GAN


def test_a_game_without_a_loss_is_refused(tiny, make_run):
    class Lossless(GAN):
        defaults = {key: value for key, value in GAN.defaults.items() if key != "loss"}

    with pytest.raises(RefusedError, match="it plays a game, and nothing says what the two sides minimise"):
        make_run(tiny(variant={"lossless": {"latent": 4}}), {"variant.lossless": Lossless})


class Alone(GAN):
    """No game: the generator's samples go to 0."""

    def describe(self, spaces):
        found = super().describe(spaces)
        del found.networks["discriminator"]
        found.players, found.phases, found.games = found.players[1:], [Phase("generator", "generator", games=())], []
        return found

    def terms(self, turn):
        return {"size": Term(turn.made["x"].square().mean())}


def test_a_loss_that_no_game_asks_for_is_warned_about(tiny, make_run):
    lossless = type(
        "Lossless",
        (Alone,),
        {"defaults": {key: value for key, value in GAN.defaults.items() if key not in ("loss", "discriminator")}},
    )
    plugins = {"variant.alone": lossless}
    players = {"generator": {"optimizer": "adam"}}
    recipe = tiny(variant={"alone": {"latent": 4}}, players=players)
    del recipe["discriminator"]
    unused, without = (make_run({**recipe, **loss}, plugins) for loss in ({"loss": "minimax"}, {}))
    (warning,) = unused.experiment.warnings
    assert "loss minimax: variant alone plays no game, so nothing asks for it" in str(warning)
    assert without.experiment.warnings == make_run(tiny(loss="minimax")).experiment.warnings == []
