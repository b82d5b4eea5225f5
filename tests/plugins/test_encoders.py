"""Variants with an encoder: autoencoder, vae, bigan, ali, aae, vaegan and veegan, against values worked out by hand."""

import math
from types import SimpleNamespace

import pytest
import torch
from encodings_of import ALL, QUIET, linear, small, taken, weight

from ganrun.evaluation.evaluation import Evaluation
from ganrun.schedule import first_value
from ganrun.testing.runs import samples
from ganrun.training.build import RefusedError
from ganrun.words.spaces import Interface, Refusal, Space
from ganrun_plugins.evaluators.encoding_neighbours import EncodingNeighbours, accuracy, fresh_encoders
from ganrun_plugins.networks.conv_encoder import ConvEncoder
from ganrun_plugins.observers._vitals import Bench
from ganrun_plugins.variants._encoders import divergence, errors, gaussian, normal_likelihood, reparameterised
from ganrun_plugins.variants.aae import AAE
from ganrun_plugins.variants.autoencoder import Autoencoder
from ganrun_plugins.variants.vae import VAE

# --- what they share ------------------------------------------------------------------------------------------


def test_divergence_of_two_normal_distributions_from_the_standard_one():
    """m = (1, 0), v = (1, e^2): (1 + 1 - 1 - 0) / 2 + (e^2 + 0 - 1 - 2) / 2 = (1 + e^2 - 3) / 2; 0 for N(0, I)."""
    mean, log_variance = torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([[0.0, 2.0], [0.0, 0.0]])
    found = divergence(mean, log_variance)
    assert found.tolist() == pytest.approx([(1 + math.e**2 - 3) / 2, 0.0])


def test_a_stochastic_encoding_is_mean_plus_deviation_times_noise_and_differentiable_in_both():
    """v = 9: z = 2 + 3 * 0.5 = 3.5, dz/dm = 1, dz/d log v = 3 * 0.5 / 2."""
    statistics = torch.tensor([[2.0, math.log(9)]], requires_grad=True)
    z = reparameterised(*gaussian(statistics), torch.tensor([[0.5]]))
    z.sum().backward()
    assert z.item() == pytest.approx(3.5)
    assert statistics.grad.tolist()[0] == pytest.approx([1.0, 0.75])


def test_errors_by_hand():
    """made 0.5, real -0.5: 1 and 1; as grey values p = 0.75 and t = 0.25: -(0.25 log 0.75 + 0.75 log 0.25)."""
    made, real = torch.tensor([[0.5]]), torch.tensor([[-0.5]])
    assert errors(made, real, "squared").item() == errors(made, real, "l1").item() == 1
    assert errors(made, real, "cross-entropy").item() == pytest.approx(-(0.25 * math.log(0.75) + 0.75 * math.log(0.25)))
    assert bool(errors(torch.ones(1), -torch.ones(1), "cross-entropy").isfinite()), "where tanh has reached its limit"


def test_the_normal_likelihood_is_torchs():
    made, real = torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(0)), torch.zeros(3, 2, 4)
    expected = -torch.distributions.Normal(made, 0.3).log_prob(real).flatten(1).sum(1)
    assert torch.allclose(normal_likelihood(made, real, 0.3), expected)


@pytest.mark.parametrize("variant", ALL)
def test_reconstructions_are_of_the_test_items_and_encodings_too(make_run, variant):
    """Pair ``rec``: G(E(x)) of the first test items, whatever it samples from; encodings are E(x), or means."""
    run = make_run(small(variant, image=True))
    with run.experiment.settings():
        made, truth = run.evaluation.pairs(6)["rec"]
        z = run.evaluation.inferred("z", n=6)
        x = run.evaluation.real("x", "test", 6)
        encoder, generator = (run.engine.modules[name] for name in ("encoder", "generator"))
        mean = encoder(x.double())[:, :2]
        by_hand = generator(mean)
    assert torch.equal(truth, x)
    assert torch.allclose(z.double(), mean, atol=1e-6)
    assert (made - by_hand).abs().max() < 1 / 127, "256 levels"


@pytest.mark.parametrize("variant", ALL)
def test_sampling_changes_no_order_of_the_data(make_run, variant):
    run = make_run(small(variant, image=True))
    with run.experiment.settings():
        run.engine.step(0)
        before = dict(run.engine.readers.positions)
        run.evaluation.pairs(6)
        run.evaluation.inferred("z", n=6)
        run.evaluation.fakes(n=6)
    assert run.engine.readers.positions == before


def test_health_looks_at_the_encodings_of_the_held_out_items(make_run):
    """A discriminator of pairs would find out at once if held-out samples came with encodings of training samples."""
    assert Bench(make_run(small("bigan", image=True)), 8).depends


