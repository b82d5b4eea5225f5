"""The mode score: both published forms, the identity with the inception score, degenerate sets, a run."""

import math

import numpy as np
import pytest
import torch

from ganrun.errors import UserError
from ganrun.training.build import RefusedError
from ganrun.training.scoring import evaluate
from ganrun_plugins.evaluators.inception_score import inception_score
from ganrun_plugins.evaluators.mode_score import mode_score


def certain(classes, of):
    """Logits (n, of) of samples that are of their class and no other."""
    return 1000.0 * torch.nn.functional.one_hot(torch.as_tensor(classes), of).float()


def drawn(n, k, seed=0, tilt=0.0):
    return 2 * torch.randn(n, k, generator=torch.Generator().manual_seed(seed)) + tilt * torch.arange(k)


def by_definition(real, fake, form):
    """exp(E KL(p(y|x) || q) - KL(p_g || p_r)), term by term."""
    p = fake.double().softmax(1)
    p_g, p_r = p.mean(0), real.double().softmax(1).mean(0)
    q = p_g if form == "xu" else p_r
    return math.exp(float((p * (p / q).log()).sum(1).mean() - (p_g * (p_g / p_r).log()).sum()))


@pytest.mark.parametrize("form", ["xu", "che"])
def test_both_forms_are_computed_as_printed(form):
    real, fake = drawn(70, 6), drawn(50, 6, seed=1, tilt=0.5)
    assert mode_score(real, fake, form=form).value == pytest.approx(by_definition(real, fake, form), rel=1e-9)


def test_worked_by_hand():
    """Fakes of classes 0, 0, 1 and real ones of 0, 1: E KL = 2/3 log 3/2 + 1/3 log 3 = H, KL(p_g || p_r) = log 2 - H,
    so exp(2 H) / 2.
    """
    h = 2 / 3 * math.log(3 / 2) + 1 / 3 * math.log(3)
    assert mode_score(certain([0, 1], 2), certain([0, 0, 1], 2)).value == pytest.approx(math.exp(2 * h) / 2, rel=1e-12)


@pytest.mark.parametrize("tilt", [0.0, 0.5, 3.0])
def test_the_form_of_che_is_the_inception_score_whatever_the_real_data_are(tilt):
    """E KL(p(y|x) || p_r) = E KL(p(y|x) || p_g) + KL(p_g || p_r), and what is taken off is the last term."""
    fake = drawn(80, 5)
    want = inception_score(fake, splits=1)
    found = mode_score(drawn(60, 5, seed=1, tilt=tilt), fake, form="che")
    assert found.value == pytest.approx(want.value, rel=1e-12)
    assert (found.low, found.high) == (pytest.approx(want.low, rel=1e-9), pytest.approx(want.high, rel=1e-9))


def test_the_form_of_xu_is_the_inception_score_only_if_the_classes_agree():
    fake, real = drawn(80, 5), drawn(60, 5, seed=1, tilt=1.0)
    assert mode_score(fake.flip(0), fake).value == pytest.approx(inception_score(fake, splits=1).value, rel=1e-12)
    assert mode_score(real, fake).value < 0.9 * inception_score(fake, splits=1).value


def test_the_default_is_the_form_that_sees_real_data():
    fake = drawn(80, 5)
    assert mode_score(drawn(60, 5, seed=1), fake).value != pytest.approx(
        mode_score(drawn(60, 5, seed=1, tilt=2.0), fake).value, rel=0.1
    )


def test_uneven_classes_are_scored_best_in_proportion_to_the_square_root_of_their_shares():
    """Real shares 0.9 and 0.1, certain fakes: log score = -2 sum p log p + sum p log r, largest at p ~ sqrt r, 3/4 and
    1/4.
    """
    real = certain([0] * 9 + [1], 2)
    values = {ones: mode_score(real, certain([0] * (80 - ones) + [1] * ones, 2)).value for ones in (8, 16, 20, 24, 40)}
    assert max(values, key=values.get) == 20
    assert values[8] == pytest.approx(inception_score(real, splits=1).value, rel=1e-9), "the data's own shares"


