"""SRGAN: its networks by count and by hand, its two parts of a run, and VGG's features."""

import math

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from ganrun.errors import UserError
from ganrun.evaluation.features import FeatureContext
from ganrun.words.spaces import Interface, Refusal, Space
from ganrun_plugins.features.torchvision import Torchvision, outline, size_of
from ganrun_plugins.networks.srresnet import SRGANDiscriminator, SRResNet
from ganrun_plugins.variants.srgan import SRGAN


def image(channels: int, side: int) -> Space:
    return Space("image", (channels, side, side))


def recipe_of(steps: int = 4, tricks=({"perceptual": {"features": "pixels", "weight": 0.5}},), **variant) -> dict:
    return {
        "variant": {"srgan": {"pretraining": 2, **variant}},
        "dataset": {"super-resolution-digits": {"size": 8, "factor": 2}},
        "generator": {"srresnet": {"blocks": 1, "width": 4}},
        "discriminator": {"srgan": {"width": 2, "dense": 8}},
        "tricks": list(tricks),
        "without": ["progress", "samples", "metrics-log", "health", "checkpoints"],
        "train": {"steps": steps, "batch_size": 4, "device": "cpu"},
    }


def go(run, first: int, last: int):
    for step in range(first, last):
        run.engine.step(step)
    return run


def weights(run, name: str) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in run.experiment.modules[name].state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, other[key]) for key, value in one.items())


# --- networks -------------------------------------------------------------------------------------------------


def test_parameter_counts_are_the_papers():
    with torch.device("meta"):
        generator = SRResNet(Interface(takes=image(3, 24), makes=image(3, 96)))
        short = SRResNet(Interface(takes=image(3, 24), makes=image(3, 96)), blocks=5)
        discriminator = SRGANDiscriminator(Interface(takes=image(3, 96)))
    assert sum(p.numel() for p in generator.parameters()) == 1_549_462
    assert sum(p.numel() for p in short.parameters()) == 734_219, "that of a well-known PyTorch version"
    assert sum(p.numel() for p in discriminator.parameters()) == 23_565_505
    assert all(layer.weight.numel() == 1 for layer in generator.modules() if isinstance(layer, nn.PReLU))


def test_the_discriminators_sides_and_channels_are_the_papers():
    """96 pixels are halved four times, to 6; channels are 64, 64, 128, 128, 256, 256, 512, 512."""
    network = SRGANDiscriminator(Interface(takes=image(3, 96)), width=4, dense=8)
    shapes = [tuple(layer.shape[1:]) for layer in network.eval()(torch.zeros(1, 3, 96, 96)).features]
    assert shapes[:-1] == [
        (4, 96, 96),
        (4, 48, 48),
        (8, 48, 48),
        (8, 24, 24),
        (16, 24, 24),
        (16, 12, 12),
        (32, 12, 12),
        (32, 6, 6),
    ]
    assert shapes[-1] == (8,)


def by_hand(end: str = "clamp") -> SRResNet:
    """An enlargement by 2 whose four outputs of a pixel are 0.1, 0.2, 0.3 and 0.4 times the pixel's brightness in [0,
    1].
    """
    network = SRResNet(Interface(takes=image(1, 2), makes=image(1, 4)), blocks=0, width=1, end=end)
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    with torch.no_grad():
        network.first[0].weight[0, 0, 4, 4] = 1.0
        network.last[0].weight[:, 0, 1, 1] = torch.tensor([0.1, 0.2, 0.3, 0.4])
        network.last[3].weight[0, 0, 4, 4] = 1.0
    return network


def test_channels_are_shuffled_into_space_row_by_row():
    """Channel 2 i + j of a pixel becomes row i, column j of its block; brightness (x + 1) / 2 is 0.5, 1, 0, 0.75."""
    x = torch.tensor([[[[0.0, 1.0], [-1.0, 0.5]]]])
    want = torch.tensor([[0.05, 0.10, 0.1, 0.2], [0.15, 0.20, 0.3, 0.4], [0, 0, 0.075, 0.15], [0, 0, 0.225, 0.3]])
    torch.testing.assert_close(by_hand()(x)[0, 0], want)


def test_images_are_cut_off_outside_training_only():
    network, x = by_hand(), torch.full((1, 1, 2, 2), 9.0)  # brightness 5: outputs 0.5, 1, 1.5, 2
    assert network(x).max().item() == pytest.approx(2.0)
    assert network.eval()(x).max().item() == 1.0
    assert by_hand("tanh")(x).max().item() == pytest.approx(math.tanh(2.0))


