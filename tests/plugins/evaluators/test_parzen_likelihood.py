"""Parzen windows: densities worked by hand, torch's own mixture, the choice of the width, degenerate sets, and runs."""

import math

import pytest
import torch

from ganrun.errors import UserError
from ganrun.training.build import RefusedError
from ganrun.training.scoring import evaluate
from ganrun_plugins.evaluators import parzen_likelihood as module
from ganrun_plugins.evaluators.parzen_likelihood import best_sigma, candidates, log_densities, parzen_likelihood, scaled


def drawn(n, d, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def test_one_fake_is_a_gaussian_around_it():
    """At distance 3 with sigma 2 in 2 dimensions: -9/8 - log(2 pi 4)."""
    score = parzen_likelihood(torch.tensor([[1.0, 4.0]]), torch.tensor([[1.0, 1.0]]), 2.0)
    assert score.value == pytest.approx(-9 / 8 - math.log(8 * math.pi), rel=1e-12)
    assert score.low is None


def test_two_fakes_are_half_of_each():
    """A test sample on one of two fakes that are 2 apart, sigma 1, one dimension: log((1 + exp(-2)) / 2) - log(2 pi) /
    2.
    """
    score = parzen_likelihood(torch.tensor([[0.0]]), torch.tensor([[0.0], [2.0]]), 1.0)
    assert score.value == pytest.approx(math.log((1 + math.exp(-2)) / 2) - math.log(2 * math.pi) / 2, rel=1e-12)


@pytest.mark.parametrize(("n", "d", "sigma"), [(40, 3, 0.3), (7, 100, 0.2), (100, 1, 1.0)])
def test_the_likelihood_agrees_with_the_mixture_of_torch_distributions(n, d, sigma):
    from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

    fake, x = drawn(n, d).double(), drawn(30, d, seed=1).double()
    mixture = MixtureSameFamily(Categorical(logits=torch.zeros(n).double()), Independent(Normal(fake, sigma), 1))
    assert torch.allclose(log_densities(x, fake, [sigma])[0], mixture.log_prob(x), rtol=1e-10)


def test_the_likelihood_is_a_density():
    """In one dimension it integrates to 1, whatever the width."""
    line = torch.linspace(-12, 12, 4001, dtype=torch.float64)[:, None]
    for density in log_densities(line, drawn(20, 1), [0.1, 0.5, 1.0]).exp():
        assert float(torch.trapezoid(density, line[:, 0])) == pytest.approx(1, abs=1e-6)


def test_the_interval_is_1_96_standard_errors_over_test_samples():
    """Four samples at 0, 0, 2, 2 of one fake at 0, sigma 1: values c, c, c - 2, c - 2, whose deviation (n - 1) is
    sqrt(4/3).
    """
    score = parzen_likelihood(torch.tensor([[0.0], [0.0], [2.0], [2.0]]), torch.tensor([[0.0]]), 1.0)
    assert score.value == pytest.approx(-1 - math.log(2 * math.pi) / 2)
    assert (score.high - score.low) / 2 == pytest.approx(1.96 * math.sqrt(4 / 3) / 2, rel=1e-4)
    assert "test samples" in score.method


def test_blocks_of_rows_and_columns_change_nothing(monkeypatch):
    x, fake = drawn(23, 6), drawn(41, 6, seed=1)
    whole = log_densities(x, fake, [0.2, 0.7])
    monkeypatch.setattr(module, "BLOCK", 60)  # 1 row of x against 41 fakes, 10 fakes at a time
    assert torch.allclose(log_densities(x, fake, [0.2, 0.7]), whole, rtol=1e-12)


def test_far_from_0_no_digits_are_lost():
    """Squares of numbers near 1000 in float64 with distances of 0.01 between them: the middle is taken off first."""
    x, fake = drawn(20, 4).double() / 100, drawn(30, 4, seed=1).double() / 100
    far = log_densities(x + 1024, fake + 1024, [0.005])
    exact = log_densities((x + 1024) - 1024, (fake + 1024) - 1024, [0.005])
    assert torch.allclose(far, exact, rtol=1e-9)


def test_far_from_every_fake_the_likelihood_is_small_and_not_minus_infinity():
    """exp(-5000) is 0 in float64; its logarithm is not."""
    score = parzen_likelihood(torch.tensor([[10.0]]), torch.tensor([[0.0], [0.0]]), 0.1)
    assert score.value == pytest.approx(-5000 - math.log(0.1) - math.log(2 * math.pi) / 2)


def test_the_candidates_are_those_of_the_published_protocol():
    assert candidates(0.1, 1.0, 10) == pytest.approx(torch.logspace(-1, 0, 10, dtype=torch.float64).tolist())
    assert candidates(0.1, 1.0, 1) == [0.1]


def test_the_width_is_the_likeliest_one():
    """One fake at 0: the Gaussian that fits samples at +-0.5 best has sigma 0.5."""
    held = torch.tensor([[0.5], [-0.5]])
    assert best_sigma(held, torch.zeros(1, 1), [0.1, 0.3, 0.5, 0.7]) == 0.5
    assert best_sigma(held, torch.zeros(1, 1), [0.7]) == 0.7


def test_memorised_samples_choose_the_narrowest_window_and_others_do_not():
    """Samples to choose on that are among the fakes: the trap of choosing on what was trained on."""
    fake = drawn(200, 2)
    assert best_sigma(fake[:50], fake, candidates(0.01, 1.0, 5)) == 0.01
    assert best_sigma(drawn(50, 2, seed=1), fake, candidates(0.01, 1.0, 5)) > 0.1


def test_more_fakes_of_one_generator_score_higher():
    """So only equal numbers compare."""
    x = drawn(300, 8)
    few, many = (parzen_likelihood(x, drawn(n, 8, seed=1), 0.3).value for n in (50, 5000))
    assert many > few + 1


def test_images_are_scored_in_pixels_from_0_to_1_and_points_as_they_are():
    x = torch.tensor([[[[-1.0, 0.0], [1.0, 0.5]]]])
    assert scaled(x, image=True).tolist() == [[0.0, 0.5, 1.0, 0.75]]
    assert scaled(torch.tensor([[-3.0, 7.0]]), image=False).tolist() == [[-3.0, 7.0]]


def test_samples_are_flattened():
    x, fake = drawn(4, 12).reshape(4, 3, 2, 2), drawn(5, 12, seed=1).reshape(5, 3, 2, 2)
    assert parzen_likelihood(x, fake, 0.5).value == pytest.approx(
        parzen_likelihood(x.flatten(1), fake.flatten(1), 0.5).value
    )


@pytest.mark.parametrize(
    "call", [lambda real, fake: parzen_likelihood(real, fake, 0.5), lambda real, fake: best_sigma(real, fake, [0.5])]
)
def test_sets_that_cannot_be_scored_are_refused(call):
    x = torch.zeros(4, 3)
    bad = torch.where(torch.arange(4)[:, None] == 2, math.inf, x)
    for real, fake, message in (
        (torch.zeros(0, 3), x, "the real set holds no sample"),
        (x, torch.zeros(0, 3), "the set of fakes holds no sample"),
        (x, torch.zeros(4, 2), "samples of 3 and 2 numbers"),
        (bad, x, "1 of the 4 samples of the real set"),
        (x, bad, "1 of the 4 samples of the set of fakes"),
    ):
        with pytest.raises(UserError, match=message):
            call(real, fake)


@pytest.mark.parametrize("sigma", [0.0, -1.0, math.nan, math.inf])
def test_a_width_that_is_not_positive_is_refused(sigma):
    with pytest.raises(UserError, match="a width above 0"):
        parzen_likelihood(torch.zeros(2, 1), torch.zeros(2, 1), sigma)


# --- in a run ---------------------------------------------------------------------------------------------------


def scores(run):
    run.step = run.steps
    return evaluate(run)


def test_digits_are_scored_on_pixels_from_0_to_1(tiny, make_run):
    evaluators = [{"parzen-likelihood": {"samples": 50, "validation": 20, "test": 30, "candidates": 3}}]
    run = make_run(tiny(variant={"dcgan": {"latent": 4}}, dataset={"digits": {"size": 16}}, evaluators=evaluators))
    found = scores(run)
    fake = (run.evaluation.fakes(n=50).flatten(1) + 1) / 2
    held = (run.evaluation.real(split="train", n=20).flatten(1) + 1) / 2
    test = (run.evaluation.real(n=30).flatten(1) + 1) / 2
    sigma = best_sigma(held, fake, [0.1, math.sqrt(0.1), 1.0])
    assert set(found) == {"parzen-likelihood", "parzen-likelihood.sigma"}
    assert found["parzen-likelihood.sigma"] == pytest.approx(sigma)
    assert found["parzen-likelihood"] == pytest.approx(parzen_likelihood(test, fake, sigma).value)


def test_points_are_scored_as_they_are_with_candidates_of_the_recipe(tiny, make_run):
    evaluators = [{"parzen-likelihood": {"samples": 200, "smallest": 0.5, "largest": 0.5, "candidates": 1}}]
    run = make_run(tiny(evaluators=evaluators))
    found = scores(run)
    want = parzen_likelihood(run.evaluation.real(), run.evaluation.fakes(n=200), 0.5)
    assert found == {"parzen-likelihood": pytest.approx(want.value), "parzen-likelihood.sigma": 0.5}


def test_the_likelihood_takes_10_000_fakes_unless_told_otherwise(tiny, make_run):
    for extra, n in (({}, 10_000), ({"samples": 30}, 30)):
        run = make_run(tiny(evaluators=[{"parzen-likelihood": {**extra, "validation": 5, "test": 5}}]))
        scores(run)
        assert run.evaluation.requested.fakes == {n}
        assert {split: used["samples"] for split, used in run.evaluation.requested.real.items()} == {
            "train": 5,
            "test": 5,
        }


def test_translations_are_as_many_as_there_are_items_and_named_after_their_output(make_run):
    recipe = {
        "variant": "cyclegan",
        "dataset": {"restyled-digits": {"size": 8}},
        "generator": {"mlp": {"widths": [8]}},
        "discriminator": {"mlp": {"widths": [8]}},
        "evaluators": [{"parzen-likelihood": {"of": "a", "test": 20, "validation": 20}}],
        "without": ["progress", "samples", "metrics-log", "checkpoints", "replay-buffer"],
        "train": {"steps": 2, "batch_size": 4, "device": "cpu"},
    }
    run = make_run(recipe)
    found = scores(run)
    assert set(found) == {"parzen-likelihood.a", "parzen-likelihood.a.sigma"}
    assert run.evaluation.requested.fakes == {len(run.dataset("test"))}


def test_fakes_that_are_not_finite_score_nan_and_end_no_run(tiny, make_run):
    run = make_run(tiny(evaluators=[{"parzen-likelihood": {"samples": 20}}]))
    with torch.no_grad():
        next(run.engine.modules["generator"].parameters()).fill_(math.nan)
    assert all(math.isnan(value) for value in scores(run).values())


def test_candidates_that_end_before_they_begin_are_refused_before_training(tiny, make_run):
    with pytest.raises(
        RefusedError, match=r"evaluator parzen-likelihood: no window is from 0.1 to 0.01 wide\n.*largest: 0.1"
    ):
        make_run(tiny(evaluators=[{"parzen-likelihood": {"largest": 0.01}}]))
