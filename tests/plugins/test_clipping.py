"""Clipping of weights and gradients: numbers by hand, players, schedules, and runs."""

import pytest
import torch
from torch import nn
from turns_by_hand import make_turn, parameter, trained

from ganrun.schedule import Scheduled
from ganrun.training.build import RefusedError
from ganrun_plugins.tricks.gradient_clipping import GradientClipping
from ganrun_plugins.tricks.weight_clipping import WeightClipping

# --- weight-clipping ------------------------------------------------------------------------------------------


def test_weights_are_clamped_to_the_limit_and_others_are_left_alone():
    held = [parameter(0.5, -0.02, 0.005), parameter([-3.0], [0.01])]
    WeightClipping().updated(make_turn(held))
    assert torch.equal(held[0].data, torch.tensor([0.01, -0.01, 0.005]))
    assert torch.equal(held[1].data, torch.tensor([[-0.01], [0.01]]))


def test_the_limit_can_be_scheduled():
    held = [parameter(5.0, -5.0)]
    WeightClipping(limit=Scheduled({"linear": [1.0, 3.0]})).updated(make_turn(held, step=50))
    assert held[0].tolist() == [2.0, -2.0]


def test_generators_are_not_clipped():
    held = [parameter(5.0)]
    for event in ("phase_start", "updated"):
        for when in ("before", "after"):
            getattr(WeightClipping(when=when), event)(make_turn(held, "generator"))
    assert held[0].item() == 5.0


def test_weights_are_clipped_after_the_update_as_the_paper_or_before_the_turn_as_the_authors_code():
    for when, before, after in (("after", 5.0, 0.01), ("before", 0.01, 5.0)):
        found = []
        for event in ("phase_start", "updated"):
            held = [parameter(5.0)]
            getattr(WeightClipping(when=when), event)(make_turn(held))
            found.append(held[0].item())
        assert found == pytest.approx([before, after])


def test_in_a_run_every_weight_of_the_discriminator_is_within_the_limit(make_run, tiny):
    """Of algorithm 1 after the step; of the authors' code the last update's are beyond it."""
    for when, within in (("after", True), ("before", False)):
        run = make_run(tiny(tricks=[{"weight-clipping": {"when": when}}]))
        trained(run)
        largest = max(float(p.detach().abs().max()) for p in run.engine.parameters["discriminator"])
        assert (largest <= 0.01 + 1e-9) == within
        assert max(float(p.detach().abs().max()) for p in run.engine.parameters["generator"]) > 0.1


@pytest.mark.parametrize("other", ["spectral-norm", "gradient-penalty", "dragan-penalty"])
def test_clipping_is_refused_with_a_second_bound_on_the_slope(make_run, tiny, other):
    with pytest.raises(RefusedError):
        make_run(tiny(tricks=["weight-clipping", other]))


def test_clipping_with_weight_normalisation_warns_and_bounds_the_weights(make_run, tiny):
    """Its lengths g are clipped, too, so a unit's weight w = g v / |v| is no longer than the limit."""
    run = make_run(tiny(tricks=["weight-norm", "weight-clipping"]))
    assert any("weight-clipping" in warning.part for warning in run.experiment.warnings)
    trained(run)
    (layer, *_) = [m for m in run.engine.modules["discriminator"].modules() if isinstance(m, nn.Linear)]
    assert float(layer.weight.detach().norm(dim=1).max()) <= 0.01 + 1e-6


# --- gradient-clipping ----------------------------------------------------------------------------------------


def clipped(trick, *gradients, player="discriminator", step=0):
    held = [parameter(*[0.0] * len(values)) for values in gradients]
    for one, values in zip(held, gradients):
        one.grad = torch.tensor(values)
    trick.gradients(make_turn(held, player, step=step))
    return [one.grad.tolist() for one in held]


def test_a_long_gradient_is_shortened_as_a_whole():
    """|(3, 0, 4)| = 5: times 2 / 5."""
    assert clipped(GradientClipping(max_norm=2.0), [3.0, 0.0], [4.0]) == [
        pytest.approx([1.2, 0.0]),
        pytest.approx([1.6]),
    ]


def test_a_short_gradient_is_left_alone_to_the_bit():
    assert clipped(GradientClipping(max_norm=5.0), [3.0, 0.0], [4.0]) == [[3.0, 0.0], [4.0]]
    assert clipped(GradientClipping(), [0.1, -0.3], [1e-30]) == [
        torch.tensor([0.1, -0.3]).tolist(),
        torch.tensor([1e-30]).tolist(),
    ]


def test_a_gradient_of_0_stays_0():
    assert clipped(GradientClipping(), [0.0, 0.0], [0.0]) == [[0.0, 0.0], [0.0]]


def test_the_length_can_be_scheduled():
    """2 at the start, 1 at the end: 1.5 half-way, and |g| = 3."""
    assert clipped(GradientClipping(max_norm=Scheduled({"linear": [2.0, 1.0]})), [3.0], step=50) == [
        pytest.approx([1.5])
    ]


def test_only_the_named_players_are_clipped(make_run, tiny):
    trick = GradientClipping(max_norm=1.0, players=["generator"])
    assert clipped(trick, [3.0]) == [[3.0]]
    assert clipped(trick, [3.0], player="generator") == [[1.0]]
    with pytest.raises(RefusedError, match="no player 'critic'"):
        make_run(tiny(tricks=[{"gradient-clipping": {"players": ["critic"]}}]))


def test_parameters_without_a_gradient_are_passed_over():
    held = [parameter(1.0), parameter(1.0)]
    held[1].grad = torch.tensor([4.0])
    GradientClipping(max_norm=1.0).gradients(make_turn(held))
    assert held[0].grad is None
    assert held[1].grad.item() == 1.0