def test_a_collapsed_generator_scores_below_1():
    """One class of four even ones: no divergence within, and log 4 from the data."""
    assert mode_score(certain([0, 1, 2, 3], 4), certain([2] * 10, 4)).value == pytest.approx(1 / 4, rel=1e-12)


def test_a_class_that_no_real_sample_has_costs_a_factor_of_1e_20_to_its_share_and_stays_finite():
    """Half of the fakes are of class 1: log score = log 2 + log 2 + log(1)/2 + log(1e-20)/2, so 4e-10."""
    assert mode_score(certain([0] * 5, 2), certain([0, 1], 2)).value == pytest.approx(4e-10, rel=1e-9)


def test_the_interval_covers_the_mean_of_other_sets_of_samples():
    """The influence of p_g is in it: left out, the interval of fakes whose classes differ from the data's would be far
    too narrow.
    """
    random = np.random.default_rng(0)
    real, centres = drawn(400, 5), drawn(5, 5, seed=3) * 1.5
    found = []
    for number in range(200):
        kind = torch.from_numpy(random.choice(5, 400, p=[0.6, 0.2, 0.1, 0.05, 0.05]))
        found.append(mode_score(real, centres[kind] + drawn(400, 5, seed=number)))
    expected = np.mean([score.value for score in found])
    assert 0.87 <= np.mean([score.low <= expected <= score.high for score in found]) <= 0.99


def test_one_sample_has_a_score_and_no_interval():
    """KL(p || p) = 0, and p_g = p: what remains is the distance to the data."""
    score = mode_score(certain([0, 1], 2), certain([0], 2))
    assert (score.value, score.low, score.high) == (pytest.approx(1 / 2), None, None)


def test_sets_that_cannot_be_scored_are_refused():
    x = torch.zeros(4, 3)
    with pytest.raises(UserError, match="the real set has logits of shape"):
        mode_score(torch.zeros(0, 3), x)
    with pytest.raises(UserError, match="the set of fakes has logits of shape"):
        mode_score(x, torch.zeros(0, 3))
    with pytest.raises(UserError, match="3 and 4 classes; take both from one classifier"):
        mode_score(x, torch.zeros(4, 4))
    with pytest.raises(UserError, match="1 of the 4 samples of the set of fakes"):
        mode_score(x, torch.where(torch.arange(4)[:, None] == 2, math.nan, x))


# --- in a run ---------------------------------------------------------------------------------------------------


@pytest.fixture
def digits(tiny):
    def recipe(*evaluators):
        return tiny(variant={"dcgan": {"latent": 4}}, dataset={"digits": {"size": 16}}, evaluators=list(evaluators))

    return recipe


def scores(run):
    run.step = run.steps
    return evaluate(run)


def test_the_scores_of_a_run_equal_the_function(digits, make_run):
    run = make_run(
        digits({"mode-score": {"samples": 60}}, {"mode-score": {"samples": 60, "form": "che", "split": "train"}})
    )
    found = scores(run)
    part = run.evaluators[0][1].features
    fake, test, train = (
        run.evaluation.logits_of(part, *what)
        for what in (("fake", None, "test", 60), ("real",), ("real", None, "train"))
    )
    assert found == {
        "mode-score[classifier]": pytest.approx(mode_score(test, fake).value),
        "mode-score[classifier].of-real": pytest.approx(inception_score(test, splits=1).value),
        "mode-score-2[classifier]": pytest.approx(inception_score(fake, splits=1).value),
        "mode-score-2[classifier].of-real": pytest.approx(inception_score(train, splits=1).value),
    }


def test_fakes_that_are_not_finite_score_nan_and_end_no_run(digits, make_run):
    run = make_run(digits({"mode-score": {"samples": 20}}))
    with torch.no_grad():
        next(run.engine.modules["generator"].parameters()).fill_(math.nan)
    found = scores(run)
    assert math.isnan(found["mode-score[classifier]"])
    assert found["mode-score[classifier].of-real"] > 5


def test_features_that_do_not_classify_are_refused_before_training(digits, make_run):
    with pytest.raises(RefusedError, match=r"evaluator mode-score: .*pixels do not classify"):
        make_run(digits({"mode-score": {"features": "pixels"}}))
