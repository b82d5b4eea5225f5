"""The latent whose sample is nearest to a given image: gradient descent from several beginnings.

The distance of an image to its target is the mean squared difference of pixels, relative to the variance of the target,
plus that of feature maps, each relative to the mean square of the target's map, averaged over the layers (Abdal, Qin
and Wonka, "Image2StyleGAN", 2019, add pixels to the maps of a network; which network is a choice here). Latents descend
by Adam with a rate that falls to 0 on a cosine; they stay where the sampler draws them: normal ones are pulled to
length sqrt(D) by a small penalty, those on a sphere are put back on it, others are kept between the ends of what is
drawn. A label is not descended along: every value is tried where there are few, unless one is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ganrun.contracts.protocols import Features
from ganrun.errors import UserError
from ganrun.progress import progress_bar
from ganrun.sampling.sampling import every_value

if TYPE_CHECKING:
    from ganrun.inference.trained import Trained

BETAS = 0.9, 0.999
PRIOR = 0.01  # weight of (mean square of a latent - 1)^2, for normal latents
DRAWN = 256  # latents that are drawn to see between which ends they lie
TRIED = 20  # values of a label that are all tried
SHOWN = 8  # images of the way


@dataclass(frozen=True)
class Projection:
    """What was found for one image.

    latents: name -> (1, ...). image: (C, H, W) in [-1, 1]. way: (n, C, H, W), from the beginning to the end.
    pixels: mean absolute difference to the target, of 2 at most. distance: what was minimised. beginnings: of each
    start, the distance at which it ended.
    """

    latents: dict[str, Tensor]
    image: Tensor
    way: Tensor
    pixels: float
    distance: float
    beginnings: list[float]


class Projector:
    """Looks for the latents of images with one trained run.

    features: whose ``maps`` images are compared on; None for pixels alone. weight: of the maps beside the pixels.

    Raises:
        UserError: for a variant without latents to look for, or whose samples are no images.
    """

    def __init__(
        self,
        trained: Trained,
        features: Features | None = None,
        *,
        weight: float = 1.0,
        steps: int = 200,
        starts: int = 4,
        rate: float = 0.05,
        ask: Mapping[str, Any] | None = None,
    ) -> None:
        check_run(trained)
        if features is not None and not hasattr(features, "maps"):
            raise UserError("these features have no maps to compare images on; take random-conv or torchvision")
        self.trained = trained
        self.features: Any = features
        self.weight, self.steps, self.starts, self.rate = weight, steps, starts, rate
        self.ask = dict(ask or {})

    def project(self, target: Tensor, seed: int = 0, *, name: str = "the image") -> Projection:
        """The latent of one image (C, H, W) in [-1, 1]."""
        trained, maker = self.trained, self.trained.sample_maker
        latents = self._beginnings(seed)
        moved = {key: latent.clone().requires_grad_() for key, latent in latents.items() if self._moves(key)}
        optimizer = torch.optim.Adam(list(moved.values()), lr=self.rate, betas=BETAS)
        inside = self._inside(seed)
        wanted = target.to(maker.engine.device)[None]  # (1, C, H, W)
        maps = self._maps(wanted)
        way, distances = [], torch.zeros(0)
        shown = {round(place * self.steps / (SHOWN - 1)) for place in range(SHOWN)}
        with trained.settings(), maker.modules() as modules, progress_bar(f"projecting {name}", self.steps) as update:
            for step in range(self.steps + 1):
                distances, minimised, images = self._look(modules, {**latents, **moved}, wanted, maps)
                if step in shown:
                    way.append(images.detach().float().cpu())
                if step == self.steps:
                    break
                for group in optimizer.param_groups:
                    group["lr"] = self.rate * (1 + math.cos(math.pi * step / self.steps)) / 2
                gradients = torch.autograd.grad(minimised, list(moved.values()))
                for latent, gradient in zip(moved.values(), gradients):
                    latent.grad = gradient
                optimizer.step()
                with torch.no_grad():
                    for key, latent in moved.items():
                        latent.copy_(inside[key](latent))
                update(step + 1)
        best = int(distances.detach().argmin())
        found = {key: latent.detach()[best : best + 1].cpu() for key, latent in {**latents, **moved}.items()}
        image = way[-1][best]
        return Projection(
            found,
            image,
            torch.stack([images[best] for images in way]),
            float((image - target.float().cpu()).abs().mean()),
            float(distances[best].detach()),
            distances.detach().tolist(),
        )

    def _beginnings(self, seed: int) -> dict[str, Tensor]:
        """The latents to start from, each of them with every value of a label that is not asked for."""
        trained = self.trained
        latents = trained.latents(self.starts, seed, ask=self.ask)
        asked = trained.labels(self.ask) if self.ask else {}
        for name, space in trained.experiment.description.codes.items():
            if space.kind == "labels" and not space.shape and name not in asked and space.classes <= TRIED:
                values = torch.arange(space.classes).to(latents[name].device)
                latents = every_value(latents, name, values)
        if not any(self._moves(key) for key in latents):
            raise UserError(f"{trained.folder}: {trained.recipe.variant.name} draws no latents that could be moved")
        return latents

    def _moves(self, name: str) -> bool:
        """Whether a latent is descended along: all that are drawn as numbers, not as classes."""
        code = self.trained.experiment.description.codes.get(name)
        return code is None or code.kind != "labels"

    def _inside(self, seed: int) -> dict[str, Any]:
        """Latent -> a function that puts it back where the sampler draws it."""
        drawn = self.trained.latents(DRAWN, seed + 1)
        provides = self.trained.experiment.provides
        found: dict[str, Any] = {}
        for name, latent in drawn.items():
            low, high = latent.amin(), latent.amax()
            if provides("latent:normal"):
                found[name] = lambda z: z
            elif provides("latent:spherical"):
                length = latent.flatten(1).norm(dim=1).mean()
                found[name] = lambda z, length=length: (
                    z * (length / z.flatten(1).norm(dim=1)).view(-1, *[1] * (z.dim() - 1))
                )
            else:
                found[name] = lambda z, low=low, high=high: z.clamp(low, high)
        return found

    def _look(
        self, modules: Mapping[str, nn.Module], latents: dict[str, Tensor], wanted: Tensor, maps: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Distances (S,), what is minimised, a scalar, and images (S, C, H, W) of latents, with their graph."""
        with torch.enable_grad():
            images = self.trained.sample_maker.made_of(modules, latents)[self.trained.output]
            distances = (images - wanted).square().flatten(1).mean(1) / wanted.var().clamp(min=1e-6)
            for name, found in self._maps(images).items():
                apart = (found - maps[name]).square().flatten(1).mean(1) / maps[name].square().mean().clamp(min=1e-12)
                distances = distances + self.weight / len(maps) * apart
            penalty = torch.zeros_like(distances)
            if self.trained.experiment.provides("latent:normal"):
                for name, latent in latents.items():
                    if self._moves(name):
                        penalty = penalty + PRIOR * (latent.flatten(1).square().mean(1) - 1).square()
            minimised = (distances + penalty).sum()  # each start has latents of its own
        return distances, minimised, images

    def _maps(self, images: Tensor) -> dict[str, Tensor]:
        """Name of a layer -> its maps (n, C, H, W); empty where pixels alone are compared."""
        if self.features is None or self.weight == 0:
            return {}
        found: dict[str, Tensor] = self.features.maps(images)
        return found


def check_run(trained: Trained) -> None:
    """Raise UserError for a variant without latents to look for, or whose samples are no images."""
    description, space = trained.experiment.description, trained.experiment.dataset.spaces[trained.output]
    who = f"{trained.folder}: {trained.recipe.variant.name}"
    if description.conditional:
        raise UserError(f"{who} makes samples of real items, so there is no latent to look for")
    if space.kind != "image":
        raise UserError(f"{who} makes {space}, and only images are looked for")
