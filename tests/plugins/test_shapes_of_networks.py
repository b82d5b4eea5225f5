"""Networks for images that are not square, or whose sides are no powers of two."""

import re

import pytest
import torch

from ganrun.catalog.catalog import Catalog
from ganrun.recipe import load_part
from ganrun.words.spaces import Interface, Refusal, Space

SIDES = [(28, 28), (48, 48), (96, 96), (64, 96), (28, 56)]
LATENT = Space("latent", (6,))
SMALL = {
    "dcgan": {"width": 2},
    "sngan-resnet": {"width": 2},
    "progan": {"base": 64, "widest": 4},
    "r3gan": {"width": 8, "cardinality": 2, "blocks": 1},
    "gan-cls": {"projection": 2},
    "began": {"width": 2},
    "cogan": {},
    "infogan": {"width": 2},
    "maxpool": {"width": 2, "dense": 8},
    "conv-encoder": {"width": 2},
    "resnet-translator": {"width": 2, "blocks": 1},
    "stargan": {"width": 2},
    "unet": {"width": 2},
    "discogan": {"width": 2},
    "patchgan": {"width": 2},
    "pixelgan": {"width": 2},
    "srgan": {"width": 2, "dense": 4},
    "autoencoder": {"width": 2},
}
FROM_LATENTS = ["dcgan", "sngan-resnet", "progan", "r3gan", "gan-cls", "began", "cogan", "infogan", "maxpool"]
TRANSLATORS = ["resnet-translator", "stargan", "unet", "discogan"]
DISCRIMINATORS = [
    "dcgan",
    "sngan-resnet",
    "progan",
    "r3gan",
    "gan-cls",
    "began",
    "cogan",
    "infogan",
    "maxpool",
    "stargan",
    "patchgan",
    "pixelgan",
    "srgan",
    "autoencoder",
]
DOMAIN = Space("labels", (), 2)


def network(kind, name, interface, **more):
    part = load_part({name: {**SMALL[name], **more}}, kind, catalog=Catalog(), origin="test")
    torch.manual_seed(0)
    return part.make(interface).eval()


def given(name):
    return (DOMAIN,) if name == "cogan" else ()


@pytest.mark.parametrize("side", SIDES, ids=str)
@pytest.mark.parametrize("name", FROM_LATENTS)
def test_generators_make_images_of_any_of_these_shapes(name, side):
    interface = Interface(LATENT, Space("image", (3, *side)), given(name))
    with torch.no_grad():
        made = network("generator", name, interface)(torch.randn(2, 6), *[torch.tensor([0, 1])] * len(given(name)))
    assert made.shape == (2, 3, *side)


@pytest.mark.parametrize("side", SIDES, ids=str)
@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_discriminators_judge_images_of_any_of_these_shapes(name, side):
    interface = Interface(Space("image", (13, *side)), None, given(name), heads={"class": 5} if name != "cogan" else {})
    with torch.no_grad():
        output = network("discriminator", name, interface)(
            torch.randn(2, 13, *side), *[torch.tensor([0, 1])] * len(given(name))
        )
    assert output.logits.shape[0] == 2
    assert all(head.shape == (2, 5) for head in output.heads.values())


@pytest.mark.parametrize("side", [*SIDES, (20, 36)], ids=str)
@pytest.mark.parametrize("name", TRANSLATORS)
def test_translators_go_from_13_bands_to_3(name, side):
    if name == "discogan" and side == (20, 36):
        side = (20, 28)
    interface = Interface(Space("image", (13, *side)), Space("image", (3, *side)))
    with torch.no_grad():
        assert network("generator", name, interface)(torch.randn(2, 13, *side)).shape == (2, 3, *side)


def test_an_encoder_sees_any_of_these_shapes():
    for side in SIDES:
        interface = Interface(Space("image", (3, *side)), LATENT)
        with torch.no_grad():
            assert network("generator", "conv-encoder", interface)(torch.randn(2, 3, *side)).shape == (2, 6)


def test_what_is_refused_names_sizes_that_work():
    for name in ("dcgan", "sngan-resnet", "r3gan", "progan", "discogan"):
        takes = Space("image", (3, 50, 50)) if name == "discogan" else LATENT
        with pytest.raises(Refusal) as caught:
            network("generator", name, Interface(takes, Space("image", (3, 50, 50))))
        near = re.findall(r"(\d+) x (\d+)", caught.value.reason.instead)
        assert near, caught.value.reason
        for height, width in near:
            side = int(height), int(width)
            takes = Space("image", (3, *side)) if name == "discogan" else LATENT
            network("generator", name, Interface(takes, Space("image", (3, *side))))


@pytest.mark.parametrize(("width", "cardinality"), [(10, 4), (3, 2), (100, 96), (7, 5)])
def test_r3gan_names_a_width_that_works(width, cardinality):
    interface = Interface(LATENT, Space("image", (3, 32, 32)))
    with pytest.raises(Refusal) as caught:
        network("generator", "r3gan", interface, width=width, cardinality=cardinality, expansion=1)
    better = int(re.match(r"width: (\d+)", caught.value.reason.instead)[1])
    network("generator", "r3gan", interface, width=better, cardinality=cardinality, expansion=1)


def test_a_unet_pads_with_a_mirror_image_and_cuts_its_answer():
    """12 x 20 with depth 3 is padded to 16 x 24, two pixels on each end."""
    interface = Interface(Space("image", (1, 12, 20)), Space("image", (1, 12, 20)))
    unet = network("generator", "unet", interface, depth=3)
    x = torch.rand(1, 1, 12, 20)
    with torch.no_grad():
        inside = unet.model(torch.nn.functional.pad(x, (2, 2, 2, 2), mode="reflect"))
        assert torch.equal(unet(x), inside[:, :, 2:14, 2:22])
        assert unet(torch.rand(1, 1, 37, 41)).shape == (1, 1, 37, 41)
