"""The network that samples, as a plain module."""

import pytest
import torch
from torch import nn

import ganrun
from ganrun.errors import UserError

SMALL = {"train": {"steps": 4, "batch_size": 4, "device": "cpu", "threads": 1}, "observers": ["checkpoints"]}
NETWORKS = {"generator": {"dcgan": {"width": 4}}, "discriminator": {"dcgan": {"width": 4, "norm": "none"}}}
DIGITS = {"dataset": {"digits": {"size": 8}}, **NETWORKS, **SMALL}


def trained(folder, **recipe):
    return ganrun.load(ganrun.run({**DIGITS, **recipe}, output=folder / "run").folder)


@pytest.mark.parametrize(
    "tricks",
    [
        [],
        [{"ema": {"decay": 0.5}}],
        [{"spectral-norm": {"networks": "all"}}],
        [{"generator-dropout": {"p": 0.0}}, {"ema": {"decay": 0.5}}],
    ],
    ids=str,
)
def test_it_makes_what_sample_makes_bit_for_bit(tmp_path, tricks):
    run = trained(tmp_path, variant="dcgan", tricks=tricks)
    generator = run.generator()
    with torch.no_grad():
        made = generator(run.latents(5)["z"])
    assert torch.equal(made, run.sample(5))
    assert not generator.training
    assert not any(parameter.requires_grad for parameter in generator.parameters())


def test_averaged_weights_are_not_the_raw_ones(tmp_path):
    run = trained(tmp_path, variant="dcgan", tricks=[{"ema": {"decay": 0.9}}])
    raw, averaged = run.experiment.modules["generator"].state_dict(), run.generator().state_dict()
    assert not torch.equal(raw["main.0.weight"], averaged["main.0.weight"])


def test_it_is_a_copy(tmp_path):
    run = trained(tmp_path, variant="dcgan")
    before = run.sample(2)
    nn.init.zeros_(run.generator().main[0].weight)
    assert torch.equal(run.sample(2), before)


def test_labels_are_given_as_they_were_in_training(tmp_path):
    run = trained(tmp_path, variant="cgan")
    latents = run.latents(3, ask={"label": "7"})
    with torch.no_grad():
        assert torch.equal(run.generator()(latents["z"], latents["label"]), run.sample(3, ask={"label": "7"}))


def test_of_a_translation_it_is_the_one_that_makes_the_first_output(tmp_path):
    recipe = {
        "variant": "cyclegan",
        "dataset": {"restyled-digits": {"size": 8}},
        "generator": {"resnet-translator": {"blocks": 0, "width": 2}},
        "discriminator": {"patchgan": {"layers": 1, "width": 2}},
    }
    run = trained(tmp_path, **recipe)
    batch = torch.rand(3, 1, 8, 8) * 2 - 1
    with torch.no_grad():
        assert torch.equal(run.generator()(batch), run.translate(batch))
        assert torch.equal(run.generator("generator_ba")(batch), run.translate(batch, to="a"))


def test_dropout_that_is_noise_stays_active(tmp_path):
    recipe = {
        "variant": "pix2pix",
        "dataset": {"restyled-digits": {"size": 16}},
        "generator": {"unet": {"width": 4}},
        "discriminator": {"patchgan": {"layers": 1, "width": 2}},
    }
    generator = trained(tmp_path, **recipe).generator()
    assert any(layer.training for layer in generator.modules() if isinstance(layer, nn.Dropout))


def test_another_name_is_refused_with_those_there_are(tmp_path):
    run = trained(tmp_path, variant="dcgan")
    assert run.generator("discriminator")(torch.zeros(2, 1, 8, 8)).logits.shape == (2,)
    with pytest.raises(UserError, match="there is no network 'critic'; there are generator, discriminator"):
        run.generator("critic")
