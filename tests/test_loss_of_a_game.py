"""A loss for each game: what is proposed, what a recipe says, and what of a loss holds in its own games alone."""

from __future__ import annotations

import ast
import math
from pathlib import Path

import pytest
import torch

from ganrun.catalog.catalog import Catalog
from ganrun.cli import check_tables
from ganrun.experiment.diagnostics import RefusedError
from ganrun.plugin import DiscriminatorOutput, Game, Interface, Network, Round, Stream
from ganrun.preflight.check import check as preflight
from ganrun.recipe import RecipeError, load_recipe
from ganrun.testing import parametrize_with_checks
from ganrun.testing.runs import first_difference, new_run, steps, weights
from ganrun.training import checkpoint
from ganrun.training.versions import versions_of
from ganrun.words.hooks import Component, hookimpl
from ganrun_plugins.losses.hinge import Hinge
from ganrun_plugins.losses.two_class import TwoClass
from ganrun_plugins.variants.gan import GAN

HERE = Path(__file__).parent / "third_party" / "one_file"
FILES = [HERE / "d2gan.py"]
AUTOENCODER = {"autoencoder": {"widths": [4], "norm": "none"}}


@parametrize_with_checks(["loss.reward-real", "loss.reward-fake", "variant.d2gan"], modules=FILES)
def test_contract(plugin, check):
    check(plugin)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_imports_the_front_door_alone(path):
    found = [node.module for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    assert {name for name in found if name.startswith("ganrun")} == {"ganrun.plugin"}


# --- two discriminators, two formulas: d2gan ----------------------------------------------------------------------


class TwoGames(GAN):
    """As BicycleGAN's: one generator against two discriminators, one a game; ``own`` are what the games propose."""

    own = {"encoded": "least-squares", "drawn": {"hinge": {}}}

    def describe(self, spaces):
        description = super().describe(spaces)
        description.networks = {
            "generator": description.networks["generator"],
            "judge_encoded": Network("discriminator", Interface(takes=spaces["x"])),
            "judge_drawn": Network("discriminator", Interface(takes=spaces["x"])),
        }
        description.players[0].modules = ["judge_encoded", "judge_drawn"]
        description.games = [
            Game(name, f"judge_{name}", "discriminator", ["generator"], spaces["x"].kind, loss=self.own.get(name))
            for name in ("encoded", "drawn")
        ]
        return description

    def streams(self, turn):
        found = {}
        for game in ("encoded", "drawn"):
            roles = {"real": turn.real["x"], "fake": turn.made["x"]}
            found[game] = [Stream(x, role) for role, x in roles.items() if turn.wants(game, role)]
        return found


class Alone(TwoGames):
    own = {"encoded": "least-squares"}
    defaults = {key: value for key, value in GAN.defaults.items() if key != "loss"}


class Shared(TwoGames):
    def describe(self, spaces):
        description = super().describe(spaces)
        del description.networks["judge_drawn"]
        description.players[0].modules = ["judge_encoded"]
        description.games[1].discriminator = "judge_encoded"
        return description


class Misspelt(TwoGames):
    own = {"encoded": "least-squares", "drawn": "hinghe"}


@pytest.fixture
def build(tiny):
    """A function: an untrained run of a small recipe, in which the plugins of this file are known."""

    class Module:
        @staticmethod
        @hookimpl
        def ganrun_components():
            yield Component("variant", "two-games", TwoGames)
            yield Component("variant", "alone", Alone)
            yield Component("variant", "shared", Shared)
            yield Component("variant", "misspelt", Misspelt)

    def make(variant, **parts):
        catalog = Catalog(modules=[*FILES, Module])
        recipe = {key: value for key, value in tiny(**parts).items() if key != "loss" or "loss" in parts}
        return new_run(load_recipe({**recipe, "variant": variant}, catalog=catalog), catalog)

    return make


def names(run):
    """Game -> class of its loss."""
    return {game.name: type(run.experiment.loss(game.name)).__name__ for game in run.experiment.games}


@pytest.mark.parametrize(
    ("name", "real", "fake", "generator"),
    [
        ("reward-real", -0.2 * math.log(math.log(3)), math.log(5), -math.log(5)),
        ("reward-fake", math.log(3), -0.1 * math.log(math.log(5)), 0.1 * math.log(math.log(5))),
    ],
)
def test_the_two_formulas_by_hand(name, real, fake, generator):
    """softplus(log 2) = log 3 on a real sample, softplus(log 4) = log 5 on a fake; alpha = 0.2 and beta = 0.1."""
    loss = Catalog(modules=FILES).load("loss", name).factory()
    streams = [
        Stream(torch.zeros(1, 2), role, output=DiscriminatorOutput(torch.tensor([math.log(odds)], dtype=torch.float64)))
        for role, odds in (("real", 2), ("fake", 4))
    ]
    round = Round(Game("g", "d", "d"), "discriminator", streams)
    assert {s.role: v.item() for s, v in loss.discriminator(round).items()} == pytest.approx(
        {"real": real, "fake": fake}
    )
    assert {s.role: v.item() for s, v in loss.generator(round).items()} == pytest.approx({"fake": generator})


@pytest.mark.parametrize(("name", "weight", "ratio"), [("reward-real", 0.2, 3.0), ("reward-fake", 0.1, 1 / 3)])
def test_the_best_discriminators_are_weighted_ratios_of_densities(name, weight, ratio):
    """At a point with p_data = 3 p_generator: D1 = alpha * 3, D2 = beta / 3, where the slope is 0."""
    loss = Catalog(modules=FILES).load("loss", name).factory()
    best = torch.tensor([math.log(math.expm1(weight * ratio))], dtype=torch.float64, requires_grad=True)
    streams = [Stream(torch.zeros(1, 2), role, output=DiscriminatorOutput(best)) for role in ("real", "fake")]
    values = loss.discriminator(Round(Game("g", "d", "d"), "discriminator", streams))
    total = sum({"real": 0.75, "fake": 0.25}[stream.role] * value.sum() for stream, value in values.items())
    assert torch.autograd.grad(total, best)[0].item() == pytest.approx(0.0, abs=1e-12)


def test_each_discriminator_learns_by_its_own_formula(build):
    run = build("d2gan")
    assert names(run) == {"first": "RewardReal", "second": "RewardFake"}
    seen = {}

    class Tap:
        @hookimpl
        def losses(self, turn):
            for round in turn.rounds:
                assert round.loss is turn.loss(round.game.name)
                logits = {s.role: s.logits.detach() for s in round.streams}
                seen[turn.player, round.game.name] = logits, {n: t.value.item() for n, t in turn.terms.items()}

    run.experiment.hooks.losses._hookexec.__self__.register(Tap())
    run.engine.step(0)
    softplus = torch.nn.functional.softplus
    logits, terms = seen["first", "first"]
    assert terms == pytest.approx(
        {
            "first.real": -0.2 * softplus(logits["real"]).log().mean().item(),
            "first.fake": softplus(logits["fake"]).mean().item(),
        }
    )
    logits, terms = seen["second", "second"]
    assert terms == pytest.approx(
        {
            "second.real": softplus(logits["real"]).mean().item(),
            "second.fake": -0.1 * softplus(logits["fake"]).log().mean().item(),
        }
    )
    first, terms = seen["generator", "first"]
    second, _ = seen["generator", "second"]
    assert terms == pytest.approx(
        {
            "first.fake": -softplus(first["fake"]).mean().item(),
            "second.fake": 0.1 * softplus(second["fake"]).log().mean().item(),
        }
    )


# --- which loss a game is played with -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "encoded", "drawn"),
    [
        (None, "LeastSquares", "Hinge"),
        ("non-saturating", "LeastSquares", "Hinge"),  # what the variant's default says already
        ("wasserstein", "Wasserstein", "Wasserstein"),
        ({"drawn": "wasserstein"}, "LeastSquares", "Wasserstein"),
        ({"drawn": "wasserstein", "others": "minimax"}, "Minimax", "Wasserstein"),
    ],
)
def test_the_recipe_goes_before_what_a_game_proposes(build, loss, encoded, drawn):
    run = build("two-games", **({"loss": loss} if loss else {}))
    assert names(run) == {"encoded": encoded, "drawn": drawn}


