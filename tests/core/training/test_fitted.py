"""Weights of the reference code, by names and shapes written down here, give the same outputs here."""

import pytest
import torch
from torch import nn

from ganrun.errors import UserError
from ganrun.training.fitted import fitted
from ganrun.words.spaces import Interface, Space
from ganrun_plugins.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from ganrun_plugins.networks.patchgan import PatchGAN
from ganrun_plugins.networks.resnet_translator import ResnetTranslator
from ganrun_plugins.networks.stargan import StarGANDiscriminator, StarGANGenerator
from ganrun_plugins.networks.unet import UNet


class Residual(nn.Module):
    """A block whose layers lie in an attribute of a given name."""

    def __init__(self, attribute, layers):
        super().__init__()
        self.attribute = attribute
        setattr(self, attribute, nn.Sequential(*layers))

    def forward(self, x):
        return x + getattr(self, self.attribute)(x)


class Skip(nn.Module):
    """A level of the authors' U-Net: ``model`` holds the way down, the next level, the way up; the input stands before
    the output.
    """

    def __init__(self, layers, outermost=False):
        super().__init__()
        self.model, self.outermost = nn.Sequential(*layers), outermost

    def forward(self, x):
        return self.model(x) if self.outermost else torch.cat([x, self.model(x)], 1)


class Named(nn.Module):
    """Layers under one attribute."""

    def __init__(self, attribute, layers):
        super().__init__()
        setattr(self, attribute, layers if isinstance(layers, nn.Module) else nn.Sequential(*layers))
        self.attribute = attribute

    def forward(self, x):
        return getattr(self, self.attribute)(x)


def instance(channels, **settings):
    """Instance normalisation that keeps running statistics, as older code did: in training mode it never uses them."""
    return nn.InstanceNorm2d(channels, track_running_stats=True, **settings)


def resnet_generator(w=4, blocks=2):
    def block():
        return Residual(
            "conv_block",
            [
                nn.ReflectionPad2d(1),
                nn.Conv2d(4 * w, 4 * w, 3),
                instance(4 * w),
                nn.ReLU(),
                nn.ReflectionPad2d(1),
                nn.Conv2d(4 * w, 4 * w, 3),
                instance(4 * w),
            ],
        )

    layers = [nn.ReflectionPad2d(3), nn.Conv2d(3, w, 7), instance(w), nn.ReLU()]
    layers += [
        nn.Conv2d(w, 2 * w, 3, 2, 1),
        instance(2 * w),
        nn.ReLU(),
        nn.Conv2d(2 * w, 4 * w, 3, 2, 1),
        instance(4 * w),
        nn.ReLU(),
    ]
    layers += [block() for _ in range(blocks)]
    layers += [
        nn.ConvTranspose2d(4 * w, 2 * w, 3, 2, 1, 1),
        instance(2 * w),
        nn.ReLU(),
        nn.ConvTranspose2d(2 * w, w, 3, 2, 1, 1),
        instance(w),
        nn.ReLU(),
    ]
    return Named("model", [*layers, nn.ReflectionPad2d(3), nn.Conv2d(w, 3, 7), nn.Tanh()])


def patch_discriminator(w=4, planes=3):
    layers = [nn.Conv2d(planes, w, 4, 2, 1), nn.LeakyReLU(0.2)]
    for before, after, stride in ((w, 2 * w, 2), (2 * w, 4 * w, 2), (4 * w, 8 * w, 1)):
        layers += [nn.Conv2d(before, after, 4, stride, 1), instance(after), nn.LeakyReLU(0.2)]
    return Named("model", [*layers, nn.Conv2d(8 * w, 1, 4, 1, 1)])


def unet(w=2):
    """For 8 pixels: three halvings, dropout left out (it has no weights)."""
    innermost = Skip(
        [
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * w, 4 * w, 4, 2, 1, bias=False),
            nn.ReLU(),
            nn.ConvTranspose2d(4 * w, 2 * w, 4, 2, 1, bias=False),
            nn.BatchNorm2d(2 * w),
        ]
    )
    middle = Skip(
        [
            nn.LeakyReLU(0.2),
            nn.Conv2d(w, 2 * w, 4, 2, 1, bias=False),
            nn.BatchNorm2d(2 * w),
            innermost,
            nn.ReLU(),
            nn.ConvTranspose2d(4 * w, w, 4, 2, 1, bias=False),
            nn.BatchNorm2d(w),
        ]
    )
    return Named(
        "model",
        Skip(
            [nn.Conv2d(3, w, 4, 2, 1, bias=False), middle, nn.ReLU(), nn.ConvTranspose2d(2 * w, 3, 4, 2, 1), nn.Tanh()],
            outermost=True,
        ),
    )


