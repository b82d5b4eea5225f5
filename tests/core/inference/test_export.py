"""Exported networks: every built-in generator in every format, and what runs make of it."""

import json
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from examples import EXAMPLES
from PIL import Image
from torch import nn

from ganrun import load
from ganrun import run as train
from ganrun.catalog.catalog import Catalog
from ganrun.errors import UserError
from ganrun.inference import export as exporting
from ganrun.inference.export import export, opened
from ganrun.inference.export_formats import FORMATS, Graph, run_onnx, run_safetensors, traced, write_onnx
from ganrun.inference.export_formats import write_safetensors as write_weights
from ganrun.inference.exported import Exportable
from ganrun.testing.networks import build, first_interface
from ganrun.testing.plugin import Plugin
from ganrun.words.spaces import Interface, Space

GENERATORS = [entry.qualified for entry in Catalog(disabled=()).entries() if entry.kind == "generator"]
PERCEPTRON = {"mlp": {"widths": [8], "norm": "batch"}}
LATENT = Space("latent", (4,))


def trained(folder, steps=2, **changes):
    """A tiny run, trained for two steps."""
    recipe = {
        "variant": {"gan": {"latent": 4}},
        "dataset": {"digits": {"size": 8}},
        "generator": PERCEPTRON,
        "discriminator": {"mlp": {"widths": [8], "norm": "none"}},
        "without": ["progress", "samples", "metrics-log", "health"],
        "train": {"steps": steps, "batch_size": 8, "device": "cpu"},
    }
    train({**recipe, **changes}, output=folder / "run")
    return opened(folder / "run", "last", Catalog())


def planned(of):
    """What formats are handed of a network alone."""
    return Graph(traced(of), of, "network", {}, {one.name: "" for one in of.inputs}, {})


@pytest.mark.slow
@pytest.mark.parametrize("qualified", GENERATORS)
def test_onnxruntime_and_the_written_source_make_what_every_generator_makes(qualified, tmp_path):
    plugin = Plugin(qualified, example=EXAMPLES.get(qualified))
    interface = first_interface(plugin)
    graph = planned(Exportable(build(plugin, interface), interface))
    for write, load_file in (FORMATS[form] for form in ("onnx", "safetensors")):
        write(graph, tmp_path)
        made = load_file(graph, tmp_path)
        for rows in (1, 5):
            inputs = graph.of.example(rows, seed=rows)
            torch.testing.assert_close(made(inputs), graph.of(*inputs), atol=1e-4, rtol=0)


def test_a_run_is_exported_in_every_format_and_agrees_with_its_samples(tmp_path):
    run = trained(tmp_path, tricks=[{"ema": {"decay": 0.5}}])
    done = list(export(run, ["generator"], ["onnx", "pt2", "safetensors"], tmp_path / "out"))
    assert [one.format for one in done] == ["onnx", "pt2", "safetensors"]
    assert all(0 <= one.difference < 1e-5 for one in done)
    z, samples = run.latents(5)["z"], run.sample(5)
    session = onnxruntime.InferenceSession(str(tmp_path / "out" / "generator.onnx"))
    (made,) = session.run(None, {"latent": z.numpy()})
    torch.testing.assert_close(torch.from_numpy(made), samples)
    (made,) = torch.export.load(tmp_path / "out" / "generator.pt2").module()(z)
    assert torch.equal(made, samples)


def test_the_file_says_what_it_takes_and_where_it_is_from(tmp_path):
    run = trained(tmp_path, variant="cgan")
    list(export(run, ["generator"], ["onnx"], tmp_path))
    model = onnx.load(tmp_path / "generator.onnx")
    (entry,) = [entry for entry in model.metadata_props if entry.key == "ganrun"]
    said = json.loads(entry.value)
    assert said["inputs"] == [
        {"name": "latent", "kind": "latent", "shape": [100], "classes": 0},
        {"name": "labels", "kind": "labels", "shape": [], "classes": 10},
    ]
    assert (said["network"], said["variant"], said["step"], said["weights"]) == ("generator", "cgan", 2, "trained")
    dims = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in [*model.graph.input, *model.graph.output]
    }
    assert dims == {"latent": ["batch", 100], "labels": ["batch"], "made_image": ["batch", 1, 8, 8]}