def test_what_a_game_proposes_goes_before_the_variants_default(build):
    with pytest.raises(RefusedError, match="it plays a game: drawn, and nothing says"):
        build("alone")
    assert names(build("alone", loss={"drawn": "non-saturating"})) == {
        "encoded": "LeastSquares",
        "drawn": "NonSaturating",
    }


def test_games_without_a_loss_of_their_own_share_one(build):
    run = build("two-games", loss="hinge")
    assert run.experiment.loss("encoded") is run.experiment.loss("drawn")
    assert "loss" in run.experiment.components()
    apart = build("two-games")
    assert [name for name in apart.experiment.components() if "loss" in name] == ["loss.encoded", "loss.drawn"]


def test_parameters_of_a_proposal_are_not_mixed_with_a_recipes(build):
    run = build("d2gan", loss={"first": {"reward-real": {"alpha": 0.5}}})
    assert run.experiment.loss("first").alpha == 0.5
    assert run.experiment.loss("second").beta == 0.1


def test_a_game_that_is_not_there_is_refused_at_its_line(tmp_path, tiny):
    (tmp_path / "a.yaml").write_text("variant: gan\ndataset: ring\nloss:\n  adversarail: hinge\ntrain: {device: cpu}\n")
    with pytest.raises(RefusedError) as caught:
        preflight(load_recipe(tmp_path / "a.yaml", catalog=Catalog()))
    (refused,) = caught.value.refusals
    assert refused.part.endswith("a.yaml:4:3: loss.adversarail")
    assert refused.why == "variant gan plays no such game"
    assert refused.instead == 'did you mean "adversarial"? its games are adversarial'


