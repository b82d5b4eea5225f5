"""Metropolis-Hastings: chains that end at data if scores are density ratios, calibration, training left alone."""

import math

import pytest
import torch

from ganrun.training.build import RefusedError
from ganrun_plugins.tricks.metropolis_hastings import calibration, last_states


def test_the_calibration_finds_the_log_odds_of_two_scores():
    """Of score 1 two thirds are real, of score -1 one third: a + b = log 2 and -a + b = -log 2."""
    a, b = calibration(torch.tensor([1.0, 1.0, -1.0]), torch.tensor([-1.0, -1.0, 1.0]))
    assert a == pytest.approx(math.log(2), rel=0.02)
    assert b == pytest.approx(0, abs=1e-6)


def test_the_calibration_does_not_depend_on_how_many_of_each_there_are():
    a, b = calibration(torch.tensor([3.0, 3.0, 1.0]), torch.tensor([1.0, 1.0, 3.0] * 5))
    assert a == pytest.approx(math.log(2), rel=0.02)
    assert 2 * a + b == pytest.approx(0, abs=1e-6), "undecided half-way"


def test_scores_that_tell_all_apart_or_nothing_stay_finite():
    assert all(map(math.isfinite, calibration(torch.full((5,), 9.0), torch.full((5,), -9.0))))
    assert calibration(torch.zeros(5), torch.zeros(5)) == (pytest.approx(0), pytest.approx(0))
    assert calibration(torch.tensor([-1.0, -2.0]), torch.tensor([1.0, 2.0]))[0] == 0, (
        "a discriminator that is wrong says nothing"
    )


def test_a_chain_by_hand():
    """From 0: the proposal of score -1 is taken with probability e^-1 = 0.37: not at 0.5; then 2 always, then 1 if 0.3
    < e^-1.
    """
    scores = torch.tensor([[-1.0], [2.0], [1.0]])
    assert last_states(scores, torch.tensor([0.0]), torch.tensor([[0.5], [0.99], [0.3]])).tolist() == [2]
    assert last_states(scores, torch.tensor([0.0]), torch.tensor([[0.5], [0.99], [0.4]])).tolist() == [1]
    assert last_states(scores[:1], torch.tensor([0.0]), torch.tensor([[0.3]])).tolist() == [0]


def test_a_chain_that_never_moves_is_restarted_at_its_first_proposal():
    """From a score of 100 nothing is taken; from the first proposal, -3, the second, -1, is, and not the third, -9."""
    scores = torch.tensor([[-3.0], [-1.0], [-9.0]])
    assert last_states(scores, torch.tensor([100.0]), torch.full((3, 1), 0.5)).tolist() == [1]


def test_chains_on_density_ratios_end_at_data():
    """A generator of three equally likely states; data have shares 0.6, 0.3 and 0.1: the scores are log(3 share)."""
    data, random = torch.tensor([0.6, 0.3, 0.1]), torch.Generator().manual_seed(0)
    proposals = torch.randint(3, (40, 20_000), generator=random)
    scores = (3 * data).log()[proposals]
    start = (3 * data).log()[torch.multinomial(data, 20_000, True, generator=random)]
    ended = last_states(scores, start, torch.rand(40, 20_000, generator=random))
    shares = proposals.gather(0, ended[None])[0].bincount(minlength=3) / 20_000
    assert torch.allclose(shares, data, atol=0.015)


