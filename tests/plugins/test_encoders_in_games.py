"""The games of bigan, ali, aae, vaegan and veegan, against gradients by hand on linear networks."""

import pytest
import torch
from encodings_of import PLAYERS, linear, small, taken, weight
from torch.nn.functional import logsigmoid, softplus

from ganrun.schedule import Clock, Scheduled
from ganrun.training.build import RefusedError
from ganrun.words.game import DiscriminatorOutput, Game, Round, Stream
from ganrun_plugins.losses.log_ratio import LogRatio
from ganrun_plugins.losses.minimax import Minimax
from ganrun_plugins.losses.non_saturating import NonSaturating
from ganrun_plugins.variants.aae import AAE
from ganrun_plugins.variants.bigan import BiGAN

# --- bigan and ali ----------------------------------------------------------------------------------------------


def test_bigan_swaps_the_labels_for_generator_and_encoder_by_hand(make_run):
    """D(x, z) = a.x + b.z + c. With L = [softplus(l(x, E x)) + softplus(-l(G z, z))] / 2, in means over the batch of B:

    dL/dE = sum s(l_real) b x^T / 2B, and dL/dG = -sum s(-l_fake) a z^T / 2B, s the sigmoid.
    """
    run, seen = make_run(small("bigan", sampler="normal")), {}
    turn = taken(run, "generator", seen)
    x, z = seen["real"]["x"], seen["latents"]["z"]
    encoder, generator, judge = linear(run, "encoder"), linear(run, "generator"), linear(run, "discriminator")
    a, b = judge.weight.detach()[0].split(2)
    real = judge(torch.cat([x, encoder(x)], 1)).squeeze(1)  # (B,)
    fake = judge(torch.cat([generator(z), z], 1)).squeeze(1)
    into_e = torch.outer(b, (torch.sigmoid(real)[:, None] * x).mean(0)) / 2
    into_g = -torch.outer(a, (torch.sigmoid(-fake)[:, None] * z).mean(0)) / 2
    assert torch.allclose(encoder.weight.grad, into_e)
    assert torch.allclose(generator.weight.grad, into_g)
    assert {name: term.weight for name, term in turn.terms.items()} == {
        "adversarial.real": 0.5,
        "adversarial.fake": 0.5,
    }
    # named by the roles that the streams have changed to
    values = {name: term.value.item() for name, term in turn.terms.items()}
    assert values == pytest.approx(
        {"adversarial.fake": softplus(real).mean().item(), "adversarial.real": softplus(-fake).mean().item()}
    )


def test_the_discriminator_of_bigan_sees_a_real_sample_with_its_encoding_and_a_fake_with_its_latent(make_run):
    run, seen = make_run(small("bigan")), {}
    turn = taken(run, "discriminator", seen)
    (round,) = turn.rounds
    (code,), (latent,) = round.real.given, round.fake.given
    assert torch.equal(code, run.engine.modules["encoder"](round.real.x))
    assert torch.equal(run.engine.modules["generator"](latent), round.fake.x)
    assert not code.requires_grad, "cut: in its own turn only the discriminator learns"
    assert turn.terms["adversarial.real"].value.item() == pytest.approx(-logsigmoid(round.real.logits).mean().item())


def test_both_players_of_bigan_use_one_batch_and_the_same_fakes(make_run):
    run, calls = make_run(small("bigan")), []
    for name in ("generator", "encoder"):
        run.engine.modules[name].register_forward_hook(lambda module, x, y, name=name: calls.append((name, x[0])))
    run.engine.step(0)
    assert [name for name, _ in calls] == ["generator", "encoder"]


def test_alis_players_take_their_gradients_before_either_moves(make_run):
    """One graph a step. The generator's gradient is that against the discriminator from before its own update."""
    run, order, calls = make_run(small("ali")), [], []
    take, update = run.engine.take, run.engine.update
    run.engine.take = lambda phase, *rest: (order.append(f"take {phase.player}"), take(phase, *rest))[1]
    run.engine.update = lambda turn: (order.append(f"update {turn.player}"), update(turn))[1]
    for name in ("generator", "encoder"):
        run.engine.modules[name].register_forward_hook(lambda *_, name=name: calls.append(name))
    run.engine.step(0)
    assert order == ["take discriminator", "take generator", "update discriminator", "update generator"]
    assert sorted(calls) == ["encoder", "generator"]


