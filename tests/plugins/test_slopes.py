"""What a penalty's slope is of: norms, shares, patches, packs, augmentation, scores, batch statistics."""

from types import SimpleNamespace

import pytest
import torch
from penalties_by_hand import ALL, FAKE, REAL
from slopes_of import Linear, close, paid, stand
from torch import nn

from ganrun.words.hooks import hookimpl
from ganrun_plugins.tricks._penalty import norms, slopes
from ganrun_plugins.tricks.dragan_penalty import DraganPenalty
from ganrun_plugins.tricks.gradient_penalty import GradientPenalty
from ganrun_plugins.tricks.packing import joined
from ganrun_plugins.tricks.r1 import R1
from ganrun_plugins.tricks.r2 import R2
from ganrun_plugins.tricks.roth_penalty import RothPenalty
from ganrun_plugins.tricks.zero_centred_penalty import ZeroCentredPenalty


def test_gp_takes_one_norm_over_channels_height_and_width_of_a_sample():
    """w is 0.5 at each of 4 x 2 x 2 numbers: |w|^2 = 16 / 4, norm 2, (2 - 1)^2.

    Over channels alone each norm were 1 and the value 0.
    """
    w = torch.full((4, 2, 2), 0.5).tolist()
    term, grads = paid(GradientPenalty(weight=1.0), stand(Linear(w), torch.randn(3, 4, 2, 2), torch.randn(3, 4, 2, 2)))
    assert term.value.item() == 1.0
    assert close(grads["w"], torch.full((4, 2, 2), 0.5).tolist())  # 2 (2 - 1) w / 2


@pytest.mark.parametrize("trick", [GradientPenalty(), ZeroCentredPenalty()])
def test_interpolates_have_one_share_a_sample_of_its_own(trick):
    turn = stand(Linear(torch.zeros(3, 2, 2).tolist()), torch.zeros(5, 3, 2, 2), torch.ones(5, 3, 2, 2))
    trick.losses(turn)
    seen = turn.networks["discriminator"].seen[0][0]
    assert torch.equal(seen, seen[:, :1, :1, :1].expand_as(seen))
    assert len(seen[:, 0, 0, 0].unique()) == 5
    assert seen.min() >= 0
    assert seen.max() < 1


def test_interpolates_are_given_what_the_real_samples_are():
    turn = stand(Linear([3.0, 4.0]), REAL, FAKE)
    turn.rounds[0].real.given = (torch.tensor([7, 8]), torch.tensor([[0.5], [0.25]]))
    turn.rounds[0].fake.given = (torch.tensor([1, 2]), torch.tensor([[0.0], [0.0]]))
    GradientPenalty().losses(turn)
    labels, numbers = turn.networks["discriminator"].seen[0][1]
    assert labels.tolist() == [7, 8]
    assert numbers.tolist() == [[0.5], [0.25]]


def test_interpolates_of_streams_of_unequal_length_end_with_the_shorter_one():
    turn = stand(Linear([3.0, 4.0]), REAL, torch.cat([FAKE, FAKE]))
    term, _ = paid(GradientPenalty(), turn)
    assert term.value.item() == 16.0
    assert len(turn.networks["discriminator"].seen[0][0]) == 2


@pytest.mark.parametrize("trick", [kind() for kind in ALL])
def test_the_gradient_is_finite_where_the_slope_is_zero(trick):
    term, grads = paid(trick, stand(Linear([0.0, 0.0]), REAL, FAKE))
    assert term.value.item() == (1.0 if "gradient-penalised" in trick.provides else 0.0)  # (0 - 1)^2, or 0^2
    assert grads["w"].tolist() == [0.0, 0.0]


def test_a_norm_has_a_unit_gradient_down_to_tiny_slopes():
    slope = torch.tensor([[0.0, 0.0], [3e-15, 4e-15]], requires_grad=True)
    found = norms(slope)
    assert close(found * 1e15, [0.0, 5.0])
    (grad,) = torch.autograd.grad(found.sum(), slope)
    assert close(grad, [[0.0, 0.0], [0.6, 0.8]])


@pytest.mark.parametrize(
    ("trick", "value"),
    [
        (GradientPenalty(), 196.0),  # (3 * 5 - 1)^2
        (ZeroCentredPenalty(), 225.0),
        (R1(), 112.5),
        (R2(), 112.5),
        (DraganPenalty(), 196.0),
    ],
)
def test_a_patch_map_counts_by_its_sum(trick, value):
    """Three equal patches: the gradient of their sum is 3 w, of norm 15. Their mean would have the norm 5."""
    term, _ = paid(trick, stand(Linear([3.0, 4.0], patches=3), REAL, FAKE))
    assert term.value.item() == value