def test_samples_move_to_where_the_discriminator_takes_them_for_real(tiny, make_run):
    """An identity as generator, data around (2, 0), a discriminator that looks at the first coordinate alone."""
    linear = {"mlp": {"widths": [], "norm": "none"}}
    recipe = tiny(
        variant={"gan": {"latent": 2}},
        generator=linear,
        discriminator=linear,
        dataset={"ring": {"modes": 1, "radius": 2, "sd": 0.2, "count": 2000}},
    )
    means = []
    for tricks in ([], [{"metropolis-hastings": {"proposals": 50}}]):
        run = make_run({**recipe, "tricks": tricks})
        with torch.no_grad():
            layers = {
                "generator": run.engine.modules["generator"].output[0],
                "discriminator": run.engine.modules["discriminator"].output,
            }
            for name, weight in (("generator", torch.eye(2)), ("discriminator", torch.tensor([[1.0, 0.0]]))):
                layers[name].weight.copy_(weight)
                layers[name].bias.zero_()
        means.append(run.sample_maker.turn(400).made["x"].mean(0))
    assert abs(float(means[0][0])) < 0.15, "without: normal latents"
    assert float(means[1][0]) > 1.0
    assert abs(float(means[1][1])) < 0.3, "chosen: towards the data in the direction that is judged"


def test_the_chosen_latents_stay_the_same_from_version_to_version(tiny, make_run):
    """A generator that is the identity, the score x_0 + x_1 / 2; the numbers are those of ganrun 0.1."""
    linear = {"mlp": {"widths": [], "norm": "none"}}
    small = {"variant": {"gan": {"latent": 2}}, "generator": linear, "discriminator": linear}
    run = make_run(tiny(**small, tricks=[{"metropolis-hastings": {"proposals": 9, "held_out": 40}}]))
    with torch.no_grad():
        for layer, weight in (
            (run.engine.modules["generator"].output[0], torch.eye(2)),
            (run.engine.modules["discriminator"].output, torch.tensor([[1.0, 0.5]])),
        ):
            layer.weight.copy_(weight)
            layer.bias.zero_()
    want = [[1.172878, 2.026136], [0.304915, 0.994893], [0.092020, -1.248942], [1.350353, 0.163252]]
    assert torch.allclose(run.sample_maker.latents(4)["z"], torch.tensor(want), atol=1e-5)


def test_a_sample_does_not_depend_on_how_many_are_asked_for(tiny, make_run):
    linear = {"mlp": {"widths": [], "norm": "none"}}
    run = make_run(tiny(generator=linear, discriminator=linear, tricks=[{"metropolis-hastings": {"proposals": 20}}]))
    with torch.no_grad():
        run.engine.modules["generator"].output[0].weight.fill_(1.0)  # samples far apart, so that scores decide
        run.engine.modules["discriminator"].output.weight.copy_(torch.tensor([[1.0, 0.0]]))
    many = run.sample_maker.latents(300)["z"]
    for n in (1, 2, 40):
        assert torch.equal(run.sample_maker.latents(n)["z"], many[:n])


def test_training_and_labels_are_left_alone(tiny, make_run):
    small = {
        "dataset": {"digits": {"size": 8}},
        "variant": {"cgan": {"latent": 4}},
        "generator": {"mlp": {"widths": [8]}},
        "discriminator": {"mlp": {"widths": [8]}},
    }
    with_it, without = (
        make_run(tiny(**small, tricks=[{"metropolis-hastings": {"proposals": 5}}])),
        make_run(tiny(**small)),
    )
    for run in (with_it, without):
        run.engine.step(0)
        run.sample_maker.turn(4)
        run.engine.step(1)
    for name, module in without.engine.modules.items():
        assert all(torch.equal(a, b) for a, b in zip(module.parameters(), with_it.engine.modules[name].parameters()))
    chosen, plain = with_it.sample_maker.latents(12), without.sample_maker.latents(12)
    assert torch.equal(chosen["label"], plain["label"])
    assert not torch.equal(chosen["z"], plain["z"])


def test_no_proposals_change_nothing(tiny, make_run):
    off, without = make_run(tiny(tricks=[{"metropolis-hastings": {"proposals": 0}}])), make_run(tiny())
    assert torch.equal(off.sample_maker.latents(5)["z"], without.sample_maker.latents(5)["z"])


def test_a_loss_without_an_undecided_point_is_refused(tiny, make_run):
    with pytest.raises(RefusedError, match="no point at which it is undecided"):
        make_run(tiny(loss="wasserstein", tricks=["metropolis-hastings"]))