def test_alis_discriminator_sees_a_draw_of_the_encoding(make_run):
    run, seen = make_run(small("ali")), {}
    turn = taken(run, "discriminator", seen)
    (round,) = turn.rounds
    mean, log_variance = run.engine.modules["encoder"](round.real.x).chunk(2, 1)
    (code,) = round.real.given
    assert torch.allclose(code, mean + (log_variance / 2).exp() * seen["latents"]["noise"])
    assert {term.weight for term in turn.terms.values()} == {1.0}


def test_alis_encoder_learns_mean_and_variance_from_the_game(make_run):
    """dL/d mean = s(l) b / B and dL/d log v = dL/d mean * deviation * noise / 2, for the real pairs."""
    run, seen = make_run(small("ali", sampler="normal")), {}
    taken(run, "generator", seen)
    encoder, judge = linear(run, "encoder"), linear(run, "discriminator")
    x, noise = seen["real"]["x"], seen["latents"]["noise"]
    mean, log_variance = encoder(x).detach().chunk(2, 1)
    deviation = (log_variance / 2).exp()
    logits = judge(torch.cat([x, mean + deviation * noise], 1)).squeeze(1)
    b = judge.weight.detach()[0, 2:]
    into_mean = torch.sigmoid(logits)[:, None] * b / len(x)  # (B, Z)
    by_hand = torch.cat([into_mean, into_mean * deviation * noise / 2], 1).sum(0)
    assert torch.allclose(encoder.bias.grad, by_hand)


@pytest.mark.parametrize("variant", ["bigan", "ali"])
def test_reconstruction_is_a_term_of_generator_and_encoder_if_it_has_a_weight(make_run, variant):
    run = make_run(small(variant, {"reconstruction": 3.0}))
    turn = taken(run, "generator", {})
    assert turn.terms["reconstruction"].value.item() == pytest.approx(
        (turn.made["rec"] - turn.real["x"]).square().mean().item()
    )
    assert turn.terms["reconstruction"].weight == 3.0
    assert "reconstruction" not in taken(run, "discriminator", {}).terms


def test_a_perceptual_term_on_bigan_works_with_reconstruction_and_is_warned_of_without(make_run):
    trick = {"perceptual": {"features": "pixels"}}
    with_it = make_run(small("bigan", {"reconstruction": 1.0}, image=True, tricks=[trick]))
    assert "rec.perceptual" in taken(with_it, "generator", {}).terms
    assert not with_it.experiment.warnings
    without = make_run(small("bigan", image=True, tricks=[trick]))
    assert "rec.perceptual" not in taken(without, "generator", {}).terms
    assert any("nothing is reconstructed" in str(warning) for warning in without.experiment.warnings)


@pytest.mark.parametrize("variant", ["bigan", "ali", "veegan"])
def test_a_replay_buffer_is_refused_where_the_discriminator_sees_latents(make_run, variant):
    with pytest.raises(RefusedError, match="replay-buffer"):
        make_run(small(variant, tricks=["replay-buffer"]))


@pytest.mark.parametrize("variant", ["bigan", "ali", "veegan"])
def test_a_lazy_penalty_finds_an_encoding_beside_the_real_samples(make_run, variant):
    """In its phase nothing was made and no latent was drawn."""
    run = make_run(small(variant, tricks=[{"r1": {"every": 2}}]))
    run.engine.step(0)
    assert set(run.engine.terms) == {"discriminator", "discriminator.r1", "generator"}


def test_a_schedule_of_the_reconstruction_counts_as_a_weight():
    assert BiGAN(reconstruction=Scheduled({"linear": [0, 1]})).reconstructs
    assert not BiGAN().reconstructs


# --- aae --------------------------------------------------------------------------------------------------------


def test_the_phases_of_aae_move_their_own_networks_alone(make_run):
    run = make_run(small("aae"))
    moved = {}
    for phase in run.experiment.phases:
        before = {name: weight(run, name).detach().clone() for name in run.engine.modules}
        run.engine.update(taken(run, phase.name, {}))
        moved[phase.name] = {name for name, old in before.items() if not torch.equal(weight(run, name), old)}
    assert moved == {
        "reconstruction": {"encoder", "generator"},
        "discriminator": {"discriminator"},
        "encoder": {"encoder"},
    }


