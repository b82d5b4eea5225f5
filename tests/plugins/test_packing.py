"""Packing: which rows become a pack, what is given and weighed with them, and that packs are what penalties see."""

import pytest
import torch
from torch import nn

from ganrun.testing.runs import first_difference, samples, steps, weights
from ganrun.training.build import RefusedError
from ganrun.words.game import Call, DiscriminatorOutput, Game, Round
from ganrun.words.spaces import Interface, Space
from ganrun_plugins.networks.dcgan import DCGANDiscriminator
from ganrun_plugins.networks.mlp import MLPDiscriminator
from ganrun_plugins.networks.patchgan import PatchGAN
from ganrun_plugins.tricks.packing import Packing

ROUND = Round(Game("adversarial", "discriminator", "discriminator", ["generator"]), "discriminator", [])


def packed(*sizes: int, x: torch.Tensor, given=(), weight=1.0) -> Call:
    call = Call(ROUND, x, "real", given, weight=weight)
    for m in sizes:
        Packing(m=m).pack(None, call)
    return call


def test_neighbouring_rows_are_one_pack():
    call = packed(2, x=torch.tensor([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0], [6.0, 7.0]]))
    assert call.x.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_images_are_joined_along_the_channels():
    x = torch.randn(6, 2, 4, 5)
    call = packed(3, x=x)
    assert call.x.shape == (2, 6, 4, 5)
    assert torch.equal(call.x[1], torch.cat([x[3], x[4], x[5]]))


def test_what_is_given_is_joined_likewise():
    labels, vectors, images = torch.arange(4), torch.arange(8.0).reshape(4, 2), torch.randn(4, 1, 3, 3)
    call = packed(2, x=torch.zeros(4, 2), given=(labels, vectors, images))
    assert call.given[0].tolist() == [[0, 1], [2, 3]]
    assert call.given[1].tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert torch.equal(
        call.given[2], torch.stack([torch.cat([images[0], images[1]]), torch.cat([images[2], images[3]])])
    )


def test_the_weight_of_a_pack_is_the_mean_of_its_samples():
    assert packed(2, x=torch.zeros(4, 2), weight=torch.tensor([1.0, 3.0, 0.0, 1.0])).weight.tolist() == [2.0, 0.5]
    assert packed(2, x=torch.zeros(4, 2), weight=0.5).weight == 0.5


def test_two_packings_make_packs_of_the_product():
    x, labels = torch.randn(12, 2, 3, 3), torch.arange(12)
    twice, once = packed(2, 3, x=x, given=(labels,)), packed(6, x=x, given=(labels,))
    assert torch.equal(twice.x, once.x)
    assert torch.equal(twice.given[0], once.given[0])


def test_packs_of_one_change_nothing(tiny, make_run):
    x = torch.randn(4, 2)
    assert torch.equal(packed(1, x=x).x, x)
    assert packed(1, x=x, given=(torch.arange(4),)).given[0].shape == (4,)
    plain, one = (steps(make_run(tiny(tricks=tricks)), 5) for tricks in ([], [{"packing": {"m": 1}}]))
    assert not first_difference(weights(plain), weights(one))
    assert not first_difference(samples(plain), samples(one))


def test_only_packs_of_several_are_called_packed():
    assert Packing(m=1).provides == frozenset()
    assert Packing().provides == {"packed"}


