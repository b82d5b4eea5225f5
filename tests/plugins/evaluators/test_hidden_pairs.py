"""Errors against hidden pairs: worked by hand, baselines, label accuracy, and what is refused."""

import math
from types import SimpleNamespace

import pytest
import torch

from ganrun.data.reader import normalised
from ganrun.errors import UserError
from ganrun.evaluation.scores import jackknife
from ganrun.training.build import RefusedError
from ganrun.training.scoring import evaluate
from ganrun_plugins.evaluators.hidden_pairs import HiddenPairs, errors, mean_image


@pytest.fixture
def translation():
    """A recipe that translates digits with two tiny perceptrons."""

    def recipe(*evaluators, size=8, **changes):
        small = {"mlp": {"widths": [8]}}
        return {
            "variant": {"cyclegan": {"identity": 0.0}},
            "dataset": {"restyled-digits": {"size": size}},
            "generator": small,
            "discriminator": small,
            "evaluators": list(evaluators),
            "without": ["progress", "samples", "metrics-log", "health", "checkpoints"],
            "train": {"steps": 2, "batch_size": 4, "device": "cpu"},
            **changes,
        }

    return recipe


def scores_of(run):
    run.step = run.steps
    return {name.removeprefix("hidden-pairs."): value for name, value in evaluate(run).items()}


def answering(run, change):
    """The run's evaluation, with translations made by ``change(pairs, wanted)``."""
    run.evaluation.generate = change
    return scores_of(run)


def test_errors_worked_by_hand():
    got = errors(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, -3.0]]))
    assert got["l1"].value == 2
    assert got["rmse"].value == pytest.approx(math.sqrt(5))
    assert got["l1"].low is None, "one pair has no interval"


def test_intervals_worked_by_hand():
    """Two pairs with errors 1 and 3 throughout. l1: 2, deviation sqrt 2, so 1.96 standard errors are 1.96. rmse: the
    root of 5, and of the ends of 5 +- 1.96 * 4 (squares 1 and 9, deviation 4 sqrt 2), the lower one cut off at 0."""
    got = errors(torch.tensor([[1.0, -1.0], [3.0, 3.0]]), torch.zeros(2, 2))
    z = 1.959963984540054
    assert (got["l1"].value, got["l1"].low, got["l1"].high) == pytest.approx((2, 2 - z, 2 + z))
    assert (got["rmse"].value, got["rmse"].low, got["rmse"].high) == pytest.approx(
        (math.sqrt(5), 0, math.sqrt(5 + 4 * z))
    )


def test_the_interval_of_the_root_agrees_with_the_jackknife():
    """For many pairs the two ways to an interval of a smooth statistic are one."""
    x = torch.randn(2000, 3, generator=torch.Generator().manual_seed(0)) * torch.linspace(0.5, 2, 2000)[:, None]
    got = errors(x, torch.zeros_like(x))["rmse"]
    other = jackknife(lambda rows: float(x[rows].double().square().mean().sqrt()), 2000, groups=20)
    assert got.value == pytest.approx(other.value)
    assert got.high - got.low == pytest.approx(other.high - other.low, rel=0.35)


def test_translations_that_are_not_finite_have_no_error_and_pairs_of_unequal_shape_are_refused():
    got = errors(torch.tensor([[math.nan]]), torch.zeros(1, 1))
    assert math.isnan(got["l1"].value)
    assert math.isnan(got["rmse"].value)
    for x, truth in ((torch.zeros(0, 2), torch.zeros(0, 2)), (torch.zeros(3, 2), torch.zeros(1, 2))):
        with pytest.raises(UserError, match="hidden-pairs: it compares images pair by pair"):
            errors(x, truth)


def test_true_counterparts_have_no_error_and_their_labels(translation, make_run):
    run = make_run(translation("hidden-pairs", size=32))
    scores = answering(run, lambda pairs, wanted: pairs[wanted])
    for way in ("a-to-b", "b-to-a"):
        assert scores[f"{way}.l1"] == scores[f"{way}.rmse"] == 0
        assert scores[f"{way}.accuracy"] == scores[f"{way}.accuracy-of-truth"] > 0.98