def test_aaes_discriminator_tells_the_prior_from_encodings_and_the_encoder_fools_it(make_run):
    """On latents: real is 5 times the sampler's draw, fake the encoding; dL/dE = -sum s(-l) w x^T / B with D(z) = w.z +
    c.
    """
    run, seen = make_run(small("aae")), {}
    (round,) = taken(run, "discriminator", seen).rounds
    assert torch.equal(round.real.x, 5 * seen["latents"]["z"])
    assert torch.equal(round.fake.x, run.engine.modules["encoder"](seen["real"]["x"]))
    turn = taken(run, "encoder", seen)
    encoder, judge, x = linear(run, "encoder"), linear(run, "discriminator"), seen["real"]["x"]
    pull = torch.sigmoid(-judge(encoder(x)).squeeze(1))  # (B,)
    by_hand = -torch.outer(judge.weight.detach()[0], (pull[:, None] * x).mean(0))
    assert torch.allclose(encoder.weight.grad, by_hand)
    assert set(turn.terms) == {"prior.fake"}


def test_aae_reconstructs_without_the_game(make_run):
    turn = taken(make_run(small("aae")), "reconstruction", {})
    assert turn.rounds == []
    assert set(turn.terms) == {"reconstruction"}


def test_aaes_encoder_has_an_optimiser_in_each_of_its_players(make_run):
    recipe = small("aae")
    del recipe["players"]
    run = make_run(recipe)
    rates = {
        name: (o.param_groups[0]["lr"], o.param_groups[0]["momentum"]) for name, o in run.engine.optimizers.items()
    }
    assert rates == {"autoencoder": (0.01, 0.9), "discriminator": (0.1, 0.1), "encoder": (0.1, 0.1)}
    encoder = {id(p) for p in run.engine.modules["encoder"].parameters()}
    assert all(encoder <= {id(p) for p in run.engine.parameters[name]} for name in ("autoencoder", "encoder"))


def test_aaes_rates_fall_to_a_tenth_and_a_hundredth():
    """From epochs 50 and 1000 on, of 600 steps each: 0.01 and 0.1 become 0.001 and 0.01, then 0.0001 and 0.001."""
    clock = Clock(total=3_000_000, batch=100, dataset=60_000)
    schedules = [Scheduled(AAE.defaults["players"][p]["optimizer"]["sgd"]["lr"]) for p in ("autoencoder", "encoder")]
    for step, rates in ((29_999, [0.01, 0.1]), (30_000, [0.001, 0.01]), (600_000, [0.0001, 0.001])):
        assert [schedule.at(step, clock) for schedule in schedules] == pytest.approx(rates)


def test_aae_decodes_draws_of_its_prior(make_run):
    run = make_run(small("aae", {"sd": 2.0}, image=True))
    with run.experiment.settings():
        turn = run.sample_maker.turn(5)
        assert torch.allclose(turn.made["x"], run.engine.modules["generator"](2 * turn.latents["z"]))


@pytest.mark.parametrize("trick", ["mode-seeking", "latent-consistency", "metropolis-hastings"])
def test_aae_refuses_what_compares_or_judges_samples_of_latents(make_run, trick):
    """The player that the game is played against makes none, and the discriminator takes latents: what these tricks ask
    for is not there.
    """
    with pytest.raises(RefusedError, match="no sample of a latent"):
        make_run(small("aae", image=True, tricks=[trick]))
    run = make_run(small("aae", image=True))
    assert "x" not in taken(run, "encoder", {}).made
    assert run.experiment.description.networks["discriminator"].interface.takes.kind == "latent"


# --- vaegan -----------------------------------------------------------------------------------------------------


def test_vaegans_three_players_minimise_what_algorithm_1_says(make_run):
    run = make_run(small("vaegan", {"gamma": 0.25, "beta": 2.0}))
    terms = {name: {k: t.weight for k, t in taken(run, name, {}).terms.items()} for name in PLAYERS["vaegan"]}
    assert terms == {
        "encoder": {"similarity": 1.0, "divergence": 2.0},
        "generator": {"adversarial.sample": 1.0, "adversarial.reconstruction": 1.0, "similarity": 0.25},
        "discriminator": {"adversarial.real": 1.0, "adversarial.sample": 1.0, "adversarial.reconstruction": 1.0},
    }


