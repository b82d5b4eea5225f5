"""Presets in runs: whose move it is, warm-ups, simultaneous updates, and what else each does otherwise."""

import pytest
import torch
from examples import EXAMPLES
from torch import nn

from ganrun.catalog.catalog import Catalog
from ganrun.randomness import Draws
from ganrun.recipe import load_recipe
from ganrun.words.hooks import hookimpl
from ganrun_plugins.variants.gan import GAN

QUIET = ["progress", "samples", "metrics-log", "health", "checkpoints"]


@pytest.fixture(scope="module")
def catalog():
    return Catalog()


def small(variant: str, *, tricks=(), players=None, **parameters) -> dict:
    """The tiny recipe in which the variant is tried."""
    example = EXAMPLES[f"variant.{variant}"]
    points = {"dataset": {"ring": {"count": 512}}}
    recipe = {"variant": {variant: {**example.parameters, **parameters}}, **points, **example.recipe, "without": QUIET}
    recipe |= {"tricks": list(tricks)} | ({"players": players} if players else {})
    return {**recipe, "train": {"steps": 20, "batch_size": 8, "device": "cpu"}}


class Witness:
    """Notes of every turn: player, phase, latents, what was made, rows the discriminator saw."""

    def __init__(self) -> None:
        self.turns = []
        self.updates = []

    @hookimpl(trylast=True)
    def losses(self, turn):
        (round,) = turn.rounds
        seen = {stream.role: stream.x.detach().clone() for stream in round.streams}
        self.turns.append((turn.player, turn.latents["z"].clone(), turn.made["x"].detach().clone(), seen))

    @hookimpl
    def updated(self, turn):
        self.updates.append(turn.player)


def watched(make_run, recipe: dict, steps: int):
    """The witness of some steps, and the run."""
    run = make_run({**recipe, "tricks": [*recipe["tricks"], "witness"]}, {"trick.witness": Witness})
    for step in range(steps):
        run.engine.step(step)
    return next(trick for trick in run.experiment.tricks if isinstance(trick, Witness)), run


# --- whose move it is -------------------------------------------------------------------------------------------


def test_the_discriminator_moves_first_unless_the_generator_is_to():
    from ganrun.words.spaces import Space

    spaces = {"x": Space("points", (2,))}
    assert [phase.name for phase in GAN().describe(spaces).phases] == ["discriminator", "generator"]
    assert [phase.name for phase in GAN(first="generator").describe(spaces).phases] == ["generator", "discriminator"]
    assert GAN(first="generator").describe(spaces).reuse_fakes


def test_first_generator_lets_the_discriminator_learn_from_the_fakes_made_before_the_move(make_run, tiny):
    recipe = tiny(
        variant={"gan": {"latent": 4, "first": "generator"}}, players={"generator": {"updates": 2}}, tricks=[]
    )
    witness, _ = watched(make_run, recipe, 1)
    assert witness.updates == ["generator", "generator", "discriminator"]
    (_, z1, _, _), (_, z2, second, _), (_, z3, _, seen) = witness.turns
    assert not torch.equal(z1, z2), "each update of the generator has latents of its own"
    assert torch.equal(z2, z3)
    assert torch.equal(seen["fake"], second), "made before the generator's second update, although judged behind it"


def test_the_game_is_the_same_to_the_bit_with_the_default_spelled_out(make_run, tiny):
    ends = []
    for parameters in ({"latent": 4}, {"latent": 4, "first": "discriminator"}):
        _, run = watched(make_run, tiny(variant={"gan": parameters}, tricks=[]), 3)
        ends.append([p.detach().clone() for module in run.experiment.modules.values() for p in module.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*ends))


