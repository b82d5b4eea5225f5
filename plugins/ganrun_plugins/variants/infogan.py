"""InfoGAN: a part of the latent is a code, and the discriminator's heads have to read it off the sample.

Paper: Chen et al., "InfoGAN: Interpretable Representation Learning by Information Maximizing Generative Adversarial
Nets" (2016). The generator makes x = G(z, c) of noise z and codes c, categorical ones and continuous ones; Q(c | x) is
the discriminator's trunk with heads of its own. The game gets one more term,

    V(D, G) - weight * L(G, Q),   L = E log Q(c | x) + H(c)  <=  I(c; x)

    categorical code:  log Q = l_c - logsumexp(l),            H = log K
    continuous code:   log Q = -(c - m)^2 / (2 s^2) - log s - log(2 pi) / 2,   s = 1, or learned (``deviation``)

so minus the logged term of the categorical codes is a lower bound of what x tells of c, in nats; of the continuous
codes the constant H(c), which depends on the sampler, is left out.

Public code disagrees about whose Q is and in whose terms L stands, so both are parameters. ``owner`` is whose optimiser
holds Q, which is the submodule ``discriminator.heads``; ``information`` is whose turns have the term:

    owner discriminator, information both       the authors' code, by which the paper's figures were made: the default
    owner generator,     information generator  StudioGAN: Q is frozen in the discriminator's turn; literally the
                                                paper's min over G and Q
    owner third,         information owner      PyTorch-GAN: a third player holds G, the trunk and Q, and minimises the
                                                term alone
    owner discriminator, information owner      not InfoGAN but the paper's figure 1: a GAN whose codes are read, but
                                                not trained for

``third`` needs an optimiser of its own, ``players: {information: {optimizer: ...}}``, and every turn has fakes of its
own then. In the other cases the generator learns from the fakes that the discriminator has just seen.

Differences from well-known code: the authors' heads have outputs for log s even where s is 1, which then serve nothing;
logits need no 1e-8 in their logarithms. PyTorch-GAN takes the squared error, which is log Q with s = 1 times -2, and a
constant. Images are in [-1, 1] (the authors': [0, 1]).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ganrun.plugin import (
    Component,
    Description,
    DiscriminatorOutput,
    Game,
    Interface,
    Network,
    Phase,
    Player,
    Reason,
    Refusal,
    Scheduled,
    Space,
    Stream,
    Term,
    Turn,
    hookimpl,
)

CONTINUOUS = "continuous"
Classes = Annotated[int, Field(ge=2)]
INIT = {"scheme": "normal", "gain": 0.02}
INFORMED = {"both": {"discriminator", "generator"}, "generator": {"generator"}}  # whose turns have the term


class InfoGAN:
    """A generator of noise and codes, a discriminator whose heads read the codes, and the player that owns these."""

    provides = frozenset({"latent"})
    refuses: ClassVar[dict[str, Reason]] = {
        "packed": Reason(
            "a pack of several fakes has one row of heads and several codes, so Q cannot read the codes of each",
            "leave packing out",
        )
    }
    defaults: ClassVar[dict[str, Any]] = {
        "generator": "infogan",
        "discriminator": "infogan",
        "loss": "non-saturating",
        "sampler": "uniform",
        "players": {
            "discriminator": {"optimizer": {"adam": {"lr": 2e-4, "betas": [0.5, 0.999]}}, "init": INIT},
            "generator": {"optimizer": {"adam": {"lr": 1e-3, "betas": [0.5, 0.999]}}, "init": INIT},
        },
        "train": {"batch_size": 128},
    }

    def __init__(
        self,
        *,
        latent: Annotated[int, Field(ge=1, description="size of the noise")] = 62,
        categorical: Annotated[
            tuple[Classes, ...], Field(description="classes of each categorical code; may be empty")
        ] = (10,),
        continuous: Annotated[int, Field(ge=0, description="number of continuous codes")] = 2,
        weight: Annotated[
            Scheduled, Field(ge=0, description="weight of what x tells of the categorical codes")
        ] = Scheduled(1.0),
        continuous_weight: Annotated[
            Scheduled, Field(ge=0, description="weight of what x tells of the continuous codes")
        ] = Scheduled(1.0),
        deviation: Annotated[
            Literal["one", "learned"], Field(description="the standard deviation of Q's normal distributions")
        ] = "one",
        owner: Annotated[
            Literal["discriminator", "generator", "third"], Field(description="the player whose optimiser holds Q")
        ] = "discriminator",
        information: Annotated[
            Literal["both", "generator", "owner"],
            Field(description="whose turns have the term: of both sides, of the generator, or of Q's owner alone"),
        ] = "both",
    ) -> None:
        if not categorical and not continuous:
            raise Refusal(
                "without any code there is nothing to read off a sample", "categorical: [10], or variant: gan"
            )
        self.latent = Space("latent", (latent,))
        self.labels = {
            f"code{i}" if i > 1 else "code": Space("labels", (), classes) for i, classes in enumerate(categorical, 1)
        }
        self.codes = self.labels | ({CONTINUOUS: Space("latent", (continuous,))} if continuous else {})
        self.weight, self.continuous_weight = weight, continuous_weight
        self.learned = deviation == "learned"
        self.owner = "information" if owner == "third" else owner
        self.informed = INFORMED.get(information, {self.owner})
        if self.owner not in self.informed:
            whose = "a third player" if owner == "third" else f"the {owner}"
            raise Refusal(
                f"Q belongs to {whose}, in whose turns nothing depends on Q's parameters with information: "
                f"{information}: they would stay what they were at the start",
                "information: owner" if owner == "third" else "information: both, or owner: generator",
            )

    def describe(self, spaces: Mapping[str, Space]) -> Description:
        """For data with an entry ``x``: images or points."""
        if "x" not in spaces:
            raise Refusal(
                f"this variant imitates the entry 'x' of the data, and the data set has {', '.join(sorted(spaces))}",
                "take a data set of single samples, or a variant that translates between domains",
            )
        x, third = spaces["x"], self.owner == "information"
        heads = {name: space.classes for name, space in self.labels.items()}
        if CONTINUOUS in self.codes:
            heads[CONTINUOUS] = self.codes[CONTINUOUS].size * (2 if self.learned else 1)
        q = "discriminator.heads"
        players = [
            Player("discriminator", ["discriminator"], without=() if self.owner == "discriminator" else (q,)),
            Player("generator", ["generator", q] if self.owner == "generator" else ["generator"]),
        ]
        phases = [Phase("discriminator", "discriminator"), Phase("generator", "generator")]
        if third:
            players.append(Player("information", ["generator", "discriminator"]))
            phases.append(Phase("information", "information"))
        return Description(
            networks={
                "generator": Network(
                    "generator", Interface(takes=self.latent, makes=x, given=tuple(self.codes.values()))
                ),
                "discriminator": Network("discriminator", Interface(takes=x, heads=heads)),
            },
            players=players,
            phases=phases,
            games=[
                Game(
                    "adversarial",
                    "discriminator",
                    player="discriminator",
                    against=["generator"],
                    space=x.kind,
                    heads=tuple(heads),
                    watchers=["information"]
                    if third
                    else [],  # its fakes go through the discriminator, and no side of the game is taken
                )
            ],
            codes=dict(self.codes),
            infers=dict(self.codes),
            reuse_fakes=not third,
        )

    def sample(self, turn: Turn) -> None:
        turn.draw_latent("z", self.latent)
        for name, space in self.codes.items():
            turn.draw_labels(name, space) if space.kind == "labels" else turn.draw_latent(name, space)

    def make(self, turn: Turn) -> None:
        turn.made["x"] = turn.modules["generator"](turn.latents["z"], *(turn.latents[name] for name in self.codes))

    def streams(self, turn: Turn) -> dict[str, list[Stream]]:
        streams = [Stream(turn.real["x"], "real")] if turn.wants("adversarial", "real") else []
        if turn.wants("adversarial", "fake"):
            codes = {name: turn.latents[name] for name in self.codes}
            streams.append(Stream(turn.made["x"], "fake", latent=turn.latents["z"], metadata=codes))
        return {"adversarial": streams}

    def terms(self, turn: Turn) -> dict[str, Term]:
        """Minus the lower bound of the mutual information, for each kind of code."""
        if turn.player not in self.informed:
            return {}
        fakes = [(s.output, s.metadata) for round in turn.rounds for s in round.of("fake") if s.output is not None]
        if not fakes:
            return {}
        terms = {}
        if self.labels:
            value = torch.stack([self._categorical(output, metadata) for output, metadata in fakes]).mean()
            terms["information"] = Term(value, turn.now(self.weight))
        if CONTINUOUS in self.codes:
            value = torch.stack([self._continuous(output, metadata) for output, metadata in fakes]).mean()
            terms["information_continuous"] = Term(value, turn.now(self.continuous_weight))
        return terms

    def _categorical(self, output: DiscriminatorOutput, metadata: Mapping[str, Tensor]) -> Tensor:
        """The sum over the categorical codes of CE - log K, a scalar."""
        each = [
            F.cross_entropy(wide(output.heads[name]), metadata[name]) - math.log(space.classes)
            for name, space in self.labels.items()
        ]
        return torch.stack(each).sum()

    def _continuous(self, output: DiscriminatorOutput, metadata: Mapping[str, Tensor]) -> Tensor:
        """The mean over samples of minus log Q, summed over the continuous codes, a scalar."""
        mean, deviation = self._normal(wide(output.heads[CONTINUOUS]))  # (B, D), and (B, D) or 0
        error = (metadata[CONTINUOUS].to(mean) - mean) * torch.exp(-deviation)
        return (0.5 * error.square() + deviation + 0.5 * math.log(2 * math.pi)).sum(1).mean()

    def _normal(self, head: Tensor) -> tuple[Tensor, Tensor]:
        """A head's outputs as means (B, D) and logarithms of standard deviations: (B, D), or 0 if they are all 1."""
        if not self.learned:
            return head, head.new_zeros(())
        mean, logarithm = head.chunk(2, 1)
        return mean, logarithm

    def infer(self, turn: Turn) -> dict[str, Tensor]:
        """What Q reads off real items: class logits (B, K) of categorical codes, means (B, D) of continuous ones."""
        heads = turn.modules["discriminator"](turn.real["x"]).heads
        return {name: heads[name] if name in self.labels else self._normal(heads[name])[0] for name in self.codes}

    def panels(self, turn: Turn) -> dict[str, list[Tensor]]:
        return {"samples": [turn.made["x"]]}


def wide(x: Tensor) -> Tensor:
    """At least float32, for logarithms of what autocast made bfloat16."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("variant", "infogan", InfoGAN)