def test_every_score_has_an_interval_and_accuracies_keep_a_width_at_1(translation, make_run):
    """Wilson: 20 of 20 are an accuracy of 1 with a lower end of 20 / (20 + 1.96^2)."""
    run = make_run(translation("hidden-pairs", size=32))
    run.evaluation.samples = 20
    run.evaluation.generate = lambda pairs, wanted: pairs[wanted] * 0.9
    scores = run.experiment.evaluators[0].evaluate(run.evaluation)
    assert all(score.low < score.value < score.high for name, score in scores.items() if "accuracy" not in name)
    truth = scores["a-to-b.accuracy-of-truth"]
    assert (truth.value, truth.low) == (1, pytest.approx(20 / (20 + 1.959963984540054**2)))


def test_networks_that_make_no_numbers_score_nan(translation, make_run):
    run = make_run(translation("hidden-pairs", size=32))
    scores = answering(run, lambda pairs, wanted: pairs[wanted] * math.nan)
    assert all(math.isnan(scores[f"a-to-b.{name}"]) for name in ("l1", "rmse", "accuracy"))
    assert scores["a-to-b.accuracy-of-truth"] > 0.9
    assert scores["a-to-b.nothing.l1"] > 0


def test_doing_nothing_equals_its_baseline(translation, make_run):
    run = make_run(translation({"hidden-pairs": {"features": None}}))
    scores = answering(run, lambda pairs, wanted: pairs["b" if wanted == "a" else "a"])
    pairs = normalised(run.dataset("test").hidden_pairs(), "cpu")
    want = float((pairs["a"] - pairs["b"]).abs().mean())
    for way in ("a-to-b", "b-to-a"):
        assert scores[f"{way}.l1"] == scores[f"{way}.nothing.l1"] == pytest.approx(want, rel=1e-5)
    assert not any("accuracy" in name for name in scores)


def test_the_mean_image_baseline_is_of_the_train_split(translation, make_run):
    """It has the smallest squared error that one answer for all can have, nearly: the test split's mean is a little
    different.
    """
    run = make_run(translation({"hidden-pairs": {"features": None}}))
    a, _ = run.dataset("train").labelled("a")
    mean = (a.double() / 127.5 - 1).mean(0)
    assert torch.allclose(mean_image(run.dataset("train"), "a")[0], mean[0], atol=0.01)
    scores = answering(run, lambda pairs, wanted: mean.expand_as(pairs[wanted]))
    assert scores["b-to-a.rmse"] == pytest.approx(scores["b-to-a.mean-image.rmse"], rel=1e-3)
    assert scores["b-to-a.mean-image.rmse"] < scores["b-to-a.nothing.rmse"]


def test_translations_come_from_the_networks(translation, make_run):
    """Each generator is given the true other half of the pairs, and `samples` says how many."""
    run = make_run(translation({"hidden-pairs": {"features": None, "samples": 6}}))
    scores = scores_of(run)
    pairs = run.evaluation.hidden_pairs(6)
    for source, target in (("a", "b"), ("b", "a")):
        with torch.no_grad():
            made = run.engine.modules[f"generator_{source}{target}"].eval()(pairs[source])
        made = ((made + 1) * 127.5).round() / 127.5 - 1  # as if saved as pictures
        assert scores[f"{source}-to-{target}.l1"] == pytest.approx(float((made - pairs[target]).abs().mean()), rel=1e-5)


def test_hidden_pairs_are_scored_in_float64(translation, make_run):

    train = {"steps": 2, "batch_size": 4, "device": "cpu", "precision": "float64"}
    run = make_run(translation({"hidden-pairs": {"samples": 6}}, {"frechet-distance": {"of": "a"}}, train=train))
    with run.experiment.settings():
        scores = scores_of(run)
    assert all(math.isfinite(value) for value in scores.values())
    assert "frechet-distance[classifier].a" in scores


def test_plain_folders_are_told_what_scores_them():
    folders = SimpleNamespace(dataset=lambda split: object(), sample_maker=None)
    with pytest.raises(UserError, match=r"hidden-pairs: it translates .*psnr-ssim"):
        HiddenPairs(features=None).evaluate(folders)


def test_data_without_hidden_pairs_are_refused_before_training(tiny, make_run):
    with pytest.raises(RefusedError) as caught:
        make_run(tiny(dataset={"digits": {"size": 8}}, evaluators=["hidden-pairs", "mode-coverage"]))
    parts = {refusal.part for refusal in caught.value.refusals}
    assert {"evaluator hidden-pairs", "evaluator mode-coverage"} <= parts, "all refusals come at once"