@pytest.mark.parametrize("variant", ["sngan", "wgan-gp"])
def test_the_generators_turns_have_twice_as_many_fakes_of_their_own(make_run, variant):
    witness, _ = watched(make_run, small(variant), 1)
    players = ["discriminator"] * 5
    assert witness.updates == (["generator", *players] if variant == "sngan" else [*players, "generator"])
    rows = {
        player: {len(seen["fake"]) for who, _, _, seen in witness.turns if who == player}
        for player in ("discriminator", "generator")
    }
    assert rows == {"discriminator": {8}, "generator": {16}}
    latents = torch.cat([z for _, z, _, _ in witness.turns])
    assert len(latents) == 5 * 8 + 16
    assert len(latents.unique(dim=0)) == len(latents), "no latent serves twice, within a turn or between turns"


def test_as_many_fakes_as_real_samples_are_a_parameter(make_run):
    witness, _ = watched(make_run, small("wgan-gp", generator_batch=1), 1)
    assert {len(seen["fake"]) for _, _, _, seen in witness.turns} == {8}


# --- WGAN -------------------------------------------------------------------------------------------------------


def updates(run, step: int) -> dict[str, int]:
    """How often each player is updated in a step."""
    turns = [phase.player for group in run.engine.groups(step) for phase, _ in group]
    return {player: turns.count(player) for player in ("discriminator", "generator")}


def test_the_discriminator_is_updated_100_times_in_the_first_25_steps_and_every_500th(make_run):
    run = make_run(small("wgan", warm_up=100))
    counted = [updates(run, step) for step in range(26)]
    assert [c["discriminator"] for c in counted] == [100] * 25 + [5]
    assert sum(c["discriminator"] for c in counted) == 2505
    assert {c["generator"] for c in counted} == {1}
    assert [updates(run, step)["discriminator"] for step in (499, 500, 501, 1000)] == [5, 100, 5, 100]


@pytest.mark.parametrize(("warm_up", "usual", "warm"), [(100, 7, 100), (0, 5, 5), (3, 5, 5), (1, 1, 1)])
def test_the_warm_up_counts_the_usual_updates(make_run, warm_up, usual, warm):
    run = make_run(small("wgan", warm_up=warm_up, players={"discriminator": {"updates": usual}}))
    assert updates(run, 0) == {"discriminator": warm, "generator": 1}
    assert updates(run, 25) == {"discriminator": usual, "generator": 1}


def test_every_update_of_the_warm_up_happens_on_latents_of_its_own_and_is_clipped(make_run):
    witness, run = watched(make_run, small("wgan", warm_up=7), 1)
    assert witness.updates == ["discriminator"] * 7 + ["generator"]
    latents = torch.cat([z for _, z, _, _ in witness.turns])
    assert len(latents.unique(dim=0)) == 8 * 8
    weights = torch.cat([p.detach().flatten() for p in run.experiment.modules["discriminator"].parameters()])
    assert float(weights.abs().max()) == pytest.approx(0.01)


# --- BEGAN ------------------------------------------------------------------------------------------------------


def test_began_takes_both_gradients_before_either_update(make_run):
    events = []

    class Order:
        @hookimpl
        def losses(self, turn):
            events.append(("losses", turn.player))

        @hookimpl
        def updated(self, turn):
            events.append(("updated", turn.player))

    run = make_run(small("began", tricks=["order"]), {"trick.order": Order})
    run.engine.step(0)
    assert events == [
        ("losses", "discriminator"),
        ("losses", "generator"),
        ("updated", "discriminator"),
        ("updated", "generator"),
    ]


def test_began_follows_a_loop_written_by_hand(make_run):
    """One graph for both players: D minimises L(x) - k L(G(z)), G minimises L(G(z)) at the same weights of D, then k
    moves.
    """
    recipe = small("began", players={p: {"optimizer": {"sgd": {"lr": 0.5}}} for p in ("generator", "discriminator")})
    recipe["loss"] = {"began": {"k": 0.3, "lambda_k": 0.1, "gamma": 0.5}}
    recipe["train"] |= {"precision": "float64"}
    run, twin = make_run(recipe), make_run(recipe)
    with run.experiment.settings():
        for step in range(3):
            run.engine.step(step)
        k = by_hand_began(twin, 3)
    for name, module in run.experiment.modules.items():
        for (key, found), expected in zip(
            module.state_dict().items(), twin.experiment.modules[name].state_dict().values()
        ):
            assert torch.allclose(found, expected, rtol=0, atol=1e-10), f"{name}.{key}"
    assert float(run.experiment.loss("adversarial").k["adversarial"]) == pytest.approx(k, abs=1e-6)