SPACE = Space("image", (1, 16, 16))
NETWORKS = {
    "mlp": MLPDiscriminator,
    "dcgan": DCGANDiscriminator,
    "patchgan": lambda interface: PatchGAN(interface, layers=1, width=4),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_each_discriminator_takes_packs_with_all_that_is_given(name):
    given = (Space("labels", (), 3), Space("image", (2, 16, 16)), Space("latent", (5,)))
    network = NETWORKS[name](Interface(takes=SPACE, given=given, pack=2))
    tensors = (torch.arange(6) % 3, torch.randn(6, 2, 16, 16), torch.randn(6, 5))
    call = packed(2, x=torch.randn(6, 1, 16, 16), given=tensors)
    assert network(call.x, *call.given).logits.shape[0] == 3


@pytest.mark.parametrize("name", NETWORKS)
def test_a_discriminator_of_packs_sees_every_sample_of_its_pack_and_no_other(name):
    network = NETWORKS[name](Interface(takes=SPACE, pack=2)).eval()
    x = torch.randn(4, 1, 16, 16, requires_grad=True)
    (grad,) = torch.autograd.grad(network(packed(2, x=x).x).logits[1].sum(), x)
    assert grad.flatten(1).abs().sum(1).bool().tolist() == [False, False, True, True]


class Linear(nn.Module):
    """D(x) = w . x on packs."""

    takes = frozenset({"points"})

    def __init__(self, interface):
        super().__init__()
        self.map = nn.Linear(interface.pack * interface.takes.size, 1)

    def forward(self, x):
        return DiscriminatorOutput(self.map(x).squeeze(1))


def in_a_turn(run):
    """The discriminator's turn of a run's first step, as a trick sees it in ``losses``."""
    found = []
    original = run.engine.hooks.losses
    run.engine.hooks.losses = lambda turn: (found.append(turn), original(turn=turn))
    run.engine.step(0)
    return next(turn for turn in found if turn.player == "discriminator")


def test_a_penalty_takes_one_norm_a_pack(tiny, make_run):
    """On D = w .

    (x1, x2) the gradient of a pack is w, whichever samples are in it: its norm is that of w, not of one half.
    """
    run = make_run(tiny(discriminator="linear", tricks=["packing"]), {"discriminator.linear": Linear})
    turn = in_a_turn(run)
    round = turn.rounds[0]
    output = turn.discriminate(round, torch.randn(8, 2), role="real", tag="penalty", leaf=True)
    assert output.logits.shape == (4,)
    assert output.x.shape == (8, 2)
    (grad,) = torch.autograd.grad(output.logits.sum(), output.x)
    norms = grad.reshape(len(output.logits), -1).norm(dim=1)  # (4,)
    weight = run.engine.modules["discriminator"].map.weight.detach()
    assert torch.allclose(norms, weight.norm().expand(4))
    assert not torch.allclose(grad.norm(dim=1), weight.norm().expand(8)), "one sample has only its half of w"


def test_values_are_averaged_over_packs(tiny, make_run):
    run = make_run(tiny(tricks=[{"packing": {"m": 4}}]))
    stream = in_a_turn(run).rounds[0].of("real")[0]
    assert stream.x.shape == (8, 2)
    assert stream.logits.shape == stream.target.shape == (2,)


def test_every_discriminator_of_a_variant_takes_packs(small_cyclegan, make_run):
    run = make_run(small_cyclegan(tricks=[{"packing": {"m": 2}}]))
    packs = {name: network.interface.pack for name, network in run.experiment.description.networks.items()}
    assert {pack for name, pack in packs.items() if name.startswith("discriminator")} == {2}
    assert {pack for name, pack in packs.items() if name.startswith("generator")} == {1}
    steps(run, 1)


@pytest.mark.parametrize("batch_size", [3, 6])
def test_a_batch_that_is_no_whole_number_of_packs_is_refused(tiny, make_run, batch_size):
    """Without the refusal the first step would fail: rows are left over."""
    with pytest.raises(RuntimeError, match="invalid for input of size"):
        packed(2, 2, x=torch.zeros(batch_size, 2))
    with pytest.raises(RefusedError, match="packs of 4") as error:
        make_run(tiny(tricks=["packing", "packing"], train={"batch_size": batch_size}))
    assert (
        error.value.refusals[0].instead
        == {3: "train.batch_size: 4, or another m", 6: "train.batch_size: 4 or 8, or another m"}[batch_size]
    )


def test_two_instances_train_packs_of_four(tiny, make_run):
    run = make_run(tiny(tricks=["packing", "packing"]))
    assert run.experiment.description.networks["discriminator"].interface.pack == 4
    assert in_a_turn(run).rounds[0].of("fake")[0].logits.shape == (2,)