def test_a_proposal_that_is_no_loss_names_variant_and_game(build):
    with pytest.raises(RecipeError, match=r"variant misspelt, game drawn: loss: no loss .*did you mean \"hinge\""):
        build("misspelt")


def test_a_loss_for_others_that_are_not_there_is_warned_of(build):
    run = build("two-games", loss={"encoded": "hinge", "drawn": "hinge", "others": "minimax"})
    (warning,) = [warning for warning in run.experiment.warnings if warning.part == "loss minimax"]
    assert "every game has a loss of its own" in warning.why
    assert warning.instead == "leave `loss.others` out"


def test_check_says_what_each_game_is_played_with(tiny):
    recipe = {key: value for key, value in tiny(variant="d2gan").items() if key != "loss"}
    rows = dict(check_tables.check(load_recipe(recipe, catalog=Catalog(modules=FILES))))
    assert rows["game first"] == "reward-real, first against generator, judged by first_discriminator"
    assert rows["game second"] == "reward-fake, second against generator, judged by second_discriminator"


def test_what_a_game_proposes_is_among_the_versions_of_a_run(build):
    plugins = versions_of(build("d2gan"))["plugins"]
    assert {"loss.reward-real", "loss.reward-fake"} <= plugins.keys()


# --- a different loss a side: cyclegan, by the recipe alone -------------------------------------------------------


def test_cyclegan_with_a_loss_a_side(make_run, small_cyclegan):
    run = make_run(small_cyclegan(loss={"a": "hinge", "b": "two-class"}))
    interfaces = {name: network.interface for name, network in run.experiment.description.networks.items()}
    assert (interfaces["discriminator_a"].logits, interfaces["discriminator_b"].logits) == (1, 2)
    logits = {}

    class Tap:
        @hookimpl
        def losses(self, turn):
            for round in turn.rounds:
                logits[round.game.name, turn.player] = list(round.streams), dict(turn.terms)

    run.experiment.hooks.losses._hookexec.__self__.register(Tap())
    run.engine.step(0)
    for game, loss in (("a", Hinge()), ("b", TwoClass())):
        streams, terms = logits[game, "generator"]
        (value,) = loss.generator(Round(Game(game, "d", "d"), "generator", streams)).values()
        assert terms[f"{game}.fake"].value.item() == pytest.approx(value.mean().item(), rel=1e-6)