def test_roths_log_likelihood_of_a_patch_map_is_the_sum_over_patches():
    """D = 1/2 at each of three patches: grad log D is 3 * w / 2, of square 2.25 * 25; at fakes alike: their mean over
    2.
    """
    term, _ = paid(RothPenalty(), stand(Linear([3.0, 4.0], patches=3), torch.zeros(2, 2), torch.zeros(2, 2)))
    assert term.value.item() == 56.25


def test_a_pack_has_one_norm():
    """w = (3, 4, 12) over packs of three numbers: norm 13, (13 - 1)^2 = 144, a row a pack."""

    class Pack:
        @hookimpl
        def pack(self, turn, call):
            call.x = joined(call.x, 3)

    turn = stand(Linear([3.0, 4.0, 12.0]), torch.randn(6, 1), torch.randn(6, 1), tricks=[Pack()])
    round = turn.rounds[0]
    found = slopes(turn, round, round.real.x, role="real")
    assert found.tolist() == [[3.0, 4.0, 12.0], [3.0, 4.0, 12.0]]
    assert paid(GradientPenalty(), turn)[0].value.item() == 144.0


class Doubling:
    """An augmentation x -> 2x, and noise that must not be seen."""

    @hookimpl
    def augment(self, turn, call):
        call.x = 2 * call.x

    @hookimpl
    def corrupt(self, turn, call):
        raise AssertionError("a penalty is taken without noise")


@pytest.mark.parametrize("kind", [R1, R2])
def test_r1_and_r2_are_on_the_image_before_augmentation(kind):
    """D(2x) has the slope 2w at x: 4 * 25 / 2. A leaf behind the augmentation would see the slope w, 25 / 2."""
    term, _ = paid(kind(), stand(Linear([3.0, 4.0]), REAL, FAKE, tricks=[Doubling()]))
    assert term.value.item() == 50.0
    term, _ = paid(kind(augmented=False), stand(Linear([3.0, 4.0]), REAL, FAKE, tricks=[Doubling()]))
    assert term.value.item() == 12.5


@pytest.mark.parametrize("kind", [GradientPenalty, ZeroCentredPenalty, DraganPenalty])
def test_points_beside_samples_are_not_augmented(kind):
    value = paid(kind(), stand(Linear([3.0, 4.0]), REAL, FAKE, tricks=[Doubling()]))[0].value.item()
    assert value == (25.0 if kind is ZeroCentredPenalty else 16.0)


def test_the_slope_is_that_of_the_losss_score():
    """A loss whose score is minus twice the logit: the slope is -2w, R1 is 4 * 25 / 2."""
    loss = SimpleNamespace(provides=frozenset(), score=lambda round, logits: -2 * logits)
    turn = stand(Linear([3.0, 4.0]), REAL, FAKE, loss=loss)
    assert slopes(turn, turn.rounds[0], REAL, role="real").tolist() == [[-6.0, -8.0]] * 2
    assert paid(R1(), turn)[0].value.item() == 50.0


def test_the_norm_of_one_logits_gradient_under_batch_statistics_is_not_that_of_the_samples_slope():
    """What the refusal of BatchNorm prevents: a logit depends on the other samples, so the summed gradient is not its
    slope.
    """
    torch.manual_seed(0)

    def slopes_of(norm):
        network = nn.Sequential(nn.Linear(2, 8), norm, nn.Tanh(), nn.Linear(8, 1))
        x = torch.randn(4, 2, requires_grad=True)
        logits = network(x)[:, 0]
        # logit, sample, D
        own = torch.stack([torch.autograd.grad(logits[i], x, retain_graph=True)[0] for i in range(4)])
        return own, torch.autograd.grad(logits.sum(), x)[0]

    own, summed = slopes_of(nn.BatchNorm1d(8))
    assert own[0, 1].abs().max() > 1e-3  # logit 0 moves with sample 1
    assert not torch.allclose(summed, own.diagonal().T, rtol=0.1)
    own, summed = slopes_of(nn.LayerNorm(8))
    assert own[0, 1].abs().max() == 0
    assert torch.allclose(summed, own.diagonal().T)
