"""Paths between latents: shapes worked by hand, degenerate paths, and generators whose answer is known."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from ganrun.errors import UserError
from ganrun.training.build import RefusedError
from ganrun_plugins.evaluators.interpolation_smoothness import InterpolationSmoothness, largest_jump, length


def path(*points):
    return torch.tensor([points], dtype=torch.float64)  # (1, T, d)


def test_features_that_move_evenly_on_a_line_score_1_and_1():
    ends = torch.randn(5, 2, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    share = torch.linspace(0, 1, 16, dtype=torch.float64).view(1, 16, 1)
    paths = (1 - share) * ends[:, :1] + share * ends[:, 1:]
    for score in (length(paths), largest_jump(paths)):
        assert (score.value, score.low, score.high) == pytest.approx((1, 1, 1), rel=1e-9)


def test_a_way_round_a_corner():
    """One right, two up: 3 over sqrt 5, and 2 over the mean step of 1.5. One path has no interval."""
    corner = path((0.0, 0.0), (1.0, 0.0), (1.0, 2.0))
    assert length(corner).value == pytest.approx(3 / math.sqrt(5))
    assert largest_jump(corner).value == pytest.approx(2 / 1.5)
    assert length(corner).low is None


def test_a_half_circle_is_half_pi_as_long_as_its_diameter_and_even():
    angle = torch.linspace(0, math.pi, 1001, dtype=torch.float64)
    circle = torch.stack([angle.cos(), angle.sin()], 1)[None]  # (1, 1001, 2)
    assert length(circle).value == pytest.approx(math.pi / 2, rel=1e-6)
    assert largest_jump(circle).value == pytest.approx(1, rel=1e-9)


def test_a_generator_that_jumps_from_one_sample_to_another_is_straight_and_as_uneven_as_can_be():
    """All change in one of 4 steps: length 1, largest jump 4."""
    jump = path((0.0,), (0.0,), (0.0,), (5.0,), (5.0,))
    assert length(jump).value == 1
    assert largest_jump(jump).value == 4


def test_two_paths_worked_by_hand():
    """Ways of 2 and 3, straight lines of 2 and 1: length 5/3. Jumps of 1 and 2 / 1.5: their mean is 7/6.

    Delta method: the residuals 2 - 5/3 * 2 and 3 - 5/3 are -4/3 and 4/3, over the mean line of 1.5 they are -8/9 and
    8/9; the standard error of the mean of two such numbers is 8/9.
    """
    paths = torch.cat([path((0.0,), (1.0,), (2.0,)), path((0.0,), (2.0,), (1.0,))])
    got = length(paths)
    assert (got.value, got.high) == pytest.approx((5 / 3, 5 / 3 + 1.959963984540054 * 8 / 9))
    assert got.method == "standard error of the mean over paths"
    assert largest_jump(paths).value == pytest.approx(7 / 6)


def test_the_interval_of_the_length_holds_the_truth_as_often_as_it_says():
    """Straight lines of length v in [1, 2] and ways that are u in [1, 2] longer, independent: (1.5 + 1.5) / 1.5 = 2.

    Of 300 sets of 64 paths about 95% of the intervals hold it (two standard errors of that share are 2.5%).
    """
    held = 0
    for seed in range(300):
        u = torch.rand(64, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        detour, line = (1 + u[:, 0]) / 2, 1 + u[:, 1]
        paths = torch.stack([0 * line, -detour, line], 1)[:, :, None]  # there and back before the way: 2 * detour more
        score = length(paths)
        held += score.low <= 2 <= score.high
    assert 0.91 < held / 300 < 0.99


def test_paths_that_stand_still_have_no_largest_jump_and_are_counted():
    paths = torch.cat([path((1.0,), (1.0,), (1.0,)), path((0.0,), (1.0,), (2.0,)), path((0.0,), (1.0,), (1.0,))])
    got = largest_jump(paths)
    assert got.value == 1.5
    assert got.method == "standard error of the mean over paths; 1 of 3 paths stand still"
    assert length(paths).value == 1


def test_generators_that_stand_still_or_come_back_always_score_nan():
    still, closed = path((1.0,), (1.0,), (1.0,)), path((0.0,), (1.0,), (0.0,))
    assert math.isnan(length(still).value)
    assert math.isnan(length(closed).value)
    assert math.isnan(largest_jump(still).value)
    assert largest_jump(closed).value == 1


@pytest.mark.parametrize("shape", [(0, 5, 2), (3, 2, 2), (3, 5)])
def test_what_are_no_paths_is_refused(shape):
    for function in (length, largest_jump):
        with pytest.raises(UserError, match="interpolation-smoothness: it needs paths .*at least 3 points"):
            function(torch.zeros(shape))


def test_features_that_are_not_finite_are_refused():
    for function in (length, largest_jump):
        with pytest.raises(UserError, match="not finite"):
            function(path((0.0,), (math.nan,), (1.0,)))


# --- in a run -------------------------------------------------------------------------------------------------------


class Known(nn.Module):
    """x = 2 z, or the sign of it."""

    takes, makes = frozenset({"latent"}), frozenset({"points"})

    def __init__(self, interface, *, sign: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((1,), 2.0))
        self.sign = sign

    def forward(self, z):
        return self.weight * (z.sign() if self.sign else z)


@pytest.fixture
def known(tiny, make_run):
    """A run of x = 2 z, or of x = 2 sign(z), in the plane."""

    def make(sampler="uniform", points=16, **parameters):
        evaluators = [{"interpolation-smoothness": {"features": "pixels", "points": points}}]
        recipe = tiny(
            variant={"gan": {"latent": 2}}, sampler=sampler, generator={"known": parameters}, evaluators=evaluators
        )
        return make_run(recipe, {"generator.known": Known})

    return make


def scores_of(run):
    return run.experiment.evaluators[0].evaluate(run.evaluation)


def test_a_linear_generator_scores_1_and_1_on_straight_lines(known):
    got = scores_of(known())
    assert list(got) == ["[pixels].length", "[pixels].largest-jump"]
    for score in got.values():
        assert score.value == pytest.approx(1, rel=1e-4)


def test_between_latents_on_a_circle_the_way_is_an_arc_and_so_is_what_a_linear_generator_makes(known):
    """Angles are uniform in [0, pi]: arcs are pi / 2 long on average, chords 2 sin(angle / 2) are 4 / pi, so 1.234
    together.
    """
    got = scores_of(known(sampler="spherical"))
    assert got["[pixels].length"].low < math.pi**2 / 8 < got["[pixels].length"].high
    assert got["[pixels].length"].low > 1.01
    assert got["[pixels].largest-jump"].value == pytest.approx(1, rel=1e-3)


def test_a_generator_that_knows_four_samples_jumps(known):
    """2 sign(z): on a path, one axis or both flip at once, and each flip is a step; about 1 in 4 paths stands still."""
    score = scores_of(known(sign=True))["[pixels].largest-jump"]
    assert score.value > 10, "of 15 steps, one or two are not 0"
    assert "of 64 paths stand still" in score.method


def test_a_generator_that_makes_one_sample_only_scores_nan(known):
    run = known()
    with torch.no_grad():
        run.engine.modules["generator"].weight.zero_()
    got = scores_of(run)
    assert all(math.isnan(score.value) for score in got.values())
    assert got["[pixels].largest-jump"].method == "all 64 paths stand still"


def test_fakes_that_are_not_finite_score_nan_and_end_no_run(known):
    run = known()
    with torch.no_grad():
        run.engine.modules["generator"].weight.fill_(math.nan)
    assert all(math.isnan(score.value) for score in scores_of(run).values())


def test_images_and_the_classifier_work_too(tiny, make_run):
    evaluators = [{"interpolation-smoothness": {"pairs": 5, "points": 4}}]
    run = make_run(tiny(dataset={"digits": {"size": 16}}, evaluators=evaluators))
    got = scores_of(run)
    assert got["[classifier].length"].value >= 1 - 1e-6
    assert 1 <= got["[classifier].largest-jump"].value <= 3


def test_translations_have_no_latent_to_walk_on_and_are_refused_before_training(small_cyclegan, make_run):
    with pytest.raises(RefusedError, match=r"evaluator interpolation-smoothness: it walks from one latent to another"):
        make_run(small_cyclegan(evaluators=["interpolation-smoothness"]))


def test_a_variant_without_a_way_between_samples_is_refused():
    """Plain folders, and latents that are all labels."""
    evaluator = InterpolationSmoothness(features=None)
    with pytest.raises(UserError, match="no way from one sample to another"):
        evaluator.evaluate(SimpleNamespace(between=lambda pairs, points: None))
