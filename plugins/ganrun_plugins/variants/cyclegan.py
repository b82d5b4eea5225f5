"""CycleGAN: translation between two sets of unpaired images, held together by translating back.

Paper: Zhu et al., "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks" (2017). With G: a
-> b and F: b -> a, each judged by a discriminator of the domain it makes, the generators minimise

    (D_b(G(a)) - 1)^2 + (D_a(F(b)) - 1)^2
    + cycle * (|F(G(a)) - a| + |G(F(b)) - b|) + identity * cycle * (|F(a) - a| + |G(b) - b|)

and the discriminators half the sum of (D(real) - 1)^2 and D(fake)^2, on fakes from a pool of 50. All is as in the
authors' PyTorch code: both generators move first, then both discriminators, on fakes made before the generators
moved; one Adam each; the rate of epoch E (from 1) is constant up to 100, then times 1 - (E - 100) / 101.

Names differ: ``discriminator_b`` judges domain b. The authors call it D_A, after the generator it is played against.

The paper's ablation (tables 4 and 5): ``adversarial: 0`` is the cycle alone, ``cycle: 0`` the GANs alone, and
``directions: forward`` and ``backward`` keep one cycle, there and back from a, or from b. The identity term, which the
ablation does not have, is weighted by ``cycle``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

import torch.nn.functional as F
from pydantic import Field

from ganrun.plugin import Component, Description, Experiment, Scheduled, Space, Term, Turn, hookimpl
from ganrun_plugins.variants._two_way import TwoWay

RATE = {"linear": [2e-4, 0.0], "from": "99 epochs", "until": "200 epochs", "every": "1 epochs"}
PLAYER = {"optimizer": {"adam": {"lr": RATE, "betas": [0.5, 0.999]}}, "init": {"scheme": "normal", "gain": 0.02}}


class CycleGAN(TwoWay):
    """Two generators, two discriminators, two games, and the way back."""

    provides = frozenset({"deterministic-generator"})
    defaults: ClassVar[dict[str, Any]] = {
        "generator": {"resnet-translator": {"blocks": 9}},
        "discriminator": "patchgan",
        "loss": {"least-squares": {"coding": "zero-one", "scale": 1.0}},
        "tricks": [{"replay-buffer": {"size": 50, "p": 0.5}}],
        "players": {"generator": PLAYER, "discriminator": PLAYER},
        "train": {"batch_size": 1, "steps": "200 epochs"},
    }

    def __init__(
        self,
        *,
        cycle: Annotated[
            Scheduled, Field(ge=0, description="weight of the L1 distance after translating there and back")
        ] = Scheduled(10.0),
        identity: Annotated[
            Scheduled,
            Field(ge=0, description="weight, relative to cycle, of the L1 distance when nothing is to be translated"),
        ] = Scheduled(0.5),
        adversarial: Annotated[
            Scheduled, Field(ge=0, description="weight of the games in the generators' turns")
        ] = Scheduled(1.0),
        directions: Annotated[
            Literal["both", "forward", "backward"],
            Field(description="which cycles there are; forward: from a to b and back to a"),
        ] = "both",
    ) -> None:
        self.cycle = cycle
        self.identity = identity
        self.adversarial = adversarial
        self.alike = True  # whether both domains have one shape
        self.cycles = {"both": ("a", "b"), "forward": ("a",), "backward": ("b",)}[directions]

    def describe(self, spaces: Mapping[str, Space]) -> Description:
        """For data with entries ``a`` and ``b``: images. The identity term is for images of equal channels."""
        description = super().describe(spaces)
        self.alike = spaces["a"].shape == spaces["b"].shape
        description.reuse_fakes = True
        return description

    @hookimpl
    def build(self, experiment: Experiment) -> None:
        if not self.alike and self.identity > 0:
            a, b = (experiment.dataset.spaces[name] for name in ("a", "b"))
            why = (
                "the identity term is off: it asks a generator to keep images of the domain that it makes, "
                f"and the domains are {a} and {b}"
            )
            experiment.warn("variant cyclegan", why, "identity: 0, which says so")

    def terms(self, turn: Turn) -> dict[str, Term]:
        if turn.player != "generator":
            return {}
        real, made, cycle, identity = turn.real, turn.made, turn.now(self.cycle), turn.now(self.identity)
        terms = {
            f"cycle_{domain}": Term(F.l1_loss(made[f"rec_{domain}"], real[domain]), cycle) for domain in self.cycles
        }
        if identity > 0 and self.alike:
            for domain, generator in (("a", "generator_ba"), ("b", "generator_ab")):
                same = turn.modules[generator](real[domain])  # (B, C, H, W)
                terms[f"identity_{domain}"] = Term(F.l1_loss(same, real[domain]), cycle * identity)
        return terms


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("variant", "cyclegan", CycleGAN)
