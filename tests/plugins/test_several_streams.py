"""Several streams of one role in a game: what a round says of them, and what tricks make of them."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from slopes_of import Linear, Quadratic, close, paid, stand

from ganrun.catalog.catalog import Catalog
from ganrun.experiment.diagnostics import RefusedError
from ganrun.recipe import load_recipe
from ganrun.testing import parametrize_with_checks
from ganrun.testing.runs import new_run, steps
from ganrun.words.game import Game, Round, Stream
from ganrun.words.hooks import hookimpl
from ganrun_plugins.observers._vitals import Bench
from ganrun_plugins.tricks.dragan_penalty import DraganPenalty
from ganrun_plugins.tricks.gradient_penalty import GradientPenalty
from ganrun_plugins.tricks.r1 import R1
from ganrun_plugins.tricks.r2 import R2
from ganrun_plugins.tricks.roth_penalty import RothPenalty
from ganrun_plugins.tricks.zero_centred_penalty import ZeroCentredPenalty

TWO = Path(__file__).parents[1] / "third_party" / "one_file" / "two_generators.py"
CATALOG = Catalog(modules=[TWO])
GAME = Game("adversarial", "discriminator", "discriminator", ["generators"])
HALF = type("Half", (), {"uniform": lambda self, purpose, n, *shape: torch.full((n, *shape), 0.5)})()


@parametrize_with_checks(["variant.two-generators"], modules=[TWO])
def test_contract(plugin, check):
    check(plugin)


# --- what a round says ------------------------------------------------------------------------------------------


def test_the_only_stream_of_a_role_that_has_two_is_an_error_that_names_the_game_and_its_streams():
    streams = [
        Stream(torch.zeros(1, 2), role, name=name) for role, name in (("fake", "a"), ("fake", "b"), ("real", ""))
    ]
    round = Round(GAME, "discriminator", streams)
    with pytest.raises(ValueError, match=r"game 'adversarial' has 2 here \(streams: fake a, fake b, real\)"):
        _ = round.fake
    assert round.real is streams[2]
    with pytest.raises(ValueError, match=r"has 0 here \(streams: none\); round.of\(\"real\"\) gives all"):
        _ = Round(GAME, "generator", []).real


def seen(tiny, plugin_module, look, **parts):
    """Calls ``look(turn)`` in the losses of the first step of the two generators."""

    class Look:
        strength = ""

        @hookimpl
        def losses(self, turn):
            look(turn)

    catalog = Catalog(modules=[TWO, plugin_module({"trick.look": Look})])
    recipe = tiny(variant="two-generators", tricks=["look"], **parts)
    return steps(new_run(load_recipe(recipe, catalog=catalog), catalog), 1)


def test_a_fake_knows_the_entry_that_it_shows_also_where_it_is_detached(tiny, plugin_module):
    found = {}

    def look(turn):
        (round,) = turn.rounds
        found[turn.player] = [(s.entry, torch.equal(s.x, turn.made[s.entry])) for s in round.of("fake")]
        found["real"] = [s.entry for s in turn.streams("adversarial", "real")]

    seen(tiny, plugin_module, look)
    both = [("first", True), ("second", True)]
    assert found == {"discriminator": both, "generators": both, "real": [""]}


def test_fakes_of_other_latents_come_stream_by_stream_and_train_the_generators_on_their_side_alone(tiny, plugin_module):
    found = {}

    def look(turn):
        (round,) = turn.rounds
        z = turn.latents["z"]
        remade = round.remade({"z": z + 1})
        right = [torch.equal(s.x, turn.networks[s.name](z + 1)) for s in remade]
        found[turn.player] = [s.name for s in remade], right, [s.x.requires_grad for s in remade]
        assert [s.output for s in remade] == [None, None]
        assert all(torch.equal(s.latent, z + 1) for s in remade)

    seen(tiny, plugin_module, look)
    names, right = ["first", "second"], [True, True]
    assert found == {"discriminator": (names, right, [False] * 2), "generators": (names, right, [True] * 2)}


def test_a_part_of_a_turn_holds_its_rows_and_reads_the_batch_of_the_turn(tiny, plugin_module):
    def look(turn):
        part = turn.part(slice(2, 5))
        assert part.rows == 3
        for name, x in turn.made.items():
            assert torch.equal(part.made[name], x[2:5])
        assert torch.equal(part.latents["z"], turn.latents["z"][2:5])
        assert torch.equal(part.real["x"], turn.real["x"][2:5])
        assert torch.equal(part.remake({})["first"], turn.networks["first"](turn.latents["z"][2:5]))
        assert turn.rows == 8

    seen(tiny, plugin_module, look)


# --- penalties: the mean over all samples of a role -------------------------------------------------------------


def of_two(discriminator, real, fake, draws=None):
    """A turn whose round has streams of these samples, a list a role."""
    turn = stand(discriminator, real[0], fake[0], draws=draws)
    streams = [Stream(torch.tensor(x), role) for role, found in (("real", real), ("fake", fake)) for x in found]
    turn.rounds = [Round(GAME, "discriminator", streams)]
    return turn


EYE = [[1.0, 0.0], [0.0, 1.0]]  # D(x) = |x|^2 / 2, whose slope at x is x


@pytest.mark.parametrize(("trick", "role"), [(R1, "real"), (R2, "fake")])
def test_r1_and_r2_are_the_mean_over_all_samples_of_all_streams(trick, role):
    """Squared slopes 25, 1 and 4: half their mean is 5, of the first stream alone it would be 12.5."""
    two, one = [[[3.0, 4.0]], [[0.0, 1.0], [0.0, 2.0]]], [[[9.0, 9.0]]]
    turn = of_two(Quadratic(EYE), two if role == "real" else one, two if role == "fake" else one)
    assert paid(trick(gamma=1.0), turn)[0].value.item() == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("trick", "value"),
    [(GradientPenalty(), ((5 - 1) ** 2 + (10 - 1) ** 2) / 2), (ZeroCentredPenalty(), (25 + 100) / 2)],
)
def test_lines_go_from_the_real_stream_to_each_stream_of_fakes(trick, value):
    """Half-way from 0 to (6, 8) and to (12, 16): slopes of norm 5 and 10."""
    turn = of_two(Quadratic(EYE), [[[0.0, 0.0]]], [[[6.0, 8.0]], [[12.0, 16.0]]], draws=HALF)
    assert paid(trick, turn)[0].value.item() == pytest.approx(value)


def test_the_second_real_stream_is_paired_with_the_second_stream_of_fakes():
    """(0, 0) with (6, 8), (2, 0) with (2, 4): half-way (3, 4) and (2, 2), squared norms 25 and 8."""
    turn = of_two(Quadratic(EYE), [[[0.0, 0.0]], [[2.0, 0.0]]], [[[6.0, 8.0]], [[2.0, 4.0]]], draws=HALF)
    assert paid(ZeroCentredPenalty(), turn)[0].value.item() == pytest.approx((25 + 8) / 2)


def test_dragan_goes_around_every_real_stream():
    """Without noise: norms 5 and 1, (16 + 0) / 2."""
    turn = of_two(Quadratic(EYE), [[[3.0, 4.0]], [[0.0, 1.0]]], [[[0.0, 0.0]]])
    assert paid(DraganPenalty(scale=0.0), turn)[0].value.item() == pytest.approx(8.0)


def test_roth_takes_each_role_over_all_its_streams():
    """Slope (3, 4). Real: D = 1/2 and D = 1, so 25 / 4 and 0; fakes: D = 1/2 twice, 25 / 4. Half of 25/8 + 25/4."""
    undecided, certain = [[0.0, 0.0]], [[30.0, 40.0]]
    turn = of_two(Linear([3.0, 4.0]), [undecided, certain], [undecided, undecided])
    assert close(paid(RothPenalty(gamma=1.0), turn)[0].value, (25 / 8 + 25 / 4) / 2)


# --- measurements: the mean over the streams of a role ----------------------------------------------------------


def test_the_score_of_a_sample_is_the_mean_over_the_streams_of_its_game(tiny):
    run = new_run(load_recipe(tiny(variant="two-generators"), catalog=CATALOG), CATALOG)
    turn = run.sample_maker.turn(5)
    judged = {name: run.engine.modules["discriminator"](turn.made[name]).logits for name in ("first", "second")}
    assert not torch.allclose(judged["first"], judged["second"])
    assert torch.allclose(turn.total_score("fake"), (judged["first"] + judged["second"]) / 2)
    (items,) = turn.items("train", "test", 5)
    real = run.engine.modules["discriminator"](items["x"]).logits
    assert torch.allclose(turn.another("test", real=items).total_score("real"), real)


def test_a_real_samples_score_that_depends_on_fakes_sees_those_of_the_turn(tiny):
    """Cramér's f of a real sample is the mean distance to the next fake of either stream, minus |h|."""
    run = new_run(load_recipe(tiny(variant="two-generators", loss="cramer"), catalog=CATALOG), CATALOG)
    (items,) = run.sample_maker.turn(1).items("train", "test", 5)
    turn = run.sample_maker.turn(5).another("test", real=items)
    turn.draw()
    h = {name: run.engine.modules["discriminator"](x).logits for name, x in {**turn.make(), "x": items["x"]}.items()}
    first, second = ((h["x"] - h[name].roll(-1, 0)).norm(dim=1) for name in ("first", "second"))
    assert torch.allclose(turn.total_score("real"), (first + second) / 2 - h["x"].norm(dim=1), atol=1e-6)


