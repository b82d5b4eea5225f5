"""The inception score: closed forms, torch-fidelity, intervals, degenerate sets, and the evaluator in a run."""

import math

import numpy as np
import pytest
import torch

from ganrun.errors import UserError
from ganrun.training.build import RefusedError
from ganrun.training.scoring import evaluate
from ganrun_plugins.evaluators.inception_score import InceptionScore, inception_score

SURE = 1000.0  # a logit that leaves no other class a probability in float64


def certain(classes, of, dtype=torch.float32):
    """Logits (n, of) of samples that are of their class and no other."""
    return SURE * torch.nn.functional.one_hot(torch.as_tensor(classes), of).to(dtype)


def drawn(n, k, seed=0, scale=2.0):
    return scale * torch.randn(n, k, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("splits", [1, 2, 7, 10])
def test_equal_probabilities_for_every_sample_score_1(splits):
    for row in (torch.zeros(5), torch.tensor([3.0, 1.0, -2.0, 0.0, 0.5])):
        assert inception_score(row.expand(40, 5), splits=splits).value == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize("k", [2, 10, 1000])
def test_certain_samples_evenly_over_k_classes_score_k(k):
    assert inception_score(certain(range(k), k), splits=1).value == pytest.approx(k, rel=1e-12)


def test_classes_that_no_sample_shows_do_not_count_and_make_nothing_infinite():
    assert inception_score(certain([0, 1, 2] * 4, 50), splits=1).value == pytest.approx(3, rel=1e-12)


def test_a_collapsed_generator_scores_1_however_certain_its_samples_are():
    assert inception_score(certain([4] * 30, 10)).value == pytest.approx(1, rel=1e-12)


def test_two_samples_worked_by_hand():
    """p = (3/4, 1/4) and (1/4, 3/4), mean (1/2, 1/2): KL = 3/4 log(3/2) + 1/4 log(1/2) for both; its exp."""
    logits = torch.tensor([[math.log(3), 0.0], [0.0, math.log(3)]])
    assert inception_score(logits, splits=1).value == pytest.approx(1.5**0.75 * 0.5**0.25, rel=1e-7)


def test_the_value_is_the_mean_of_the_scores_of_splits():
    """Unshuffled, in 2 splits: one class (score 1), then three evenly (score 3), together 2.

    In one split: (1/2 + 1/6, 1/6, 1/6).
    """
    x = certain([0] * 6 + [0, 1, 2] * 2, 3)
    assert inception_score(x, splits=2, shuffle=None).value == pytest.approx(2, rel=1e-12)
    together = -(2 / 3 * math.log(2 / 3) + 2 * (1 / 6) * math.log(1 / 6))
    assert inception_score(x, splits=1).value == pytest.approx(math.exp(together), rel=1e-12)


def test_samples_in_the_order_of_their_classes_are_shuffled_before_they_are_split():
    """1,000 sorted samples of 10 classes: each split in order holds one class and scores 1; shuffled, about 10."""
    x = certain([i // 100 for i in range(1000)], 10)
    assert inception_score(x, shuffle=None).value == pytest.approx(1, rel=1e-12)
    assert inception_score(x).value > 9


@pytest.mark.parametrize(("n", "k", "splits"), [(1000, 10, 10), (537, 20, 10), (300, 1008, 3), (64, 5, 1)])
def test_the_score_agrees_with_torch_fidelity_on_the_same_logits(n, k, splits):
    from torch_fidelity.metric_isc import isc_features_to_metric

    x = drawn(n, k)
    want = isc_features_to_metric(x, splits=splits, shuffle=True, rng_seed=2020)["inception_score_mean"]
    assert inception_score(x, splits=splits).value == pytest.approx(want, rel=1e-6)
    want = isc_features_to_metric(x, splits=splits, shuffle=False)["inception_score_mean"]
    assert inception_score(x, splits=splits, shuffle=None).value == pytest.approx(want, rel=1e-6)


def test_more_rows_than_a_block_give_what_one_block_gives(monkeypatch):
    from ganrun_plugins.evaluators import _classes

    x = drawn(100, 8)
    whole = inception_score(x)
    monkeypatch.setattr(_classes, "BLOCK", 24)  # 3 rows
    assert inception_score(x).value == pytest.approx(whole.value, rel=1e-13)


def test_logits_are_shifted_at_will_and_their_type_is_not_the_type_of_the_sums():
    """A softmax ignores what is added to all logits of a row; 1000 added in float32 would overflow an exponential."""
    x = drawn(200, 6, scale=3).double()
    x = (x * 64).round() / 64  # exact in float32, shifted or not
    assert inception_score((x + 1000).float()).value == pytest.approx(inception_score(x).value, rel=1e-12)


@pytest.mark.parametrize("splits", [1, 10])
def test_the_interval_covers_the_mean_of_other_sets_of_samples(splits):
    """600 samples of a skewed generator, 200 times: the 95% interval holds the mean over all in about 95% of them."""
    random = np.random.default_rng(0)
    centres = drawn(5, 5, seed=3, scale=3)
    found = []
    for number in range(200):
        kind = torch.from_numpy(random.choice(5, 600, p=[0.4, 0.3, 0.15, 0.1, 0.05]))
        found.append(inception_score(centres[kind] + drawn(600, 5, seed=number), splits=splits))
    expected = np.mean([score.value for score in found])
    covered = np.mean([score.low <= expected <= score.high for score in found])
    assert 0.90 <= covered <= 0.99
    assert all(score.low < score.value < score.high for score in found)


def test_without_splits_the_interval_is_that_of_a_jackknife():
    from ganrun.evaluation.scores import jackknife

    x = drawn(2000, 10)
    ours = inception_score(x, splits=1)
    other = jackknife(lambda rows: inception_score(x[rows], splits=1).value, len(x), groups=20)
    # 20 groups know their spread to a sixth
    assert ours.high - ours.low == pytest.approx(other.high - other.low, rel=0.35)


def test_one_sample_a_split_has_a_score_of_1_and_no_interval():
    score = inception_score(certain(range(10), 10))
    assert (score.value, score.low, score.high) == (pytest.approx(1), None, None)
    one = inception_score(torch.zeros(1, 3), splits=1)
    assert (one.value, one.low) == (pytest.approx(1), None)


def test_fewer_samples_than_splits_are_refused_with_a_cure():
    with pytest.raises(UserError, match=r"9 samples cannot be parted into 10 splits; .*fewer splits"):
        inception_score(torch.zeros(9, 3))


@pytest.mark.parametrize("shape", [(0, 3), (4, 0), (4,), (2, 2, 2)])
def test_logits_of_nothing_are_refused(shape):
    with pytest.raises(UserError, match="inception-score: the set has logits of shape"):
        inception_score(torch.zeros(shape))


def test_values_that_are_not_finite_are_refused_and_counted():
    x = torch.zeros(20, 3)
    x[1, 2], x[3, 0], x[3, 1] = math.nan, math.inf, -math.inf
    with pytest.raises(UserError, match="2 of the 20 samples"):
        inception_score(x)


def test_the_score_takes_5_samples_a_split_for_each_class_and_never_more_than_the_paper_has():
    """With certain samples the score is (K - 1) / (2 m) too low in its logarithm: 0.09 for 10 classes and 50 samples a
    split.
    """
    assert inception_score(torch.zeros(20, 10)).enough == 500
    assert inception_score(torch.zeros(20, 1008)).enough == 50_000
    random = np.random.default_rng(1)
    values = [inception_score(certain(random.integers(0, 10, 500), 10)).value for _ in range(40)]
    assert np.log(10 / np.mean(values)) == pytest.approx(0.09, abs=0.01)


# --- in a run ---------------------------------------------------------------------------------------------------


@pytest.fixture
def digits(tiny):
    """A recipe for digits of 16 pixels with the shipped classifier."""

    def recipe(*evaluators):
        return tiny(variant={"dcgan": {"latent": 4}}, dataset={"digits": {"size": 16}}, evaluators=list(evaluators))

    return recipe


def scores(run):
    run.step = run.steps
    return evaluate(run)


def test_the_score_is_named_after_its_classifier_and_equals_the_function(digits, make_run):
    run = make_run(digits({"inception-score": {"samples": 60, "splits": 3, "of_real": True}}))
    found = scores(run)
    extract = run.evaluation.features(run.evaluators[0][1].features)
    x = run.evaluation.fakes(n=60)
    assert set(found) == {"inception-score[classifier]", "inception-score[classifier].of-real"}
    assert found["inception-score[classifier]"] == pytest.approx(
        inception_score(extract.logits(x), splits=3).value, rel=1e-5
    )
    real = run.evaluation.real()[:60]
    assert found["inception-score[classifier].of-real"] == pytest.approx(
        inception_score(extract.logits(real), splits=3).value, rel=1e-5
    )
    assert found["inception-score[classifier].of-real"] > 4 > found["inception-score[classifier]"]


def test_real_samples_take_no_part_unless_asked_for(digits, make_run):
    run = make_run(digits({"inception-score": {"samples": 20}}))
    assert set(scores(run)) == {"inception-score[classifier]"}
    assert not run.evaluation.requested.real


def test_the_score_has_the_published_name_only_where_the_features_say_so(digits, make_run):
    run = make_run(digits({"inception-score": {"samples": 20}}))
    evaluator: InceptionScore = run.evaluators[0][1]
    assert evaluator.evaluate(run.evaluation)["[classifier]"].called == ""
    run.evaluation.features(evaluator.features).called = {"inception-score": "IS"}
    assert evaluator.evaluate(run.evaluation)["[classifier]"].called == "IS"


def test_fakes_that_are_not_finite_score_nan_and_end_no_run(digits, make_run):
    run = make_run(digits({"inception-score": {"samples": 20}}))
    with torch.no_grad():
        next(run.engine.modules["generator"].parameters()).fill_(math.nan)
    assert math.isnan(scores(run)["inception-score[classifier]"])


def test_fewer_samples_than_splits_are_refused_before_training(digits, make_run):
    with pytest.raises(RefusedError, match="splits: 10 needs at least 10 made samples, and there are 5"):
        make_run(digits({"inception-score": {"samples": 5}}))


def test_features_that_do_not_classify_are_refused_before_training(digits, make_run):
    with pytest.raises(
        RefusedError, match=r"evaluator inception-score: .*pixels do not classify\n.*features: classifier"
    ):
        make_run(digits({"inception-score": {"features": "pixels"}}))