def by_hand_began(twin, steps: int) -> float:
    """Train the networks of a run, and return k."""
    generator, discriminator = twin.experiment.modules["generator"], twin.experiment.modules["discriminator"]
    reader, k = twin.experiment.reader("discriminator", 8), 0.3
    for step in range(steps):
        x = reader.get(8, 0, 1)["x"].double()
        reader.advance(8)
        z = Draws((0, 0, step, "discriminator", 0)).uniform("z", 8, 4).double() * 2 - 1
        fake = generator(z)
        real_error, fake_error = discriminator(x).logits.mean(), discriminator(fake).logits.mean()
        of_d = torch.autograd.grad(real_error - k * fake_error, list(discriminator.parameters()), retain_graph=True)
        of_g = torch.autograd.grad(fake_error, list(generator.parameters()))
        descend(discriminator, of_d)
        descend(generator, of_g)
        k = min(max(k + 0.1 * float(0.5 * real_error.detach() - fake_error.detach()), 0.0), 1.0)
    return k


def descend(module: nn.Module, gradients) -> None:
    with torch.no_grad():
        for parameter, gradient in zip(module.parameters(), gradients):
            parameter -= 0.5 * gradient


# --- others -----------------------------------------------------------------------------------------------------


def test_unrolled_starts_from_orthogonal_weights_and_leaves_the_discriminator_one_plain_step(make_run):
    """Gain 1.4: the columns of the first layer (8, 2) have squared length 1.96 and are at right angles."""
    run = make_run(small("unrolled"))
    weight = run.experiment.modules["discriminator"].hidden[0][0].weight.detach()
    assert torch.allclose(weight.T @ weight, 1.96 * torch.eye(2), atol=1e-5)
    witness, run = watched(make_run, small("unrolled"), 2)
    assert witness.updates == ["generator", "discriminator"] * 2
    states = run.engine.optimizers["discriminator"].state.values()
    assert {int(state["step"]) for state in states} == {2}, "five steps ahead each time, one made"
    assert set(run.engine.terms["generator"]) == {"adversarial.saddle"}


def test_the_discriminator_of_pacgan_sees_two_samples_at_once(make_run):
    run = make_run(small("pacgan"))
    alone = make_run({**small("pacgan"), "without": [*QUIET, "packing"]})
    first, single = (r.experiment.modules["discriminator"].main[0].weight.shape for r in (run, alone))
    assert (first[1], single[1]) == (2, 1), "channels of the first layer, and nothing else"
    assert [p.shape for p in run.experiment.modules["generator"].parameters()] == [
        p.shape for p in alone.experiment.modules["generator"].parameters()
    ]


def test_the_generator_of_ragan_sees_real_samples_that_the_discriminator_has_not_just_seen(make_run):
    witness, _ = watched(make_run, small("ragan"), 1)
    (_, _, _, first), (_, _, _, second) = witness.turns
    assert not torch.equal(first["real"], second["real"])


def test_magan_trains_with_adamax(catalog):
    recipe = load_recipe({"variant": "magan", "dataset": {"digits": {"size": 32}}}, catalog=catalog)
    assert {player.optimizer.name for player in recipe.players.values()} == {"adamax"}


def test_magan_trains_the_discriminator_alone_first(make_run):
    recipe = small("magan")
    recipe["loss"] = {"magan": {"pretrain": 2}}
    witness, _ = watched(make_run, recipe, 3)
    assert witness.updates == ["discriminator", "discriminator", "discriminator", "generator"]
