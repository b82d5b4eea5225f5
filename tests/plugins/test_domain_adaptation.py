"""Domain adaptation: right translations train as well as real images, none at all no better than the source."""

import pytest
import torch

from ganrun.errors import UserError
from ganrun.training.build import RefusedError
from ganrun_plugins.datasets.restyled_digits import restyled

QUIET = ["progress", "samples", "metrics-log", "health", "checkpoints", "replay-buffer"]


def recipe(**parameters):
    return {
        "variant": "cyclegan",
        "dataset": {"restyled-digits": {"size": 8, "classes": ["0", "1", "7"]}},
        "generator": {"resnet-translator": {"blocks": 1, "width": 2}},
        "discriminator": {"patchgan": {"layers": 1, "width": 2}},
        "evaluators": [{"domain-adaptation": {"steps": 2, **parameters}}],
        "without": QUIET,
        "train": {"steps": 1, "batch_size": 4, "device": "cpu"},
    }


def scored(run, translate=None):
    evaluation, evaluator = run.evaluation, run.experiment.evaluators[0]
    if translate is not None:
        evaluation.generate = translate
    with run.experiment.settings():
        return {name: score.value for name, score in evaluator.evaluate(evaluation).items()}


def true_counterparts(real, wanted):
    levels = ((real["a"] + 1) * 127.5).round().to(torch.uint8)
    return restyled(levels).float() / 127.5 - 1


def test_true_translations_reach_the_oracle_and_the_source_alone_does_not(make_run):
    scores = scored(make_run(recipe(steps=40)), true_counterparts)
    assert set(scores) == {"a-to-b.adapted", "a-to-b.source-only", "a-to-b.oracle"}
    assert scores["a-to-b.oracle"] > 0.9
    assert scores["a-to-b.adapted"] > 0.85
    assert scores["a-to-b.source-only"] < 0.7


def test_translations_keep_the_labels_of_what_they_were_made_from(make_run):
    """Correct pictures in another order have wrong labels: the classifier learns nothing from them."""

    def shuffled(real, wanted):
        made = true_counterparts(real, wanted)
        return made[torch.randperm(len(made), generator=torch.Generator().manual_seed(0))]

    assert scored(make_run(recipe(steps=40)), shuffled)["a-to-b.adapted"] < 0.6


def test_two_evaluations_say_the_same_and_the_baselines_are_trained_once(make_run, monkeypatch):
    from ganrun_plugins import _classifier_network as networks

    trained, fit = [], networks.fit
    monkeypatch.setattr(
        networks, "fit", lambda network, x, label, **how: (trained.append(len(x)), fit(network, x, label, **how))[1]
    )
    run = make_run(recipe())
    assert scored(run) == scored(run)
    assert len(trained) == 4, "adapted twice, source-only and oracle once"
    assert scored(make_run(recipe())) == scored(run)


def test_the_other_direction_can_be_asked_for(make_run):
    asked = []

    def translate(real, wanted):
        asked.append(wanted)
        return real[wanted][torch.arange(len(real["b"]))]

    assert set(scored(make_run(recipe(of="a")), translate)) == {"b-to-a.adapted", "b-to-a.source-only", "b-to-a.oracle"}
    assert asked == ["a"]


def test_what_cannot_be_scored_is_refused_before_training(make_run):
    with pytest.raises(RefusedError, match="no output 'x'"):
        make_run(recipe(of="x"))
    unlabelled = {"dataset": {"paired-digits": {"size": 8}}}
    with pytest.raises(RefusedError, match="needs the labels of each domain"):
        make_run(recipe() | unlabelled)
    mlp = {"mlp": {"widths": [8], "norm": "none"}}
    from_latents = {
        "variant": "gan",
        "dataset": {"digits": {"size": 8}},
        "generator": mlp,
        "discriminator": mlp,
        "without": QUIET[:-1],
    }
    with pytest.raises(RefusedError, match="makes samples from latents"):
        make_run(recipe() | from_latents)


def test_domain_adaptation_of_samples_without_a_generator_is_refused(make_run):
    run = make_run(recipe())
    run.evaluation.sample_maker = None
    with pytest.raises(UserError, match="evaluate a run"):
        scored(run)
