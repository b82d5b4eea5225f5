"""attribute-accuracy: generators that paint what they are given into pixels, and classifiers that read it there."""

import pytest
import torch
from torch import nn

from ganrun.data.reader import read_items
from ganrun.training.build import RefusedError
from ganrun.training.scoring import evaluate
from ganrun_plugins.evaluators.attribute_accuracy import Answered, Question

QUIET = ["progress", "samples", "metrics-log", "health", "checkpoints", "gradient-penalty"]
SHAPES = {"styled-digits": {"size": 8, "styles": ["bold", "slanted"], "attributes": True, "scans": "even"}}
TONES = {"styled-digits": {"size": 8, "styles": ["plain", "inverted"], "scans": "odd"}}
MULTI = {"multi": {"sets": {"a": SHAPES, "b": TONES}}}


class Painter(nn.Module):
    """The first row of the picture is the vector it is given; it gets one column wrong, if it is said which."""

    takes, makes = frozenset({"image"}), frozenset({"image"})

    def __init__(self, interface, *, wrong: int = -1):
        super().__init__()
        self.idle = nn.Parameter(torch.zeros(()))
        self.wrong = wrong

    def forward(self, x, given):
        made = x * 0 + self.idle
        row = torch.where(torch.arange(given.shape[1]) == self.wrong, 1 - given, given)
        made[:, 0, 0, : given.shape[1]] = row.to(x.dtype)
        return made


class Reader:
    """Reads the first row: of attributes the column, of classes the largest one of those behind the attributes."""

    size = 1

    def __init__(self, context):
        self.question = getattr(context.data, "question", None)
        self.classes = len(context.data.classes)

    def classify(self, x):
        row = x[:, 0, 0]
        if self.question is not None and self.question.column is not None:
            return (row[:, self.question.column] > 0.5).long()
        start = 2 if self.question is not None else 0
        return row[:, start : start + self.classes].argmax(1)

    def fingerprint(self):
        return "reader"


PLUGINS = {"generator.painter": Painter, "features.reader": Reader}


def scores_of(make_run, dataset, wrong=-1, features="reader", **changes):
    recipe = {
        "variant": "stargan",
        "dataset": dataset,
        "generator": {"painter": {"wrong": wrong}},
        "discriminator": {"stargan": {"width": 4}},
        "loss": "non-saturating",
        "evaluators": [{"attribute-accuracy": {"features": features}}],
        "without": QUIET,
        "train": {"steps": 1, "batch_size": 4, "device": "cpu"},
        **changes,
    }
    run = make_run(recipe, plugins=PLUGINS)
    run.step = run.steps
    with run.experiment.settings():
        found = evaluate(run)
    return run, {name.removeprefix("attribute-accuracy[reader]."): value for name, value in found.items()}


def test_every_domain_is_scored_on_the_samples_that_were_asked_to_be_of_it(make_run):
    run, found = scores_of(make_run, {"styled-digits": {"size": 8, "styles": ["plain", "bold", "slanted"]}}, wrong=1)
    # given (0, 1, 0) it paints (0, 0, 0), which reads as plain; the others paint two ones, of which the first is read
    asked = run.evaluation.fake_labels(run.evaluation.count())
    assert (found["plain"], found["bold"], found["slanted"]) == (1, 0, 0)
    assert found["accuracy"] == pytest.approx(float((asked == 0).float().mean()))


def test_of_several_sets_each_label_is_scored_on_what_was_asked_of_its_own_set(make_run):
    run, right = scores_of(make_run, MULTI)
    assert {name: value for name, value in right.items() if not name.endswith("real")} == dict.fromkeys(
        ["accuracy", "bold", "slanted", "plain", "inverted"], 1
    )
    _, wrong = scores_of(make_run, MULTI, wrong=1)
    assert [wrong[name] for name in ("bold", "slanted", "plain", "inverted")] == [1, 0, 1, 1]
    of_b = run.evaluation.fake_labels(run.evaluation.count(), "source").double().mean().item()
    assert wrong["accuracy"] == pytest.approx((1 - of_b + of_b) / (2 * (1 - of_b) + of_b))


def test_real_items_are_scored_where_their_labels_are_known(make_run):
    run, found = scores_of(make_run, MULTI)
    held = run.dataset("test")
    (items,) = read_items(held, range(len(held)), rows=len(held))
    known = items["source"] == 0
    bold = (items["x"][:, 0, 0, 0] > 0.5).long() == items["attributes_a"][:, 0]
    assert found["bold-of-real"] == pytest.approx(float(bold[known].float().mean()))
    inverted = (items["source"] == 1) & (items["label_b"] == 1)
    read = items["x"][:, 0, 0, 2:4].argmax(1) == 1
    assert found["inverted-of-real"] == pytest.approx(float(read[inverted].float().mean()))


def test_a_name_that_two_sets_have_gets_that_of_its_entry(make_run):
    both = {
        "multi": {
            "sets": {"a": SHAPES, "b": {"styled-digits": {**TONES["styled-digits"], "styles": ["plain", "bold"]}}}
        }
    }
    _, found = scores_of(make_run, both)
    assert {"attributes_a.bold", "label_b.bold", "slanted", "plain"} <= set(found)


def test_a_classifier_is_trained_on_the_items_that_know_its_answer(make_run):
    run, _ = scores_of(make_run, MULTI)
    data = run.dataset("train")
    answered = Answered(data, Question("label_b", None, ("plain", "inverted"), data.known_rows["label_b"]), "x")
    (items,) = read_items(answered, range(len(answered)), rows=len(answered))
    assert len(answered) == len(data.known_rows["label_b"])
    assert torch.equal(items["label"], data.sets[1].tensors["label"])
    column = Answered(data, Question("attributes_a", 1, ("slanted",), data.known_rows["attributes_a"]), "x")
    (items,) = read_items(column, range(5), rows=5)
    assert torch.equal(items["label"], data.sets[0].tensors["attributes"][:5, 1])
    assert column.classes == ["no", "yes"]
    assert column.fingerprint() != answered.fingerprint()


def test_what_cannot_be_scored_is_refused_before_training(make_run):
    with pytest.raises(RefusedError, match="this variant asks for none that the data have"):
        scores_of(
            make_run,
            {"digits": {"size": 8}},
            variant={"dcgan": {"latent": 4}},
            generator={"dcgan": {"width": 4}},
            without=QUIET[:-1],
        )
    with pytest.raises(RefusedError, match="the features pixels do not classify"):
        scores_of(make_run, TONES, features="pixels")


def test_a_run_on_several_sets_trains_a_classifier_for_each_question_before_it_begins(tmp_path):
    """Through ``ganrun.run``, with the real classifier: no entry of these data is called ``label``."""
    from ganrun import api

    recipe = {
        "variant": "stargan",
        "dataset": MULTI,
        "generator": {"stargan": {"blocks": 1, "width": 4}},
        "discriminator": {"stargan": {"width": 4}},
        "evaluators": [{"attribute-accuracy": {"features": {"classifier": {"steps": 2}}}}],
        "without": QUIET[:-1],
        "train": {"steps": 1, "batch_size": 8, "device": "cpu"},
    }
    scores = api.run(recipe, output=tmp_path / "run").scores
    assert {
        "attribute-accuracy[classifier].accuracy",
        "attribute-accuracy[classifier].bold",
        "attribute-accuracy[classifier].inverted",
    } <= scores.keys()
