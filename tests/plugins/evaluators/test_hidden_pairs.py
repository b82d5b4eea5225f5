"""Errors against hidden pairs: worked by hand, baselines, label accuracy, and what is refused."""

import math

import pytest
import torch

from ganrun.build import RefusedError
from ganrun.data import prepared
from ganrun.evaluation import evaluate
from ganrun_plugins.evaluators.hidden_pairs import errors, mean_image


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
            "without": ["progress", "samples", "metrics-log", "checkpoints"],
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
    assert got == {"l1": 2.0, "rmse": pytest.approx(math.sqrt(5))}


def test_true_counterparts_have_no_error_and_their_labels(translation, make_run):
    run = make_run(translation("hidden-pairs", size=32))
    scores = answering(run, lambda pairs, wanted: pairs[wanted])
    for way in ("a-to-b", "b-to-a"):
        assert scores[f"{way}.l1"] == scores[f"{way}.rmse"] == 0
        assert scores[f"{way}.accuracy"] == scores[f"{way}.accuracy-of-truth"] > 0.98


def test_doing_nothing_equals_its_baseline(translation, make_run):
    run = make_run(translation({"hidden-pairs": {"features": None}}))
    scores = answering(run, lambda pairs, wanted: pairs["b" if wanted == "a" else "a"])
    pairs = prepared(run.dataset("test").hidden_pairs(), "cpu")
    want = float((pairs["a"] - pairs["b"]).abs().mean())
    for way in ("a-to-b", "b-to-a"):
        assert scores[f"{way}.l1"] == scores[f"{way}.nothing.l1"] == pytest.approx(want, rel=1e-5)
    assert not any("accuracy" in name for name in scores)


def test_the_mean_image_baseline_is_of_the_train_split(translation, make_run):
    """It has the smallest squared error that one answer for all can have, nearly: the test split's mean is a little different."""
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
    pairs = {name: x[:6] for name, x in prepared(run.dataset("test").hidden_pairs(), "cpu").items()}
    for source, target in (("a", "b"), ("b", "a")):
        with torch.no_grad():
            made = run.engine.modules[f"generator_{source}{target}"].eval()(pairs[source])
        assert scores[f"{source}-to-{target}.l1"] == pytest.approx(float((made - pairs[target]).abs().mean()), rel=1e-5)


def test_it_works_in_float64(translation, make_run):
    from ganrun.training import settings_of_torch

    train = {"steps": 2, "batch_size": 4, "device": "cpu", "precision": "float64"}
    run = make_run(translation({"hidden-pairs": {"samples": 6}}, {"frechet-distance": {"of": "a"}}, train=train))
    with settings_of_torch(run.recipe):
        scores = scores_of(run)
    assert all(math.isfinite(value) for value in scores.values())
    assert "frechet-distance.classifier.a" in scores


def test_data_without_hidden_pairs_are_refused_before_training(tiny, make_run):
    with pytest.raises(RefusedError) as caught:
        make_run(tiny(dataset={"digits": {"size": 8}}, evaluators=["hidden-pairs", "mode-coverage"]))
    parts = {refusal.part for refusal in caught.value.refusals}
    assert {"evaluator hidden-pairs", "evaluator mode-coverage"} <= parts, "all refusals come at once"
