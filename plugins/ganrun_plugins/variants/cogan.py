"""CoGAN: two domains generated from one latent, coupled by shared layers alone; no pair of images is ever seen.

Paper: Liu and Tuzel, "Coupled Generative Adversarial Networks" (2016), section 3, equation 4: one game for each domain,

    min over g, max over f of  E log f_a(x_a) + E log(1 - f_a(g_a(z))) + E log f_b(x_b) + E log(1 - f_b(g_b(z))),

in which g_a and g_b share their first layers, and f_a and f_b their last. Both domains get the same z. What is shared
decides what z means, so g_a(z) and g_b(z) show the same thing in two styles.

g and f are one network each, given the domain as a label: a of 0, b of 1. How much is shared is the network's choice.
In ``cogan``'s networks, as in the paper, each domain has a layer of its own; one that joins the label to its input,
such as ``dcgan``, shares all but a few weights. Both domains are made in one forward, so BatchNorm sees both (the
authors' shared layers see each z once: the same mean and variance).

Defaults are those of the authors' code: a softmax over two classes, Adam with rate 2e-4, betas (0.5, 0.999) and weight
decay 5e-4, batches of 64 of each domain, latents of 100 numbers, the discriminator first and then the generator on the
same latents.

Differences from it: games are summed as in the paper, where the code takes the mean of both domains, half of it: Adam's
steps are the same but for the weight decay. Latents are normal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from ganrun.plugin import (
    Component,
    Description,
    Game,
    Interface,
    Network,
    Phase,
    Player,
    Refusal,
    Space,
    Stream,
    Term,
    Turn,
    hookimpl,
)

ADAM = {"adam": {"lr": 2e-4, "betas": [0.5, 0.999], "weight_decay": 5e-4}}
DOMAINS = ("a", "b")
DOMAIN = Space("labels", (), len(DOMAINS))


class CoGAN:
    """One generator and one discriminator that know the domain, and a game for each domain."""

    provides = frozenset({"latent"})
    defaults: ClassVar[dict[str, Any]] = {
        "generator": "cogan",
        "discriminator": "cogan",
        "loss": "two-class",
        "sampler": "normal",
        "players": {"discriminator": {"optimizer": ADAM}, "generator": {"optimizer": ADAM}},
        "train": {"batch_size": 64},
    }

    def __init__(self, *, latent: Annotated[int, Field(ge=1, description="size of the latent")] = 100) -> None:
        self.latent = Space("latent", (latent,))

    def describe(self, spaces: Mapping[str, Space]) -> Description:
        """For data with entries ``a`` and ``b`` of one shape: they need not be pairs."""
        if not set(DOMAINS) <= set(spaces):
            raise Refusal(
                "this variant couples the entries 'a' and 'b' of the data, "
                f"and the data set has {', '.join(sorted(spaces)) or 'none'}",
                "take a data set of two domains, such as restyled-digits",
            )
        a, b = spaces["a"], spaces["b"]
        if (a.kind, a.shape) != (b.kind, b.shape):
            why = f"one network with shared layers makes both domains, but they are {a} and {b}"
            raise Refusal(why, "one `size` and one number of `channels` for both domains")
        return Description(
            networks={
                "generator": Network("generator", Interface(takes=self.latent, makes=a, given=(DOMAIN,))),
                "discriminator": Network("discriminator", Interface(takes=a, given=(DOMAIN,))),
            },
            players=[Player("discriminator", ["discriminator"]), Player("generator", ["generator"])],
            phases=[Phase("discriminator", "discriminator"), Phase("generator", "generator")],
            games=[
                Game(domain, "discriminator", player="discriminator", against=["generator"], space=a.kind)
                for domain in DOMAINS
            ],
            outputs=DOMAINS,
            reuse_fakes=True,
        )

    def sample(self, turn: Turn) -> None:
        turn.draw_latent("z", self.latent)

    def make(self, turn: Turn) -> None:
        z = turn.latents["z"]
        domain = torch.cat([labels(z, domain) for domain in DOMAINS])  # (2 B,)
        both = turn.modules["generator"](torch.cat([z, z]), domain)  # (2 B, C, H, W)
        turn.made["a"], turn.made["b"] = both.chunk(2)

    def streams(self, turn: Turn) -> dict[str, list[Stream]]:
        return {domain: self._of(turn, domain) for domain in DOMAINS}

    def _of(self, turn: Turn, domain: str) -> list[Stream]:
        streams = []
        if turn.wants(domain, "real"):
            x = turn.real[domain]
            streams.append(Stream(x, "real", given=(labels(x, domain),)))
        if turn.wants(domain, "fake"):
            z = turn.latents["z"]
            streams.append(Stream(turn.made[domain], "fake", given=(labels(z, domain),), latent=z))
        return streams

    def terms(self, turn: Turn) -> dict[str, Term]:
        return {}

    def panels(self, turn: Turn) -> dict[str, dict[str, Tensor]]:
        return {"pairs": {"a": turn.made["a"], "b": turn.made["b"]}}


def labels(like: Tensor, domain: str) -> Tensor:
    """The label of a domain for each row of a tensor, (B,) int64."""
    return torch.full((like.shape[0],), DOMAINS.index(domain), dtype=torch.long, device=like.device)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("variant", "cogan", CoGAN)