@pytest.mark.parametrize(("small", "large"), [(8, 16), (8, 32), (8, 8)])
def test_the_factor_follows_from_the_two_spaces(small, large):
    network = SRResNet(Interface(takes=image(3, small), makes=image(1, large)), blocks=1, width=2).eval()
    assert network(torch.zeros(2, 3, small, small)).shape == (2, 1, large, large)


@pytest.mark.parametrize("large", [24, 4, 20])
def test_a_factor_that_is_no_power_of_two_is_refused(large):
    with pytest.raises(Refusal, match="doubles both sides"):
        SRResNet(Interface(takes=image(1, 8), makes=image(1, large)))


# --- the two parts of a run -----------------------------------------------------------------------------------


def test_pretraining_has_the_content_alone_and_leaves_the_discriminator_as_it_is(make_run):
    run = make_run(recipe_of(tricks=[{"perceptual": {"features": "pixels", "weight": {"steps": {0: 0, 2: 0.5}}}}]))
    discriminator, generator = weights(run, "discriminator"), weights(run, "generator")
    go(run, 0, 2)
    assert set(run.engine.terms) == {"pretraining"}
    assert set(run.engine.terms["pretraining"]) == {"content", "x.perceptual"}
    assert same(discriminator, weights(run, "discriminator"))
    assert not same(generator, weights(run, "generator"))
    before = run.engine.terms["pretraining"]["content"]
    go(run, 2, 3)
    assert {name: set(terms) for name, terms in run.engine.terms.items()} == {
        "pretraining": {"content", "x.perceptual"},
        "discriminator": {"adversarial.real", "adversarial.fake"},
        "generator": {"adversarial.fake", "content", "x.perceptual"},
    }
    assert run.engine.terms["pretraining"]["content"] is before, "pretraining is over"
    assert not same(discriminator, weights(run, "discriminator"))


@pytest.mark.parametrize(("pretraining", "want"), [("50%", 5), (3, 3), (0, 0), ("100%", 10), ("16 images", 4)])
def test_pretraining_is_a_duration(make_run, pretraining, want):
    """Of 10 steps of 4 images."""
    run = make_run(recipe_of(steps=10, pretraining=pretraining))
    due = [[phase.name for phase in run.experiment.phases if phase.due(step)] for step in range(10)]
    assert due == [["pretraining"]] * want + [["discriminator", "generator"]] * (10 - want)


def test_by_default_the_shares_are_those_of_the_papers_steps():
    from ganrun.schedule import Clock, Scheduled
    from ganrun_plugins.variants.srgan import RATE

    clock, variant = Clock(1_200_000, 16, 350_000), SRGAN()
    variant._pretraining_steps = variant.pretraining.steps(clock)
    assert [variant._pretrains(step) for step in (999_999, 1_000_000)] == [True, False]
    perceptual = Scheduled({"steps": {0: 0, str(variant.pretraining): 0.006}})  # as recipes/srgan.yaml has it
    assert [perceptual.at(step, clock) for step in (999_999, 1_000_000)] == [0.0, 0.006]
    assert [Scheduled(RATE).at(step, clock) for step in (1_099_999, 1_100_000)] == [1e-4, 1e-5]


def test_a_run_is_that_of_a_loop_written_by_hand(make_run):
    """Two steps on pixels, then two of the discriminator and the generator on one batch, with pixels 0.25, features 0.5
    and 1e-3 of the game.

    In float64: a bias below a normalisation has no gradient but rounding, which Adam would make steps of.
    """
    recipe = recipe_of(
        pixels=0.25, tricks=[{"perceptual": {"features": "pixels", "weight": {"steps": {0: 0, 2: 0.5}}}}]
    )
    recipe["train"]["precision"] = "float64"
    run, twin = go(make_run(recipe), 0, 4), make_run(recipe)
    with twin.experiment.settings():
        train_by_hand(twin)
    for name in ("generator", "discriminator"):
        for key, value in weights(twin, name).items():
            torch.testing.assert_close(weights(run, name)[key], value, rtol=1e-6, atol=1e-8)