def stargan_generator(w=4, labels=5, blocks=6):
    def block():
        return Residual(
            "main",
            [
                nn.Conv2d(4 * w, 4 * w, 3, 1, 1, bias=False),
                instance(4 * w, affine=True),
                nn.ReLU(),
                nn.Conv2d(4 * w, 4 * w, 3, 1, 1, bias=False),
                instance(4 * w, affine=True),
            ],
        )

    layers = [nn.Conv2d(3 + labels, w, 7, 1, 3, bias=False), instance(w, affine=True), nn.ReLU()]
    for n in (w, 2 * w):
        layers += [nn.Conv2d(n, 2 * n, 4, 2, 1, bias=False), instance(2 * n, affine=True), nn.ReLU()]
    layers += [block() for _ in range(blocks)]
    for n in (4 * w, 2 * w):
        layers += [nn.ConvTranspose2d(n, n // 2, 4, 2, 1, bias=False), instance(n // 2, affine=True), nn.ReLU()]
    return Named("main", [*layers, nn.Conv2d(w, 3, 7, 1, 3, bias=False), nn.Tanh()])


class StarGANReference(nn.Module):
    """The authors' discriminator for 16 pixels: three halvings, a map of logits and the classes of the whole image."""

    def __init__(self, w=4, labels=5):
        super().__init__()
        layers = [nn.Conv2d(3, w, 4, 2, 1), nn.LeakyReLU(0.01)]
        for n in (w, 2 * w):
            layers += [nn.Conv2d(n, 2 * n, 4, 2, 1), nn.LeakyReLU(0.01)]
        self.main = nn.Sequential(*layers)
        self.conv1 = nn.Conv2d(4 * w, 1, 3, 1, 1, bias=False)
        self.conv2 = nn.Conv2d(4 * w, labels, 2, bias=False)

    def forward(self, x):
        h = self.main(x)
        return self.conv1(h), self.conv2(h).flatten(1)


def dcgan_generator(w=4, z=6):
    layers, n = [nn.ConvTranspose2d(z, 8 * w, 4, 1, 0, bias=False), nn.BatchNorm2d(8 * w), nn.ReLU()], 8 * w
    for _ in range(3):
        layers += [nn.ConvTranspose2d(n, n // 2, 4, 2, 1, bias=False), nn.BatchNorm2d(n // 2), nn.ReLU()]
        n //= 2
    return Named("main", [*layers, nn.ConvTranspose2d(n, 3, 4, 2, 1, bias=False), nn.Tanh()])


def dcgan_discriminator(w=4):
    layers, n = [nn.Conv2d(3, w, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)], w
    for _ in range(3):
        layers += [nn.Conv2d(n, 2 * n, 4, 2, 1, bias=False), nn.BatchNorm2d(2 * n), nn.LeakyReLU(0.2)]
        n *= 2
    return Named("main", [*layers, nn.Conv2d(n, 1, 4, 1, 0, bias=False)])


def image(side):
    return Space("image", (3, side, side))


def network(factory, interface, **parameters):
    torch.manual_seed(1)
    return factory(interface, **parameters).train()


def weights_of(reference):
    """Its state dict with random numbers in every weight, the affine ones of normalisations, too, under names that
    begin with ``module.``.
    """
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in reference.parameters():
            parameter.normal_(0, 0.3)
    return {f"module.{name}": tensor.clone() for name, tensor in reference.state_dict().items()}


LABELS = Space("latent", (5,))
CASES = {
    "resnet": (
        resnet_generator(),
        lambda: network(ResnetTranslator, Interface(takes=image(16), makes=image(16)), width=4, blocks=2),
        image(16).shape,
    ),
    "patchgan": (
        patch_discriminator(),
        lambda: network(PatchGAN, Interface(takes=image(32)), width=4),
        image(32).shape,
    ),
    "unet": (
        unet(),
        lambda: network(UNet, Interface(takes=image(8), makes=image(8)), width=2, dropout=0.0),
        image(8).shape,
    ),
    "dcgan generator": (
        dcgan_generator(),
        lambda: network(DCGANGenerator, Interface(takes=Space("latent", (6,)), makes=image(64)), width=4),
        (6, 1, 1),
    ),
    "dcgan discriminator": (
        dcgan_discriminator(),
        lambda: network(DCGANDiscriminator, Interface(takes=image(64)), width=4),
        image(64).shape,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_reference_state_dict_gives_the_reference_output(name):
    reference, build, shape = CASES[name]
    state, ours = weights_of(reference), build()
    ours.load_state_dict(fitted(state, ours, name))
    x = torch.randn(3, *shape, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected, found = reference.train()(x), ours(x.flatten(1) if len(shape) == 3 and shape[1] == 1 else x)
    found = getattr(found, "logits", found)
    assert torch.allclose(found, expected.reshape(found.shape), atol=1e-5)


def test_stargans_generator_and_both_heads_of_its_discriminator():
    reference = stargan_generator()
    ours = network(StarGANGenerator, Interface(takes=image(16), makes=image(16), given=(LABELS,)), width=4)
    ours.load_state_dict(fitted(weights_of(reference), ours, "G"))
    x, c = torch.randn(2, 3, 16, 16), torch.tensor([[1.0, 0, 0, 1, 0], [0.0, 1, 0, 0, 1]])
    with torch.no_grad():
        expected = reference.train()(torch.cat([x, c[:, :, None, None].expand(-1, -1, 16, 16)], 1))
        assert torch.allclose(ours(x, c), expected, atol=1e-5)
        assert torch.allclose(ours.eval()(x, c), expected, atol=1e-5), (
            "running statistics, which would spoil it, are not used"
        )
    judge = StarGANReference()
    ours = network(StarGANDiscriminator, Interface(takes=image(16), heads={"class": 5}), width=4, layers=3)
    ours.load_state_dict(fitted(weights_of(judge), ours, "D"))
    with torch.no_grad():
        (logits, classes), found = judge(x), ours(x)
    assert torch.allclose(found.logits, logits, atol=1e-5)
    assert torch.allclose(found.heads["class"], classes, atol=1e-5)


def test_pix2pix_discriminator_sees_the_input_before_the_answer():
    reference = patch_discriminator(planes=6)
    ours = network(PatchGAN, Interface(takes=image(32), given=(image(32),)), width=4)
    ours.load_state_dict(fitted(weights_of(reference), ours, "D"))
    a, b = torch.randn(2, 3, 32, 32), torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(ours(b, a).logits, reference.train()(torch.cat([a, b], 1)), atol=1e-5)


def test_old_spectral_normalisation_becomes_the_parametrised_one():
    torch.manual_seed(0)
    old = nn.Sequential(nn.utils.spectral_norm(nn.Linear(4, 3)))
    new = nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(4, 3)))
    new.load_state_dict(fitted(old.state_dict(), new, "D"))
    x = torch.randn(2, 4)
    with torch.no_grad():
        assert torch.allclose(old.eval()(x), new.eval()(x), atol=1e-6)


def test_what_does_not_fit_is_named_with_a_way_out():
    ours = network(DCGANDiscriminator, Interface(takes=image(64)), width=8)
    with pytest.raises(
        UserError,
        match=r"D=a\.pth: of another shape main\.0\.weight \(4, 3, 4, 4\) for \(8, 3, 4, 4\).*and 13 more.*parameters",
    ):
        fitted(weights_of(dcgan_discriminator()), ours, "D=a.pth")
    with pytest.raises(
        UserError, match=r"it lacks main\.0\.weight.*; it has, and the network here has not, other\.weight"
    ):
        fitted({"other.weight": torch.zeros(1)}, ours, "D")


# --- tensors that cannot become weights -----------------------------------------------------------------------


def ill(change):
    """The state dict of a linear layer of 2 inputs and 2 outputs, with one thing changed."""
    state = nn.Linear(2, 2).state_dict()
    return state | {"weight": change(state["weight"])}


def quantised(tensor):
    """A tensor in 8 bits with a scale."""
    return torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda w: w.to("meta"), "weight has a shape and no values"),
        (lambda w: w.to_sparse(), "weight is sparse or nested"),
        (lambda w: torch.nested.nested_tensor(list(w)), "of another shape weight"),
        (quantised, "weight is quantised"),
        (lambda w: w.to(torch.complex64), "weight holds complex64 numbers where the network has float32 ones"),
        (lambda w: w.to(torch.int8), "weight holds int8 numbers where the network has float32 ones"),
        (lambda w: w.bool(), "weight holds bool numbers"),
        (lambda w: torch.full_like(w, float("nan")), "weight has values that are not finite"),
        (lambda w: torch.full_like(w, float("-inf")), "weight has values that are not finite"),
        (lambda w: torch.full_like(w.double(), 1e300), "weight has values that are not finite as float32"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_a_tensor_that_is_no_weight_is_named_with_the_reason(change, why):
    with pytest.raises(UserError, match=f"^here: .*({why})"):
        fitted(ill(change), nn.Linear(2, 2), "here")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_weights_of_another_precision_are_taken(dtype):
    assert fitted(ill(lambda w: w.to(dtype)), nn.Linear(2, 2), "here")["weight"].dtype == dtype


def test_two_tensors_of_one_name_are_refused():
    state = nn.Linear(2, 2).state_dict()
    with pytest.raises(UserError, match=r"two tensors for weight, one of them as module\.weight"):
        fitted(state | {"module.weight": state["weight"] + 1}, nn.Linear(2, 2), "here")
