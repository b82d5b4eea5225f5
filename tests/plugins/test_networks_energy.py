"""The autoencoder: energies by hand, sizes, what is packed and given, refusals."""

import math

import pytest
import torch
from torch import nn

from ganrun.preflight.stages import STAGES
from ganrun.training.build import RefusedError
from ganrun.words.game import DiscriminatorOutput, Game, Round, Stream
from ganrun.words.spaces import Interface, Refusal, Space
from ganrun_plugins.losses.non_saturating import NonSaturating
from ganrun_plugins.networks.autoencoder import AutoencoderDiscriminator, sides

POINTS = Space("points", (2,))
LATENT = Space("latent", (5,))
LABELS = Space("labels", (), classes=3)
SMALL = {"width": 4, "widths": (8,), "code": 6}


def image(channels: int, height: int, width: int | None = None) -> Space:
    return Space("image", (channels, height, width or height))


def make(interface: Interface, **parameters) -> AutoencoderDiscriminator:
    torch.manual_seed(0)
    return AutoencoderDiscriminator(interface, **{**SMALL, **parameters})


def silenced(network: AutoencoderDiscriminator) -> AutoencoderDiscriminator:
    """The network with an output of zeros: it gives every sample back as 0."""
    output = network.autoencoder.output if hasattr(network.autoencoder, "output") else network.autoencoder.decoder[-1]
    nn.init.zeros_(output.weight)
    nn.init.zeros_(output.bias)
    return network


def test_the_energy_is_the_mean_error_by_hand():
    """Given back as (0, 0), the points (3, -1) and (0, 2) have the mean errors 2 and 1, and squares 5 and 2."""
    x = torch.tensor([[3.0, -1.0], [0.0, 2.0]])
    assert silenced(make(Interface(POINTS)))(x).logits.tolist() == [2, 1]
    assert silenced(make(Interface(POINTS), error="squared"))(x).logits.tolist() == [5, 2]


def test_the_error_is_that_of_encoder_and_decoder():
    """Code 2 x, given back as code / 4: half of each number is missing."""
    network = make(Interface(POINTS), widths=(), code=2)
    encoder, decoder = network.autoencoder.code, network.autoencoder.decoder[-1]
    for layer, factor in ((encoder, 2.0), (decoder, 0.25)):
        layer.weight.data = factor * torch.eye(2)
        nn.init.zeros_(layer.bias)
    output = network(torch.tensor([[3.0, -1.0]]))
    assert output.features[-1].tolist() == [[6, -2]]
    assert output.logits.tolist() == [1.0]  # (1.5 + 0.5) / 2


@pytest.mark.parametrize("side", [8, 20])
def test_the_mean_makes_the_energy_independent_of_the_size(side):
    network = silenced(make(Interface(image(3, side))))
    assert network(torch.full((2, 3, side, side), -0.5)).logits.tolist() == pytest.approx([0.5, 0.5])


def test_energies_are_never_negative_and_one_a_sample():
    for space in (POINTS, LATENT, image(1, 8)):
        logits = make(Interface(space))(torch.randn(16, *space.shape)).logits
        assert logits.shape == (16,)
        assert (logits >= 0).all()


def test_sides_are_halved_rounding_up_down_to_4():
    assert sides((28, 28)) == [(28, 28), (14, 14), (7, 7), (4, 4)]
    assert sides((8, 8)) == [(8, 8), (4, 4)]
    assert sides((4, 17)) == [(4, 17), (4, 9), (4, 5), (4, 3)]


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (1, 28, 28), (3, 9, 13), (2, 8, 64), (1, 3, 5)])
def test_images_of_any_size_are_given_back(shape):
    network = make(Interface(Space("image", shape)))
    output = network(torch.rand(2, *shape))
    assert network.autoencoder.decode(output.features[-1]).shape == (2, *shape)
    steps = sides(shape[1:])
    assert [tuple(f.shape) for f in output.features] == [
        *((2, 4 * (i + 1), *side) for i, side in enumerate(steps)),
        (2, 6),
    ]


def test_features_are_the_encoders_and_the_code_is_last():
    output = make(Interface(POINTS), widths=(8, 7))(torch.zeros(3, 2))
    assert [tuple(f.shape) for f in output.features] == [(3, 8), (3, 7), (3, 6)]


def test_the_first_layer_and_the_last_have_no_normalisation():
    for norm, kinds in (("batch", (nn.BatchNorm1d, nn.BatchNorm2d)), ("layer", (nn.LayerNorm, nn.GroupNorm))):
        # Points: 2 hidden layers down and 2 up. Images of 8 and 4 pixels: 2 convolutions a size down, 1 a size up.
        for space, layers in ((POINTS, 4), (image(1, 8), 6)):
            network = make(Interface(space), norm=norm, widths=(8, 8))
            hidden = [module for module in network.modules() if isinstance(module, nn.ELU)]
            found = [module for module in network.modules() if isinstance(module, kinds)]
            assert (len(hidden), len(found)) == (layers, layers - 1)
            assert network(torch.randn(4, *space.shape)).logits.shape == (4,)
    assert not any(isinstance(m, nn.BatchNorm1d | nn.LayerNorm) for m in make(Interface(POINTS)).modules())