def test_vaegan_compares_by_the_hidden_layer_of_the_discriminator(make_run):
    """Half the squared distance of the activations, summed over them, a mean over the batch; gradients reach the
    encoder alone.
    """
    run = make_run(small("vaegan"))
    turn = taken(run, "encoder", {})
    hidden = run.engine.modules["discriminator"].hidden[0]
    by_hand = 0.5 * (hidden(turn.real["x"]) - hidden(turn.made["rec"])).square().sum(1).mean()
    assert turn.terms["similarity"].value.item() == pytest.approx(by_hand.item())
    assert all(parameter.grad is not None for parameter in run.engine.modules["encoder"].parameters())
    assert weight(run, "generator").grad is None
    assert weight(run, "discriminator").grad is None


def test_vaegans_encoder_sends_nothing_through_the_game(make_run):
    (round,) = taken(make_run(small("vaegan")), "encoder", {}).rounds
    assert round.side == "watcher"
    assert round.streams == []


# --- veegan -----------------------------------------------------------------------------------------------------


def test_the_log_ratio_is_minus_the_logit_the_sum_of_minimax_and_non_saturating():
    logits = torch.tensor([-3.0, 0.0, 2.0])
    stream = Stream(torch.zeros(3, 2), "fake", output=DiscriminatorOutput(logits))
    round = Round(Game("adversarial", "discriminator", "discriminator", ["generator"]), "generator", [stream])
    found, one, other = (loss.generator(round)[stream] for loss in (LogRatio(), Minimax(), NonSaturating()))
    assert torch.equal(found, -logits)
    assert torch.allclose(found, one + other)


def test_veegans_generator_and_reconstructor_by_hand(make_run):
    """l = a.G(z) + b.z + c.

    With r = F(G z) - z: dL/dG = (-a + 2 w F^T r) z^T and dL/dF = 2 w r (G z)^T, means over the batch.
    """
    w = 0.7
    run, seen = make_run(small("veegan", {"reconstruction": w})), {}
    taken(run, "generator", seen)
    z = seen["latents"]["z"]
    encoder, generator, judge = linear(run, "encoder"), linear(run, "generator"), linear(run, "discriminator")
    made = generator(z).detach()
    rest = (encoder(made) - z).detach()  # (B, Z)
    a = judge.weight.detach()[0, :2]
    into_g = ((-a + 2 * w * rest @ encoder.weight.detach())[:, :, None] * z[:, None, :]).mean(0)
    into_f = 2 * w * (rest[:, :, None] * made[:, None, :]).mean(0)
    assert torch.allclose(generator.weight.grad, into_g)
    assert torch.allclose(encoder.weight.grad, into_f)


def test_veegans_reconstructor_learns_nothing_from_the_discriminator(make_run):
    """Whatever the discriminator says, F's gradient is the same; without the error it has none."""
    gradients = []
    for factor in (1.0, -20.0):
        run = make_run(small("veegan"))
        with torch.no_grad():
            weight(run, "discriminator").mul_(factor)
        taken(run, "generator", {})
        gradients.append(weight(run, "encoder").grad)
    assert torch.equal(*gradients)
    run = make_run(small("veegan", {"reconstruction": 0.0}))
    taken(run, "generator", {})
    assert not weight(run, "encoder").grad.any()


def test_veegan_moves_fakes_to_where_the_logit_is_higher_and_the_discriminator_raises_it_on_real_pairs(make_run):
    """Our logit is minus the paper's D: (z, G(z)) has the label 0 here, 1 there, and its generator minimises +D."""
    run, seen = make_run(small("veegan", {"reconstruction": 0.0})), {}
    judge = linear(run, "discriminator")
    a = judge.weight.detach()[0, :2].clone()
    turn = taken(run, "generator", seen)
    before = seen["made"]["x"].detach() @ a
    run.engine.update(turn)
    after = run.engine.modules["generator"](seen["latents"]["z"]) @ a
    assert after.mean() > before.mean()
    turn = taken(run, "discriminator", seen)
    (round,) = turn.rounds
    run.engine.update(turn)
    margin = (round.real.logits.mean() - round.fake.logits.mean()).item()
    outputs = [run.engine.modules["discriminator"](s.x, *s.given).logits.mean() for s in (round.real, round.fake)]
    assert (outputs[0] - outputs[1]).item() > margin
