"""An experiment of one network, without a run around it."""

from types import SimpleNamespace

from torch import nn

from ganrun.words.spaces import Interface, Space

POINTS, LATENT, IMAGE = Space("points", (2,)), Space("latent", (4,)), Space("image", (1, 16, 16))
SMALL_DCGAN = {
    "variant": {"dcgan": {"latent": 4}},
    "dataset": {"digits": {"size": 16}},
    "generator": {"dcgan": {"width": 4, "norm": "none"}},
    "discriminator": {"dcgan": {"width": 4, "norm": "none"}},
}


def experiment_of(network: nn.Module, takes: Space, kind: str = "discriminator", **interface):
    description = SimpleNamespace(
        networks={kind: SimpleNamespace(kind=kind, interface=Interface(takes, None, **interface))}, players=[]
    )
    return SimpleNamespace(
        modules={kind: network},
        networks=lambda wanted: {kind: network} if wanted == kind else {},
        description=description,
        recipe=SimpleNamespace(train=SimpleNamespace(seed=0), players={}),
        processes=SimpleNamespace(broadcast_tensors=list),
        initialise=lambda network, module: None,
        warnings=[],
    )