def train_by_hand(twin) -> None:
    generator, discriminator = twin.experiment.modules["generator"], twin.experiment.modules["discriminator"]
    rate = {"lr": 1e-4, "betas": (0.9, 0.999), "fused": True}
    of_g, of_d = torch.optim.Adam(generator.parameters(), **rate), torch.optim.Adam(discriminator.parameters(), **rate)
    reader = twin.experiment.reader("step", 4)
    for step in range(4):  # all of them before 91.7 % of the run
        batch = reader.get(4)
        if step >= 2:
            with torch.no_grad():
                fake = generator(batch["low"])
            loss = F.softplus(-discriminator(batch["x"]).logits).mean() + F.softplus(discriminator(fake).logits).mean()
            of_d.zero_grad()
            loss.backward()
            of_d.step()
        fake = generator(batch["low"])
        error = (fake - batch["x"]).square().mean()
        total = error if step < 2 else 1e-3 * F.softplus(-discriminator(fake).logits).mean() + (0.25 + 0.5) * error
        of_g.zero_grad()
        total.backward()
        of_g.step()
        reader.advance(4)


def test_samples_use_the_running_statistics_of_batch_normalisation(make_run):
    """An enlargement does not depend on what else is enlarged, and changes no statistic."""
    run = go(make_run(recipe_of()), 0, 3)
    before, low = weights(run, "generator"), run.evaluation.real("low", n=4)
    x = run.evaluation.real("x", n=4)
    together = run.sample_maker.turn(4, real={"low": low, "x": x}).made["x"]
    alone = run.sample_maker.turn(1, real={"low": low[2:3], "x": x[2:3]}).made["x"]
    torch.testing.assert_close(together[2:3], alone)
    assert same(before, weights(run, "generator"))


def test_other_data_are_refused():
    with pytest.raises(Refusal, match="smaller images 'low'"):
        SRGAN().describe({"x": image(1, 8), "label": Space("labels", (), 10)})


# --- VGG ------------------------------------------------------------------------------------------------------


def test_features_35_of_vgg19_is_conv5_4_after_its_relu():
    """The 16th convolution, then ReLU, before the last pooling: 512 maps of a sixteenth of the side."""
    layers = list(outline("vgg19").features[:36])
    assert sum(isinstance(layer, nn.Conv2d) for layer in layers) == 16
    assert isinstance(layers[34], nn.Conv2d)
    assert isinstance(layers[35], nn.ReLU)
    assert size_of("vgg19", "features.35", 96) == 512 * 6 * 6


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = torchvision.models.shufflenet_v2_x0_5().eval()
    path = tmp_path_factory.mktemp("weights") / "weights.pth"
    torch.save(network.state_dict(), path)
    return path, network


def test_a_layer_gives_what_this_layer_returns(weights_file, tmp_path):
    path, network = weights_file
    context = FeatureContext("x", image(3, 32), None, tmp_path, torch.device("cpu"))
    extract = Torchvision(context, model="shufflenet_v2_x0_5", weights=str(path), resize=32, crop=32, layer="stage2.3")
    x = torch.linspace(-1, 1, 2 * 3 * 32 * 32).reshape(2, 3, 32, 32)
    levels = ((x + 1) * 127.5).round() / 255
    mean, deviation = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    seen = []
    network.stage2[3].register_forward_hook(lambda module, args, out: seen.append(out))
    with torch.no_grad():
        network((levels - mean) / deviation)
        found = extract(x)
    torch.testing.assert_close(found, seen[0].flatten(1))
    assert found.shape == (2, extract.size)
    plain = Torchvision(context, model="shufflenet_v2_x0_5", weights=str(path), resize=32, crop=32)
    assert extract.fingerprint() != plain.fingerprint()


def test_a_layer_that_is_not_there_is_an_error(weights_file, tmp_path):
    context = FeatureContext("x", image(3, 32), None, tmp_path, torch.device("cpu"))
    with pytest.raises(UserError, match=r"no layer 'stage9'"):
        Torchvision(context, model="shufflenet_v2_x0_5", weights=str(weights_file[0]), layer="stage9")


def test_the_network_of_the_features_is_frozen(make_run, weights_file):
    path, _ = weights_file
    features = {
        "torchvision": {
            "model": "shufflenet_v2_x0_5",
            "weights": str(path),
            "resize": 32,
            "crop": 32,
            "layer": "stage2.3",
        }
    }
    run = go(make_run(recipe_of(tricks=[{"perceptual": {"features": features}}])), 0, 4)
    (trick,) = [trick for trick in run.experiment.tricks if hasattr(trick, "extract")]
    body, _ = trick.extract["x"].network
    saved = torch.load(path, weights_only=True)
    owned = {id(p) for parameters in run.engine.parameters.values() for p in parameters}
    for name, parameter in body.named_parameters():
        assert parameter.grad is None
        assert not parameter.requires_grad
        assert id(parameter) not in owned
        assert torch.equal(parameter, saved[name])
    assert not body.training
    assert run.engine.terms["generator"]["x.perceptual"] > 0