class Clipped:
    """Augmentation that leaves no number above 2."""

    strength = ""

    @hookimpl
    def augment(self, turn, call):
        call.x = call.x.clamp(max=2)


def test_health_measures_augmentation_on_every_real_stream():
    """(0, 0) and (2, 2) stay. Of (0, 0) and (4, 4), with a deviation of 2, the second moves to (2, 2): sqrt(8 / 4) / 2,
    and of the variance 4 there is 1 left.
    """
    stays, moves = torch.tensor([[0.0, 0.0], [2.0, 2.0]]), torch.tensor([[0.0, 0.0], [4.0, 4.0]])
    turn = stand(Quadratic(EYE), stays.tolist(), stays.tolist(), tricks=[Clipped()])
    turn._engine.experiment.games = [GAME]
    streams = [Stream(stays, "real"), Stream(moves, "real"), Stream(stays, "fake")]
    turn._engine.variant = SimpleNamespace(streams=lambda turn: {"adversarial": streams})
    found = Bench._augmentation(None, turn)
    assert found["augmented:adversarial"].item() == pytest.approx((0 + 0.5**0.5) / 2)
    assert found["kept:adversarial"].item() == pytest.approx((1 + 1 / 4) / 2)


# --- tricks in runs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trick", "terms"),
    [
        ("mode-seeking", {"mode_seeking_x", "mode_seeking_first", "mode_seeking_second"}),
        ("latent-consistency", {f"latent_consistency_{name}" for name in ("x", "first", "second")}),
    ],
)
def test_samples_of_every_generator_are_compared(tiny, trick, terms):
    recipe = tiny(variant="two-generators", tricks=[trick])
    run = steps(new_run(load_recipe(recipe, catalog=CATALOG), CATALOG), 1)
    assert terms <= set(run.engine.terms["generators"])


