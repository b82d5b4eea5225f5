"""Hidden layers of a generator come with its output in one call, whatever the network is wrapped in."""

import pytest
import torch
from torch import nn

from ganrun.words.game import Term
from ganrun.words.spaces import Interface, Space
from ganrun_plugins.networks.mlp import MLPGenerator
from ganrun_plugins.networks.resnet_translator import ResnetTranslator
from ganrun_plugins.networks.unet import UNet
from ganrun_plugins.variants.gan import GAN

IMAGE = Space("image", (1, 8, 8))


class Deep(GAN):
    """GAN whose samples are made with their hidden layers, which are kept small."""

    def make(self, turn):
        found = turn.modules["generator"](turn.latents["z"], layers=True)
        turn.made["x"], turn.made["first"] = found.output, found.hidden["hidden.0"]

    def terms(self, turn):
        return {"size": Term(turn.made["first"].square().mean())} if turn.player == "generator" else {}


def test_the_layers_of_a_perceptron_are_its_activations_worked_out_by_hand():
    network = MLPGenerator(
        Interface(Space("latent", (1,)), Space("points", (1,))), widths=(2,), norm="none", activation="relu"
    )
    with torch.no_grad():
        network.hidden[0][0].weight.copy_(torch.tensor([[1.0], [-1.0]]))
        network.hidden[0][0].bias.copy_(torch.tensor([0.5, 0.0]))
        network.output[0].weight.copy_(torch.tensor([[2.0, 3.0]]))
        network.output[0].bias.zero_()
    found = network(torch.tensor([[1.0], [-2.0]]), layers=True)
    assert list(found.hidden) == ["hidden.0"]
    assert torch.equal(found.hidden["hidden.0"], torch.tensor([[1.5, 0.0], [0.0, 2.0]]))
    assert torch.equal(found.output, torch.tensor([[3.0], [6.0]]))


def test_the_layers_of_a_translator_are_its_activations_and_residual_blocks():
    network = ResnetTranslator(Interface(IMAGE, IMAGE), blocks=2, width=4)
    found = network(torch.zeros(3, 1, 8, 8), layers=True).hidden
    names = ["model.3", "model.6", "model.9", "model.10", "model.11", "model.14", "model.17"]
    shapes = [(4, 8, 8), (8, 4, 4), (16, 2, 2), (16, 2, 2), (16, 2, 2), (8, 4, 4), (4, 8, 8)]
    assert {name: tuple(layer.shape[1:]) for name, layer in found.items()} == dict(zip(names, shapes))


def test_the_layers_of_a_unet_go_down_and_up_again():
    network = UNet(Interface(IMAGE, IMAGE), width=2, dropout=0.0).eval()
    x = torch.randn(3, 1, 8, 8)
    found = network(x, layers=True).hidden
    shapes = {"down1": (2, 4, 4), "down2": (4, 2, 2), "down3": (8, 1, 1), "up2": (4, 2, 2), "up1": (2, 4, 4)}
    assert {name: tuple(layer.shape[1:]) for name, layer in found.items()} == shapes
    assert torch.equal(found["down1"], network.model.model[0](x))


@pytest.mark.parametrize("trick", [None, "generator-dropout", "virtual-batch-norm"])
def test_a_variant_trains_on_hidden_layers_whatever_a_trick_does_to_the_network(trick, tiny, make_run):
    networks = {"generator": {"mlp": {"widths": [16, 16], "norm": "batch"}}}
    run = make_run(
        tiny(variant={"deep": {"latent": 4}}, tricks=[trick] if trick else [], **networks), {"variant.deep": Deep}
    )
    run.engine.step(0)
    run.engine.step(1)
    first = run.engine.modules["generator"].hidden[0]
    assert set(run.engine.terms["generator"]) == {"adversarial.fake", "size"}
    assert all(p.grad is not None and bool(p.grad.any()) for p in first.parameters())


def test_a_reference_batch_leaves_no_row_among_the_hidden_ones(tiny, make_run):
    network = {"mlp": {"widths": [16, 16], "norm": "batch"}}
    run = make_run(
        tiny(variant={"deep": {"latent": 4}}, generator=network, tricks=["virtual-batch-norm"]), {"variant.deep": Deep}
    )
    run.engine.step(0)
    found = run.engine.modules["generator"](torch.randn(5, 4), layers=True)
    assert [len(rows) for rows in (found.output, *found.hidden.values())] == [5, 5, 5]


def test_averaged_weights_have_hidden_layers_too(tiny, make_run):
    run = make_run(tiny(variant={"deep": {"latent": 4}}, tricks=[{"ema": {"decay": 0.5}}]), {"variant.deep": Deep})
    run.engine.step(0)
    made = run.sample_maker.turn(6).made
    assert made["first"].shape == (6, 16)
    own = run.engine.modules["generator"](run.sample_maker.turn(6).latents["z"], layers=True).hidden["hidden.0"]
    assert not torch.equal(made["first"], own)


def test_samples_made_again_have_their_hidden_layers(tiny, make_run):
    class Again(Deep):
        def terms(self, turn):
            again = turn.remake(turn.latents)
            assert torch.equal(again["first"], turn.made["first"])
            return super().terms(turn)

    network = {"mlp": {"widths": [16, 16], "norm": "batch"}}
    run = make_run(tiny(variant={"again": {"latent": 4}}, generator=network), {"variant.again": Again})
    before = run.engine.modules["generator"].hidden[1][1].num_batches_tracked.clone()
    run.engine.step(0)
    assert int(run.engine.modules["generator"].hidden[1][1].num_batches_tracked - before) == 1


def test_a_compiled_network_has_the_same_layers_and_gradients():
    network = MLPGenerator(Interface(Space("latent", (3,)), Space("points", (2,))), widths=(4, 4), norm="none")
    compiled: nn.Module = torch.compile(network, backend="aot_eager")
    x, gradients = torch.randn(5, 3), []
    for module in (network, compiled):
        found = module(x, layers=True)
        network.zero_grad()
        found.hidden["hidden.1"].square().sum().backward()
        gradients.append((found.output, found.hidden["hidden.1"], network.hidden[0][0].weight.grad.clone()))
    for one, other in zip(*gradients):
        torch.testing.assert_close(one, other)
