"""The numbers of parameters that docstrings of networks state are those of the networks as they are built."""

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest
import torch

import ganrun_plugins.networks.dcgan
from ganrun.words.spaces import Interface, Space

FOLDER = Path(ganrun_plugins.networks.dcgan.__file__).parent
TEN, TWO, THOUSAND = (Space("labels", (), classes) for classes in (10, 2, 1000))
LARGE = {"width": 1536}


def image(side: int, channels: int = 3) -> Space:
    return Space("image", (channels, side, side))


def vector(size: int) -> Space:
    return Space("latent", (size,))


def grows(latent: int, side: int, channels: int = 3, given: tuple[Space, ...] = ()) -> Interface:
    return Interface(vector(latent), image(side, channels), given)


def judges(side: int, channels: int = 3, **more) -> Interface:
    return Interface(image(side, channels), **more)


def turns(side: int, to: int | None = None, given: tuple[Space, ...] = ()) -> Interface:
    return Interface(image(side), image(to or side), given)


FIVE, SENTENCE = Space("vector", (5,)), Space("vector", (1024,))
ACGAN = ("ACGANDiscriminator", judges(32, heads={"class": 10}), {})
INFOGAN = ("InfoGANDiscriminator", judges(28, 1, heads={"code": 10, "continuous": 4}), {})
# File -> (class, interface, settings) of each network that its docstring counts; a fourth entry names the submodule
# that is counted, or with a minus the one that is left out.
COUNTED = {
    "acgan": [("ACGANGenerator", grows(110, 32, given=(TEN,)), {}), (*ACGAN, "-heads"), (*ACGAN, "heads")],
    "began": [
        *(("BEGANGenerator", grows(64, side), {"width": n}) for side, n in ((64, 128), (128, 128), (64, 64))),
        *(("BEGANDiscriminator", judges(side), {"width": n}) for side, n in ((64, 128), (128, 128), (64, 64))),
    ],
    "cogan": [
        ("CoGANGenerator", grows(100, 28, 1, (TWO,)), {}),
        ("CoGANDiscriminator", judges(28, 1, given=(TWO,), logits=2), {}),
    ],
    "dcgan": [("DCGANGenerator", grows(100, 64), {}), ("DCGANDiscriminator", judges(64), {})],
    "discogan": [("DiscoGANGenerator", turns(64), {"bottleneck": size}) for size in (None, 100)],
    "gan_cls": [
        ("TextGenerator", grows(100, 64, given=(SENTENCE,)), {}),
        ("TextDiscriminator", judges(64, given=(SENTENCE,)), {}),
    ],
    "infogan": [("InfoGANGenerator", grows(74, 28, 1), {}), (*INFOGAN, "-heads"), (*INFOGAN, "heads")],
    "patchgan": [("PatchGAN", judges(256), {})],
    "r3gan": [
        *(("R3GANGenerator", grows(64, side), {}) for side in (32, 64, 256)),
        *(("R3GANDiscriminator", judges(side), {}) for side in (32, 64, 256)),
        ("R3GANGenerator", grows(64, 32, given=(TEN,)), {}),
        ("R3GANDiscriminator", judges(32, given=(TEN,)), {}),
        ("R3GANGenerator", grows(64, 32, given=(THOUSAND,)), LARGE),
        ("R3GANDiscriminator", judges(32, given=(THOUSAND,)), LARGE),
        ("R3GANGenerator", grows(64, 64, given=(THOUSAND,)), {**LARGE, "wide": 64}),
        ("R3GANDiscriminator", judges(64, given=(THOUSAND,)), {**LARGE, "wide": 64}),
    ],
    "resnet_translator": [("ResnetTranslator", turns(256), {"blocks": blocks}) for blocks in (6, 9)],
    "sngan_resnet": [
        ("SNGANGenerator", grows(128, 32), {}),
        ("SNGANDiscriminator", judges(32), {}),
        ("SNGANGenerator", grows(128, 32), {"width": 128}),
        ("SNGANDiscriminator", judges(32), {"pool": "mean", "bias": True}),
    ],
    "srresnet": [("SRResNet", turns(24, 96), {}), ("SRGANDiscriminator", judges(96), {})],
    "stargan": [
        ("StarGANGenerator", turns(128, given=(FIVE,)), {}),
        ("StarGANDiscriminator", judges(128, heads={"class": 5}), {}),
    ],
    "unet": [("UNet", turns(side), {}) for side in (256, 128)],
}


def stated(text: str) -> set[int]:
    """The numbers of ten thousand or more in a docstring: 13,405,379."""
    found = (int(number.replace(",", "")) for number in re.findall(r"\b\d{1,3}(?:,\d{3})+\b", text))
    return {number for number in found if number >= 10_000}


def built(file: str, name: str, interface: Interface, settings: dict, part: str = "") -> int:
    """How many parameters a network, or a part of it, has."""
    with torch.device("meta"):
        network = getattr(import_module(f"ganrun_plugins.networks.{file}"), name)(interface, **settings)
    names = [(key, p.numel()) for key, p in network.named_parameters()]
    inside = f"{part.removeprefix('-')}."
    return sum(n for key, n in names if not part or key.startswith(inside) != part.startswith("-"))


def docstrings() -> dict[str, set[int]]:
    """File -> the large numbers that the docstrings of a network's file state, of those that state some."""
    found = {}
    for path in sorted(FOLDER.glob("*.py")):
        nodes = ast.walk(ast.parse(path.read_text()))
        kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
        texts = [ast.get_docstring(node) or "" for node in nodes if isinstance(node, kinds)]
        found[path.stem] = stated(" ".join(texts))
    return {name: numbers for name, numbers in found.items() if numbers}


def test_numbers_are_read_off_a_text():
    assert stated("128 x 128, 1,000 classes: 13,405,379 and 427,593,\n81,930; 64, 128") == {13_405_379, 427_593, 81_930}


def test_every_docstring_with_such_numbers_is_counted():
    assert set(docstrings()) == set(COUNTED)


@pytest.mark.parametrize("file", COUNTED)
def test_what_a_docstring_states_is_what_is_built(file):
    assert docstrings()[file] == {built(file, *network) for network in COUNTED[file]}
