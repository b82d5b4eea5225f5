"""What the doctor measures, against values worked out by hand."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch.nn.parameter import Parameter

from ganrun.words.game import DiscriminatorOutput, Game, Round, Stream
from ganrun_plugins.losses.minimax import Minimax
from ganrun_plugins.losses.non_saturating import NonSaturating
from ganrun_plugins.losses.wasserstein import Wasserstein
from ganrun_plugins.observers._vitals import (
    Reference,
    auc,
    axes,
    gap,
    kept,
    of_gradients,
    pull,
    relative_update,
    thinned,
    thumbnail,
)


def test_auc_counts_pairs_in_which_the_real_score_is_higher():
    """Pairs (2, 1), (2, 2), (2, 5), (4, 1), (4, 2), (4, 5): higher, tie, lower, twice higher, lower: (3 + 1/2) / 6."""
    assert auc(torch.tensor([2.0, 4.0]), torch.tensor([1.0, 2.0, 5.0])).item() == pytest.approx(3.5 / 6)
    assert auc(torch.zeros(3), torch.zeros(2)).item() == 0.5
    assert auc(1e6 + torch.arange(3.0), torch.arange(3.0)).item() == 1.0


def test_an_update_is_relative_to_the_weights_before_it():
    """(3, 4) has norm 5; it moved by (0.3, 0.4) of norm 0.5, and the other tensor not at all: |w| = sqrt(25 + 144) =
    13.
    """
    before, after = [torch.tensor([3.0, 4.0]), torch.tensor([12.0])], [torch.tensor([3.3, 4.4]), torch.tensor([12.0])]
    assert relative_update(before, after).item() == pytest.approx(0.5 / 13)
    assert relative_update([torch.zeros(2)], [torch.ones(2)]).item() == 1.0
    assert relative_update([torch.zeros(2)], [torch.zeros(2)]).item() == 0.0
    assert not relative_update([torch.ones(1)], [torch.tensor([math.nan])]).isfinite()


def test_the_gap_is_the_way_of_held_out_samples_from_train_samples_to_fakes():
    """Means 3, 2 and -1: (3 - 2) / (3 + 1)."""
    assert gap(torch.tensor([2.0, 4.0]), torch.tensor([2.0, 2.0]), torch.tensor([-1.0])).item() == pytest.approx(0.25)
    assert gap(torch.ones(2), torch.zeros(2), torch.full((2,), 5.0)).item() == 0.0, (
        "fakes score higher than real samples"
    )


def test_what_augmentation_keeps_is_its_covariance_with_itself():
    """The identity keeps all, half the contrast a quarter, a shift of all samples everything, and noise of its own
    nothing.
    """
    x = torch.randn(4000, 3, generator=torch.Generator().manual_seed(0))
    noise = [torch.randn(4000, 3, generator=torch.Generator().manual_seed(n)) for n in (1, 2)]
    assert kept(x, x, x).item() == pytest.approx(1)
    assert kept(x, x / 2, x / 2).item() == pytest.approx(0.25)
    assert kept(x, x + 7, x - 7).item() == pytest.approx(1, rel=1e-4)
    assert abs(kept(x, *noise).item()) < 0.05
    assert kept(x, torch.ones_like(x), torch.ones_like(x)).item() == 0


def test_pairs_of_samples_are_compared_with_pairs_of_real_ones():
    """Real samples at 0, 1, ..., 40: 820 pairs, of which 41 - d are d apart. Closer than 3: 40 + 39 = 79, so that the
    nearest tenth (82) ends at 3. Samples at 0, 0, 5, 40 have pairs 0, 5, 5, 40, 40, 35, of which one in six is that
    close."""
    reference = Reference(torch.arange(41.0)[:, None])
    assert reference.radii[0].item() == pytest.approx(3)
    found = reference.compare(torch.tensor([[0.0], [0.0], [5.0], [40.0]]), None)
    assert found["close10"].item() == pytest.approx(1 / 6)
    assert "drift" not in found


def test_spread_drift_and_path_are_in_deviations_of_the_data():
    """Real samples -1 and 1 (deviation 1, mean 0).

    Samples 2 and 4: deviation 1, mean 3; moved from 1 and 4 by 1 and 0.
    """
    reference = Reference(torch.tensor([[-1.0], [1.0]]))
    found = reference.compare(torch.tensor([[2.0], [4.0]]), torch.tensor([[1.0], [4.0]]))
    assert found["spread"].item() == pytest.approx(1)
    assert abs(found["path0"].item()) == pytest.approx(3)
    assert found["drift"].item() == pytest.approx(math.sqrt(0.5))
    assert reference.compare(torch.tensor([[math.nan], [4.0]]), None)["broken"].item() == 0.5


def test_axes_are_those_of_the_widest_deviations():
    """An ellipse along (3, 4) / 5, ten times as long as wide."""
    angle = torch.arange(64) * 2 * math.pi / 64
    x = 10 * angle.cos()[:, None] * torch.tensor([0.6, 0.8]) + angle.sin()[:, None] * torch.tensor([-0.8, 0.6])
    directions, sizes = axes(x)
    assert directions[:, 0].abs().tolist() == pytest.approx([0.6, 0.8])
    assert sizes.tolist() == pytest.approx([10 / math.sqrt(2), 1 / math.sqrt(2)])
    assert axes(torch.ones(5, 2) * torch.arange(5.0)[:, None])[0].shape == (2, 1), "a line has one axis"


def test_thumbnails_are_means_of_pixels_and_points_stay():
    x = torch.arange(32.0 * 32).reshape(1, 1, 32, 32)
    small = thumbnail(x)
    assert small.shape == (1, 256)
    assert small[0, 0].item() == (0 + 1 + 32 + 33) / 4
    assert torch.equal(thumbnail(torch.ones(2, 5)), torch.ones(2, 5))


def test_many_scores_are_thinned_evenly():
    row = thinned([torch.arange(600.0), torch.arange(600.0, 1200.0).reshape(2, 300)])
    assert row.tolist() == list(range(0, 1200, 3))


@pytest.mark.parametrize(("loss", "wanted"), [(Wasserstein(), 1.0), (NonSaturating(), 0.75), (Minimax(), 0.25)])
def test_the_pull_of_a_loss_is_its_slope_in_the_fakes_logits(loss, wanted):
    """Logits -log 3: the probability of being real is 1/4. d log D = 1 - D, d log(1 - D) = -D."""
    logits = torch.full((4,), -math.log(3.0))
    stream = Stream(torch.zeros(4, 2), "fake", output=DiscriminatorOutput(logits))
    turn = SimpleNamespace(loss=lambda game: loss)
    round = Round(Game("game", "discriminator", "discriminator", ["generator"]), "generator", [stream])
    assert pull(turn, round).item() == pytest.approx(wanted)
    assert stream.output.logits is logits


def test_weights_that_a_step_is_measured_by_are_copies():
    """What ``of_gradients`` keeps must not move with the update."""
    weight = Parameter(torch.ones(2))
    weight.grad = torch.tensor([3.0, 4.0])
    turn = SimpleNamespace(player="generator", parameters=lambda: [weight])
    values, before = of_gradients(turn)
    weight.data.add_(1)
    assert values["gradient:generator"].item() == pytest.approx(5)
    assert torch.equal(before[0], torch.ones(2))
