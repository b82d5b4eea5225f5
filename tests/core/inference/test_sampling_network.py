"""The network that samples, as a plain module."""

import pickle
from types import SimpleNamespace

import pytest
import torch
from examples import EXAMPLES
from torch import nn
from torch.nn.utils import parametrize

import ganrun
from ganrun.catalog.catalog import Catalog
from ganrun.errors import UserError
from ganrun.inference.sampling_network import made_by, sampling_network
from ganrun.testing.plugin import Plugin
from ganrun.testing.runs import build_run

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
        [{"ema": {"decay": 0.5}}, {"ema": {"decay": 0.9, "warmup": 0}}],
        [{"ema": {"decay": 0.5}}, {"spectral-norm": {"networks": "all"}}],
        [{"weight-norm": {"networks": "all"}}, {"ema": {"decay": 0.5}}],
        [{"norm-swap": {"to": "instance", "networks": "all"}}, "truncation"],
        [{"virtual-batch-norm": {"size": 4}}, {"ema": {"decay": 0.5}}],
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


def test_computed_weights_are_worked_out_so_that_it_can_be_pickled(tmp_path):
    run = trained(tmp_path, variant="dcgan", tricks=[{"spectral-norm": {"networks": "all"}}, {"ema": {"decay": 0.5}}])
    before = run.sample(2)
    assert not any(parametrize.is_parametrized(layer) for layer in run.generator().modules())
    again = pickle.loads(pickle.dumps(run.generator()))
    assert torch.equal(again(run.latents(2)["z"]), before)
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


@pytest.mark.parametrize("variant", Catalog().names("variant"))
def test_every_variant_has_a_network_that_makes_its_samples(variant):
    plugin = Plugin(f"variant.{variant}", example=EXAMPLES.get(f"variant.{variant}"))
    run = build_run(plugin, plugin.recipe)
    output = run.experiment.description.outputs[0]
    parts = {"experiment": run.experiment, "sample_maker": run.sample_maker, "settings": run.experiment.settings}
    of_run = SimpleNamespace(folder="run", output=output, **parts)
    interface = run.experiment.description.networks[made_by(of_run)].interface
    made = sampling_network(of_run)(*interface.example(device="cpu"))
    assert made.shape[1:] == run.experiment.dataset.spaces[output].shape