WITHOUT_GANRUN = """
import runpy, sys
sys.modules["ganrun"] = sys.modules["ganrun_plugins"] = None  # importing them is an error
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def sampled(script, *arguments):
    """Run a script that was written beside weights, in a process that cannot import ganrun."""
    line = [sys.executable, "-c", WITHOUT_GANRUN, script.name, *map(str, arguments)]
    done = subprocess.run(line, cwd=script.parent, env={"PYTHONPATH": str(script.parent)}, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.slow
def test_the_script_beside_the_weights_samples_without_ganrun(tmp_path):
    run = trained(tmp_path, sampler="normal", tricks=["spectral-norm"])
    list(export(run, ["generator"], ["safetensors"], tmp_path))
    script = tmp_path / "generator_sample.py"
    assert len(script.read_text().splitlines()) <= 20
    assert "ganrun" not in script.read_text().split('"""', 2)[2]
    sampled(script, 3)
    latent = torch.randn(64, 4, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        own = run.generator()(latent)
    made = np.load(tmp_path / "generator_samples.npy")
    np.testing.assert_allclose(made, own.numpy(), atol=1e-6)
    assert Image.open(tmp_path / "generator_samples.png").size == (64, 64)


@pytest.mark.slow
def test_the_script_of_a_translation_takes_a_picture(tmp_path):
    run = trained(
        tmp_path,
        variant="cyclegan",
        dataset={"restyled-digits": {"size": 8}},
        generator={"resnet-translator": {"blocks": 0, "width": 2}},
        discriminator={"patchgan": {"layers": 1, "width": 2}},
    )
    list(export(run, ["generator_ab"], ["safetensors"], tmp_path))
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    sampled(tmp_path / "generator_ab_sample.py", tmp_path / "a.png")
    own = run.translate(torch.from_numpy(pixels / 127.5 - 1).float()[None, None])
    np.testing.assert_allclose(np.load(tmp_path / "generator_ab_samples.npy"), own.numpy(), atol=1e-5)


@pytest.mark.slow
def test_dropout_that_is_noise_takes_its_numbers_from_an_input(tmp_path):
    run = trained(
        tmp_path,
        variant="pix2pix",
        dataset={"paired-digits": {"size": 16}},
        generator={"unet": {"width": 2}},
        discriminator={"patchgan": {"layers": 1, "width": 2, "norm": "none"}},
    )
    (done,) = export(run, ["generator"], ["onnx"], tmp_path)
    noise = [one for one in done.of.inputs if one.kind == "noise"]
    assert noise
    session = onnxruntime.InferenceSession(str(tmp_path / "generator.onnx"))
    inputs = {one.name: tensor.numpy() for one, tensor in zip(done.of.inputs, done.of.example(3))}
    once, again = (session.run(None, inputs)[0] for _ in range(2))
    np.testing.assert_array_equal(once, again)
    other = session.run(None, inputs | {noise[0].name: 1 - inputs[noise[0].name]})[0]
    assert np.abs(other - once).max() > 0


class Grown(nn.Module):
    """A network on images of any size that are multiples of 2: halved, and doubled again."""

    provides = frozenset({"any-size"})
    multiple = 2

    def __init__(self):
        super().__init__()
        self.down, self.up = nn.Conv2d(1, 2, 4, 2, 1), nn.ConvTranspose2d(2, 1, 4, 2, 1)

    def forward(self, x):
        return self.up(self.down(x)).tanh()


@pytest.mark.parametrize(("write", "runner"), [(write_onnx, run_onnx), (write_weights, run_safetensors)])
def test_a_network_of_any_size_keeps_height_and_width_free(write, runner, tmp_path):
    image = Space("image", (1, 8, 8))
    graph = planned(Exportable(Grown().eval(), Interface(takes=image, makes=image)))
    write(graph, tmp_path)
    x = torch.rand(1, 1, 12, 6)
    (made,) = runner(graph, tmp_path)([x])
    torch.testing.assert_close(made, graph.of(x)[0])


class Padded(Grown):
    """A network that pads images to multiples of 4, and says that it takes any."""

    multiple = 1

    def forward(self, x):
        right, below = (-side % 4 for side in reversed(x.shape[2:]))
        x = nn.functional.pad(x, (0, right, 0, below)) if right or below else x
        return super().forward(x)[:, :, : x.shape[2] - below, : x.shape[3] - right]


def test_the_multiple_is_the_one_that_the_graph_takes():
    image = Space("image", (1, 8, 8))
    of = Exportable(Padded().eval(), Interface(takes=image, makes=image))
    traced(of)
    assert (of.any_size, of.multiple) == (True, 4)


def test_channels_are_dropped_as_wholes_where_the_layer_does_so():
    points = Space("image", (3, 2, 2))
    network = nn.Sequential(nn.Dropout2d(0.25)).train()
    of = Exportable(network, Interface(takes=points, makes=points))
    assert [(one.name, one.shape) for one in of.inputs] == [("image", (3, 2, 2)), ("noise", (3, 1, 1))]
    noise = torch.tensor([0.2, 0.25, 0.9]).reshape(1, 3, 1, 1)
    (made,) = of(torch.ones(1, 3, 2, 2), noise)
    assert made[0, :, 0, 0].tolist() == pytest.approx([0, 4 / 3, 4 / 3])


class Random(nn.Module):
    """A generator that draws inside."""

    def forward(self, x):
        return x + torch.randn_like(x)


def test_a_network_that_draws_random_numbers_inside_is_refused():
    with pytest.raises(UserError, match="draws random numbers inside"):
        traced(Exportable(Random(), Interface(takes=LATENT, makes=LATENT)))


def test_what_differs_from_ganrun_is_an_error_and_leaves_nothing(tmp_path, monkeypatch):
    run = trained(tmp_path)
    write, runner = FORMATS["pt2"]
    off = lambda graph, folder: lambda inputs: [made + 2e-4 for made in runner(graph, folder)(inputs)]  # noqa: E731
    monkeypatch.setitem(exporting.FORMATS, "pt2", (write, off))
    with pytest.raises(
        UserError, match=r"generator as pt2 makes other numbers than ganrun: by up to 0\.0002, where 0\.0001"
    ):
        list(export(run, ["generator"], ["pt2"], tmp_path / "out"))
    assert list((tmp_path / "out").iterdir()) == []


def test_mistakes_are_told(tmp_path):
    run = trained(tmp_path)
    with pytest.raises(UserError, match="--to tflite: no such format; write onnx, pt2, safetensors"):
        list(export(run, ["generator"], ["tflite"], tmp_path))
    with pytest.raises(UserError, match="has no network 'encoder'; it has generator, discriminator"):
        list(export(run, ["encoder"], ["pt2"], tmp_path))
    (tmp_path / "generator.pt2").write_text("mine")
    with pytest.raises(UserError, match="generator.pt2 exists already; give another --output, or add --overwrite"):
        list(export(run, ["generator"], ["pt2"], tmp_path))
    assert (tmp_path / "generator.pt2").read_text() == "mine"
    list(export(run, ["generator"], ["pt2"], tmp_path, overwrite=True))
    assert (tmp_path / "generator.pt2").stat().st_size > 100


def test_a_discriminator_gives_its_logits_and_one_that_looks_at_the_batch_is_refused(tmp_path):
    run = trained(tmp_path, tricks=["minibatch-stddev"], discriminator={"dcgan": {"width": 2, "norm": "none"}})
    with pytest.raises(UserError, match="depends on how many rows it is given"):
        list(export(run, ["discriminator"], ["pt2"], tmp_path / "out"))
    plain = trained(tmp_path / "plain")
    (done,) = export(plain, ["discriminator"], ["pt2"], tmp_path / "out")
    x = torch.rand(3, 1, 8, 8)
    (logits,) = torch.export.load(done.files[0]).module()(x)
    with torch.no_grad():
        torch.testing.assert_close(logits, load(tmp_path / "plain" / "run").generator("discriminator")(x).logits)