def test_a_pack_is_given_back_as_a_pack():
    """Of two images the second is part of the error, too."""
    network = silenced(make(Interface(image(1, 8), pack=2)))
    x = torch.cat([torch.zeros(2, 1, 8, 8), torch.ones(2, 1, 8, 8)], 1)
    assert network(x).logits.tolist() == [0.5, 0.5]
    assert make(Interface(POINTS, pack=3))(torch.zeros(2, 6)).logits.shape == (2,)


@pytest.mark.parametrize("space", [POINTS, LATENT, image(1, 8)])
def test_what_is_given_is_seen_and_not_given_back(space):
    network = make(Interface(space, given=(LABELS, Space("latent", (4,)))))
    x, z = torch.randn(2, *space.shape), torch.zeros(2, 4)
    one, other = network(x, torch.tensor([0, 0]), z), network(x, torch.tensor([1, 1]), z)
    assert network.autoencoder.decode(one.features[-1]).shape[1:].numel() == space.size
    assert not torch.equal(one.logits, other.logits)
    assert torch.equal(silenced(network)(x, torch.tensor([0, 0]), z + 9).logits, x.abs().flatten(1).mean(1))


def test_a_given_image_of_another_size_is_refused():
    with pytest.raises(Refusal, match="one size"):
        make(Interface(image(1, 8), given=(image(1, 16),)))


def test_heads_are_linear_on_the_code():
    network = make(Interface(POINTS, heads={"class": 5}))
    output = network(torch.randn(3, 2))
    assert torch.equal(output.heads["class"], network.heads["class"](output.features[-1]))


def test_several_logits_are_refused_because_a_sample_has_one_error():
    with pytest.raises(Refusal, match="asks for 2 numbers"):
        make(Interface(POINTS, logits=2))


@pytest.mark.parametrize(
    "interface",
    [
        Interface(POINTS, given=(LABELS,), pack=2),
        Interface(LATENT),
        Interface(image(3, 28), given=(LABELS, image(1, 28)), heads={"class": 3}, pack=2),
    ],
)
def test_an_autoencoder_runs_on_the_meta_device(interface):
    with torch.device("meta"):
        network = AutoencoderDiscriminator(interface)
    assert network(*interface.example(rows=3)).logits.shape == (3,)


def test_penalties_can_be_differentiated():
    network = make(Interface(image(1, 8))).double()
    x = torch.rand(2, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    (grad,) = torch.autograd.grad(network(x).logits.sum(), x, create_graph=True)
    grad.square().sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())
    assert network.autoencoder.code.weight.grad.abs().max() > 0


def test_energies_are_not_rounded_under_mixed_precision():
    network, x = make(Interface(POINTS)), torch.full((2, 2), 0.3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert network(x).logits.dtype == torch.float32
        assert network(x.bfloat16()).logits.dtype == torch.float32


def test_an_autoencoder_learns_to_give_samples_back():
    network = make(Interface(image(1, 8)), code=16)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    x = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0)).round() * 2 - 1
    before = network(x).logits.mean().item()
    for _ in range(60):
        optimizer.zero_grad()
        network(x).logits.mean().backward()
        optimizer.step()
    assert network(x).logits.mean().item() < 0.6 * before


@pytest.mark.parametrize("stage", STAGES)
def test_an_autoencoder_serves_every_stage(make_run, stage):
    run = make_run({**STAGES[stage], "loss": "began", "discriminator": {"autoencoder": {**SMALL, "widths": [8]}}})
    run.engine.step(0)
    assert all(value.isfinite() for terms in run.engine.terms.values() for value in terms.values())


def test_a_loss_that_raises_the_logits_of_real_samples_is_refused(make_run, tiny):
    """What the refusal prevents: cross-entropy asks the autoencoder to fail on real samples, and cannot get fakes below
    log 2.
    """
    network, x = make(Interface(POINTS)), torch.randn(64, 2)
    energy = network(x).logits.detach().requires_grad_()
    streams = [Stream(x, role, output=DiscriminatorOutput(energy)) for role in ("real", "fake")]
    for stream, target in zip(streams, (1.0, 0.0)):
        stream.target = torch.full_like(energy, target, requires_grad=False)
    real, fake = NonSaturating().discriminator(Round(Game("g", "d", "d"), "discriminator", streams)).values()
    assert (torch.autograd.grad(real.sum(), energy)[0] < 0).all()  # a larger error on real samples lowers the loss
    assert (fake >= math.log(2)).all()
    with pytest.raises(RefusedError, match="loss: ebgan, began or magan"):
        make_run(tiny(discriminator="autoencoder"))
