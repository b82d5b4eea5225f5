"""D*, the divergence and the value of the game on points: closed forms on two cells, and what a run reports."""

import math

import pytest
import torch

from ganrun.training.build import RefusedError
from ganrun_plugins.evaluators._plots import curves, surface
from ganrun_plugins.evaluators.optimal_discriminator import cells_of, jensen_shannon, shares

SMALL = {"optimal-discriminator": {"cells": 10, "samples": 200}}


def test_shares_by_hand():
    """Four points in four cells of [0, 4]; what lies outside counts to the nearest cell; in the plane the second axis
    is counted fastest.
    """
    box = torch.tensor([0.0]), torch.tensor([4.0])
    assert shares(torch.tensor([[0.5], [0.9], [3.5], [9.0]]), *box, 4).tolist() == [0.5, 0, 0, 0.5]
    plane = torch.zeros(2), torch.full((2,), 2.0)
    assert cells_of(torch.tensor([[0.5, 1.5], [1.5, 0.5]]), *plane, 2).tolist() == [1, 2]


def test_the_divergence_of_equal_shares_is_0_and_of_foreign_ones_log_2():
    p, q = torch.tensor([0.5, 0.5, 0.0]).double(), torch.tensor([0.0, 0.0, 1.0]).double()
    assert jensen_shannon(p, p) == pytest.approx(0, abs=1e-12)
    assert jensen_shannon(p, q) == pytest.approx(math.log(2))


def test_the_divergence_by_hand():
    """p = (3/4, 1/4), q = (1/4, 3/4): the middle is (1/2, 1/2), JSD = 3/4 log(3/2) + 1/4 log(1/2)."""
    p = torch.tensor([0.75, 0.25]).double()
    assert jensen_shannon(p, p.flip(0)) == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5))


def test_a_discriminator_that_says_one_half_everywhere_has_the_value_minus_log_4(tiny, make_run):
    run = make_run(tiny(dataset={"line": {"count": 400}}, evaluators=[SMALL]))
    with torch.no_grad():
        for parameter in run.engine.modules["discriminator"].parameters():
            parameter.zero_()
    (evaluator,) = run.experiment.evaluators
    found = evaluator.evaluate(run.evaluation)
    assert found["value"].value == pytest.approx(-math.log(4))
    assert found["slope-saturating"].value == pytest.approx(0.5)
    assert found["slope-non-saturating"].value == pytest.approx(0.5)
    assert found["value-of-optimum"].value == pytest.approx(2 * found["jsd"].value - math.log(4))
    assert found["value-of-optimum"].value > found["value"].value, "D* is the best there is"


def test_a_discriminator_that_tells_fakes_surely_leaves_the_saturating_loss_no_slope(tiny, make_run):
    run = make_run(
        tiny(
            dataset={"line": {"centres": [50.0], "count": 400}},
            discriminator={"mlp": {"widths": []}},
            evaluators=[SMALL],
        )
    )
    with torch.no_grad():
        run.engine.modules["discriminator"].output.weight.fill_(1.0)
        run.engine.modules["discriminator"].output.bias.fill_(-25.0)
    found = run.experiment.evaluators[0].evaluate(run.evaluation)
    assert found["slope-saturating"].value < 1e-6
    assert found["slope-non-saturating"].value > 1 - 1e-6
    assert found["value"].value == pytest.approx(0, abs=1e-4)
    assert found["distance"].value < 1e-6
    assert found["value-of-optimum"].value == pytest.approx(0, abs=1e-9), "they share no cell, so JSD is log 2"


def test_losses_without_a_probability_have_the_divergence_alone(tiny, make_run):
    run = make_run(tiny(loss="least-squares", dataset={"ring": {"count": 400}}, evaluators=[SMALL]))
    assert set(run.experiment.evaluators[0].evaluate(run.evaluation)) == {"jsd", "value-of-optimum"}


def test_images_are_refused(tiny, make_run):
    with pytest.raises(RefusedError, match="the densities of images cannot be counted"):
        make_run(tiny(dataset={"digits": {"size": 8}}, evaluators=[SMALL]))


def test_the_pictures_are_kept_with_the_run(tiny, tmp_path):
    from ganrun import api

    for name, data in (("curves", "line"), ("surface", "ring")):
        api.run(tiny(dataset={data: {"count": 400}}, evaluators=[SMALL], train={"steps": 1}), output=tmp_path / data)
        assert [path.name for path in (tmp_path / data / "evaluations").iterdir()] == [
            f"optimal-discriminator-{name}-0000001.png"
        ]


def test_a_surface_is_red_where_values_are_above_the_middle_and_rows_go_upwards():
    values = torch.tensor([[-1.0, -1.0], [1.0, 1.0]]).repeat_interleave(4, 0).repeat_interleave(4, 1)  # (8, 8)
    picture = surface(values, [], torch.zeros(2), torch.ones(2), middle=0.0)
    (red, _, blue), (red_below, _, blue_below) = picture.getpixel((180, 20)), picture.getpixel((180, 340))
    assert red > blue
    assert blue_below > red_below


def test_a_curve_stops_where_it_is_not_a_number():
    x = torch.linspace(0, 1, 9)
    broken = torch.where((x > 0.4) & (x < 0.6), torch.nan, torch.full_like(x, 0.5))
    whole, cut = curves(x, {"y": torch.full_like(x, 0.5)}), curves(x, {"y": broken})
    middle = (320, 180)
    assert whole.getpixel(middle) != (255, 255, 255)
    assert cut.getpixel(middle) == (255, 255, 255)


def test_equal_densities_have_the_divergence_that_the_docstring_says():
    """2000 samples of each in 50 equally likely cells: 49 / 8000 on average."""
    random, box = torch.Generator().manual_seed(0), (torch.zeros(1), torch.ones(1))
    pairs = [[shares(torch.rand(2000, 1, generator=random), *box, 50) for _ in range(2)] for _ in range(100)]
    assert sum(jensen_shannon(p, q) for p, q in pairs) / 100 == pytest.approx(49 / 8000, rel=0.1)


@pytest.mark.parametrize("changes", [{"variant": {"cgan": {"latent": 4}}}, {"loss": "cramer"}])
def test_a_discriminator_without_a_value_at_a_point_leaves_the_divergence(tiny, make_run, changes):
    """One is given a label, the other's score is relative to other fakes."""
    run = make_run(tiny(dataset={"ring": {"count": 400}}, evaluators=[SMALL], **changes))
    assert set(run.experiment.evaluators[0].evaluate(run.evaluation)) == {"jsd", "value-of-optimum"}
