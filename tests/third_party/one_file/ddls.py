"""DDLS: outside training, latents go to where the discriminator takes their samples for real, by Langevin dynamics.

Paper: Che, Zhang, Sohl-Dickstein, Larochelle, Paull, Cao and Bengio, "Your GAN is Secretly an Energy-based Model and
You Should Use Discriminator Driven Latent Sampling" (2020), algorithm 1. With the prior p0 and the logit d of the
sample G(z), latents of the energy E(z) = -log p0(z) - d(G(z)) are drawn by

    z <- z - eps / 2 dE/dz + sqrt(eps) n,    n from N(0, I)

For the best discriminator of the generator, samples of such latents are data. Labels and codes stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

import torch
from pydantic import Field

from ganrun.plugin import Component, Reason, SamplingTurn, Turn, hookimpl


class DiscriminatorDrivenLatentSampling:
    """Moves the latents of each sample by ``steps`` steps of Langevin dynamics, when sampling."""

    strength: ClassVar[str] = "steps"
    provides = frozenset({"latent-response"})
    needs: ClassVar[dict[str, Reason]] = {
        "latent:normal": Reason("the energy of the prior is |z|^2 / 2 for normal latents only", "sampler: normal"),
        "logit:probability": Reason(
            "the logit is log p_data / p_generator only where its sigmoid is a probability", "loss: non-saturating"
        ),
    }
    refuses: ClassVar[dict[str, Reason]] = {
        "packed": Reason("the discriminator judges packs, while an energy is of one sample", "leave packing out")
    }

    def __init__(
        self,
        *,
        steps: Annotated[int, Field(ge=0, description="Langevin steps; 0: off")] = 20,
        eps: Annotated[float, Field(gt=0, description="step size")] = 0.01,
    ) -> None:
        self.steps = steps
        self.eps = eps

    @hookimpl
    def sample(self, turn: Turn) -> None:
        if not isinstance(turn, SamplingTurn):
            return
        names = [name for name in sorted(turn.drawn) if turn.latents[name].is_floating_point()]
        for step in range(self.steps):
            noise = {name: turn.draws.normal(f"ddls {step}", *turn.latents[name].shape) for name in names}
            moved = {name: turn.latents[name].clone() for name in names}
            for rows in turn.chunks():
                with torch.enable_grad():
                    z = {name: turn.latents[name][rows].requires_grad_() for name in names}
                    log_density = turn.part(rows).with_latents(z).total_score("fake").sum()
                    log_density = log_density - sum(latent.square().sum() / 2 for latent in z.values())
                    slopes = torch.autograd.grad(log_density, list(z.values()))
                for name, slope in zip(names, slopes):
                    moved[name][rows] += self.eps / 2 * slope + self.eps**0.5 * noise[name][rows]
            turn.latents.update(moved)


@hookimpl
def ganrun_components() -> Iterator[Component]:
    yield Component("trick", "ddls", DiscriminatorDrivenLatentSampling)