# --- no game ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", ["autoencoder", "vae"])
def test_without_a_game_no_loss_and_no_discriminator_are_needed(make_run, variant):
    run = make_run(small(variant))
    assert run.experiment.losses == {}
    assert run.experiment.games == []
    before = [weight(run, name).detach().clone() for name in ("encoder", "generator")]
    run.engine.step(0)
    assert not any(torch.equal(weight(run, name), old) for name, old in zip(("encoder", "generator"), before))


def test_an_autoencoder_minimises_the_mean_error_by_hand(make_run):
    """d mean |x - W V x|^2 / dW = -2 / (B D) sum (x - W V x) (V x)^T."""
    run, seen = make_run(small("autoencoder")), {}
    taken(run, "reconstruction", seen)
    x = seen["real"]["x"]
    encoder, generator = linear(run, "encoder"), linear(run, "generator")
    code = encoder(x)
    by_hand = -2 / x.numel() * (x - generator(code)).T @ code
    assert torch.allclose(generator.weight.grad, by_hand)


def test_an_autoencoder_makes_reconstructions_outside_training(make_run):
    run = make_run(small("autoencoder", image=True))
    with run.experiment.settings():
        assert torch.equal(run.evaluation.fakes(n=5), run.evaluation.pairs(5)["rec"][0])


def elbo(x: float, w: float, sd: float, a: float, v: float) -> float:
    """Minus the terms of the VAE for p(z) = N(0, 1), p(x | z) = N(w z, sd^2), q(z | x) = N(a x, v): the terms' own code
    runs.

    The error is a square in the noise, so its mean over N(0, 1) is its mean over noise of 1 and -1.
    """
    variant = VAE(latent=1, sd=sd)
    statistics = torch.tensor([[a * x, math.log(v)]] * 2, dtype=torch.float64)
    turn = SimpleNamespace(
        phase=SimpleNamespace(name="reconstruction"),
        player="autoencoder",
        real={"x": torch.full((2, 1), x, dtype=torch.float64)},
        made={},
        latents={"noise": torch.tensor([[1.0], [-1.0]], dtype=torch.float64)},
        modules={"encoder": lambda _: statistics, "generator": lambda z: w * z},
        now=first_value,
    )
    variant.make(turn)
    return -sum(float(term.value) * term.weight for term in variant.terms(turn).values())


@pytest.mark.parametrize(("x", "w", "sd"), [(0.7, 1.5, 0.5), (-2.0, 0.3, 1.0)])
def test_the_bound_of_a_linear_vae_is_tight_at_the_true_posterior(x, w, sd):
    """x is N(0, w^2 + sd^2); the posterior has a = w / (w^2 + sd^2), v = sd^2 / (w^2 + sd^2), and there the bound is
    log p(x).
    """
    total = w**2 + sd**2
    evidence = -0.5 * math.log(2 * math.pi * total) - x**2 / (2 * total)
    assert elbo(x, w, sd, w / total, sd**2 / total) == pytest.approx(evidence)


def test_the_bound_of_a_linear_vae_misses_by_the_divergence_from_the_true_posterior():
    """With q = N(0, 1): log p(x) - bound = KL(N(0, 1) || N(a x, v)) = (1 / v + (a x)^2 / v - 1 + log v) / 2."""
    x, w, sd = 0.7, 1.5, 0.5
    total = w**2 + sd**2
    a, v = w / total, sd**2 / total
    evidence = -0.5 * math.log(2 * math.pi * total) - x**2 / (2 * total)
    assert evidence - elbo(x, w, sd, 0.0, 1.0) == pytest.approx((1 / v + (a * x) ** 2 / v - 1 + math.log(v)) / 2)


def test_a_vae_samples_from_the_prior_and_not_from_real_items(make_run):
    run = make_run(small("vae", image=True))
    with run.experiment.settings():
        turn = run.sample_maker.turn(5)
        assert torch.allclose(turn.made["x"], run.engine.modules["generator"](turn.latents["z"]))


def test_the_divergence_of_a_vae_is_weighed_by_beta(make_run):
    run = make_run(small("vae", {"beta": 0.25}))
    turn = taken(run, "reconstruction", {})
    assert {name: term.weight for name, term in turn.terms.items()} == {"reconstruction": 1.0, "divergence": 0.25}


def test_a_vae_warns_of_latents_that_are_not_normal(make_run):
    warned = make_run(small("vae", sampler="uniform")).experiment.warnings
    assert any("pulled to the standard normal distribution" in str(warning) for warning in warned)
    assert not make_run(small("vae")).experiment.warnings