def test_one_loss_written_for_each_game_is_that_loss_to_the_bit(make_run, small_cyclegan):
    one = weights(steps(make_run(small_cyclegan(loss="hinge")), 2))
    each = weights(steps(make_run(small_cyclegan(loss={"a": "hinge", "b": "hinge"})), 2))
    assert not first_difference(one, each)


def test_games_of_one_discriminator_want_equally_many_logits(build):
    with pytest.raises(RefusedError, match="wants 2 logits a sample in the game drawn"):
        build("shared", loss={"encoded": "hinge", "drawn": "two-class"})


# --- what a loss provides holds in its games ----------------------------------------------------------------------


def test_a_trick_needs_a_capability_in_every_game_and_the_refusal_names_the_game(make_run, small_cyclegan):
    with pytest.raises(RefusedError) as caught:
        make_run(small_cyclegan(loss={"a": "hinge", "b": "non-saturating"}, tricks=["label-smoothing"]))
    (refused,) = caught.value.refusals
    assert refused.part == "trick label-smoothing in the game a"
    run = make_run(small_cyclegan(loss={"a": "least-squares", "b": "non-saturating"}, tricks=["label-smoothing"]))
    steps(run, 1)


def test_in_all_games_the_refusal_names_none(make_run, small_cyclegan):
    with pytest.raises(RefusedError) as caught:
        make_run(small_cyclegan(loss={"a": "hinge", "b": "wasserstein"}, tricks=["label-smoothing"]))
    assert [refused.part for refused in caught.value.refusals] == ["trick label-smoothing"]


def test_targets_come_to_the_games_whose_loss_has_some(make_run, small_cyclegan):
    run = make_run(small_cyclegan(loss={"a": "hinge", "b": "least-squares"}))
    found = []

    class Tap:
        @hookimpl
        def targets(self, turn, round):
            found.append(round.game.name)

    run.experiment.hooks.targets._hookexec.__self__.register(Tap())
    run.engine.step(0)
    assert found == ["b"]


def test_real_streams_come_to_the_games_whose_loss_compares(make_run, small_cyclegan):
    run = make_run(small_cyclegan(loss={"a": "relativistic", "b": "hinge"}))
    roles = {}

    class Tap:
        @hookimpl
        def losses(self, turn):
            if turn.player == "generator":
                roles.update({round.game.name: [s.role for s in round.streams] for round in turn.rounds})

    run.experiment.hooks.losses._hookexec.__self__.register(Tap())
    run.engine.step(0)
    assert roles == {"a": ["real", "fake"], "b": ["fake"]}


# --- state, and events of a loss ----------------------------------------------------------------------------------


def test_each_loss_keeps_its_own_state(make_run, small_cyclegan):
    loss = {"a": {"began": {"k": 0.4, "lambda_k": 0.3}}, "b": {"began": {"k": 0.1, "lambda_k": 0.2}}}
    run = steps(make_run(small_cyclegan(loss=loss, discriminator=AUTOENCODER)), 2)
    tensors = {}
    state = checkpoint.unflatten(checkpoint.flatten(run.state_dict(), tensors), tensors)
    (components,) = state["components"]
    assert {label for label in components if label.startswith("loss")} == {"loss.a", "loss.b"}
    assert (set(components["loss.a"]["k"]), set(components["loss.b"]["k"])) == ({"a"}, {"b"})
    again = make_run(small_cyclegan(loss=loss, discriminator=AUTOENCODER))
    again.load_state_dict(state)
    assert not first_difference(weights(steps(run, 1)), weights(steps(again, 1)))


def test_the_margin_of_one_game_leaves_the_other_alone(make_run, small_cyclegan):
    """MAGAN trains its discriminator alone at first. The generator moves all the same, for b has another loss."""
    loss = {"a": {"magan": {"pretrain": 2}}, "others": "ebgan"}
    run = make_run(small_cyclegan(loss=loss, discriminator=AUTOENCODER))
    run.engine.step(0)
    assert "b.fake" in run.engine.terms["generator"]
    assert "a.fake" not in run.engine.terms["generator"]
    assert {name for name in run.engine.terms["discriminator"] if name.endswith("margin")} == {"a.margin"}