IMAGES = {
    "ada",
    "dequantisation",
    "diff-augment",
    "perceptual",
    "total-variation",
}  # what these change or compare are no points


REQUIRED = {"reduce-on-plateau": {"watch": "adversarial.first"}}  # trick -> parameters without a default


@pytest.mark.parametrize("name", sorted(set(CATALOG.names("trick")) - IMAGES))
def test_every_trick_trains_with_two_streams_of_fakes(name, tiny):
    generator = {"mlp": {"widths": [16, 16], "norm": "batch"}}  # some tricks replace the norm
    recipe = tiny(variant="two-generators", generator=generator, tricks=[{name: REQUIRED.get(name, {})}])
    run = steps(new_run(load_recipe(recipe, catalog=CATALOG), CATALOG), 3)
    assert {"adversarial.real", "adversarial.first", "adversarial.second"} <= set(run.engine.terms["discriminator"])
    assert all(bool(value.isfinite()) for terms in run.engine.terms.values() for value in terms.values())


@pytest.mark.parametrize("name", sorted(IMAGES))
def test_tricks_of_images_are_refused_for_points_and_not_for_the_streams(name, tiny):
    with pytest.raises(RefusedError, match=r"image|pixels|compare"):
        new_run(load_recipe(tiny(variant="two-generators", tricks=[name]), catalog=CATALOG), CATALOG)