@pytest.mark.parametrize(
    "variant", [Autoencoder(error="cross-entropy"), AAE(error="cross-entropy"), VAE(likelihood="bernoulli")]
)
def test_grey_values_are_refused_for_points(variant):
    with pytest.raises(Refusal, match="without limits|no such limits"):
        variant.describe({"x": Space("points", (2,))})


# --- the encoder and the evaluator ------------------------------------------------------------------------------


def test_the_convolutional_encoder_has_the_layers_of_dcgans_discriminator_and_a_vector_at_its_end():
    """64 pixels, RGB, width 64: 2,765,568 parameters there, without the 512 * 16 of its last layer, with a bias of 64
    on the first, and 512 * 16 * 100 + 100 for the vector."""
    with torch.device("meta"):
        network = ConvEncoder(Interface(takes=Space("image", (3, 64, 64)), makes=Space("latent", (100,))))
    assert sum(p.numel() for p in network.parameters()) == 2_765_568 - 512 * 16 + 64 + 512 * 16 * 100 + 100
    assert network(torch.empty(5, 3, 64, 64, device="meta")).shape == (5, 100)


def test_accuracy_of_the_nearest_neighbour_by_hand():
    """0.1 and 0.9 are next to 0 (class 3) and 1 (class 4), 2.1 to 2 (class 3): two of three are right."""
    train, labels = torch.tensor([[0.0], [1.0], [2.0]]), torch.tensor([3, 4, 3])
    found = accuracy(train, labels, torch.tensor([[0.1], [0.9], [2.1]]), torch.tensor([3, 4, 4]))
    assert found.value == pytest.approx(2 / 3)
    assert found.low < found.value < found.high
    assert math.isnan(accuracy(train, labels, torch.tensor([[math.nan]]), torch.tensor([3])).value)


@pytest.fixture
def scored(make_run):
    """A function: a run of some steps on digits, and the scores of encoding-neighbours."""

    def scores(variant: str, steps: int, **changes):
        run = make_run(small(variant, image=True, evaluators=["encoding-neighbours"], **changes))
        with run.experiment.settings():
            for step in range(steps):
                run.engine.step(step)
            run.evaluation.forget_fakes()
            (evaluator,) = run.experiment.evaluators
            return run, evaluator.evaluate(run.evaluation)

    return scores


def test_encodings_of_an_autoencoder_are_scored_beside_pixels_and_an_untrained_encoder(scored):
    (run, before), (_, after) = (scored("autoencoder", steps) for steps in (0, 3))
    assert set(before) == {"", "pixels", "untrained"}
    assert before["pixels"].value == after["pixels"].value > 0.9
    assert before["untrained"].value == after["untrained"].value, "training does not reach it"
    assert before[""].value != after[""].value
    evaluation: Evaluation = run.evaluation
    (given, truth) = (evaluation.labels(split=split) for split in ("train", "test"))
    by_hand = accuracy(evaluation.inferred("z", "train"), given, evaluation.inferred("z", "test"), truth)
    assert before[""] == by_hand


def test_an_untrained_encoder_has_other_weights_than_training_began_with(make_run):
    run = make_run(small("bigan", image=True))
    (fresh,) = fresh_encoders(run.experiment).values()
    (again,) = fresh_encoders(run.experiment).values()
    assert not torch.equal(next(fresh.parameters()), weight(run, "encoder"))
    assert torch.equal(next(fresh.parameters()), next(again.parameters()))
    assert not fresh.training


def test_without_encodings_or_labels_there_is_nothing_to_score(make_run):
    gan = {
        "variant": "gan",
        "dataset": "ring",
        "evaluators": ["encoding-neighbours"],
        "without": QUIET,
        "train": {"device": "cpu"},
    }
    with pytest.raises(RefusedError, match="infers no encoding 'z'"):
        make_run(gan)
    with pytest.raises(RefusedError, match="infers no encoding 'w'"):
        make_run(small("vae", evaluators=[{"encoding-neighbours": {"of": "w"}}]))
    nameless = SimpleNamespace(
        dataset=SimpleNamespace(spaces={"x": Space("points", (2,))}),
        description=SimpleNamespace(infers={"z": Space("latent", (2,))}),
    )
    with pytest.raises(Refusal, match="items of this data set have none"):
        EncodingNeighbours().build(nameless)


def test_the_checks_sample_a_variant_of_real_items_in_float64(make_run):
    """Its items are kept as float32; the networks of this run are float64."""
    run = make_run(small("autoencoder"))
    assert {name: x.dtype for name, x in samples(run).items()} == {"x": torch.float64}
